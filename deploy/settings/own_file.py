"""Writing changes into the settings file that counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.settings.app_settings import load_settings
from deploy.settings.edit import edited, write_settings
from deploy.settings.file import DEFAULT_NAME, find_settings_file


def write_changes(config: Path | None, changes: Mapping[str, Any]) -> Path:
    """Put values into the settings file that counts; into a copy of the packaged one in the working folder where there is no other.

    Args:
        config: the file asked for.
        changes: nested mappings below `args`; what is there and not named stays, comments too.

    Returns:
        The file.

    Raises:
        SettingsError: it cannot be written, or the settings would be wrong; then it stays as it was.
    """
    source = find_settings_file(config)
    target = source if config is not None or source == Path(DEFAULT_NAME) else Path(DEFAULT_NAME)
    write_settings(target, edited(source.read_text(encoding="utf-8"), changes, str(target)), load_settings)
    return target
