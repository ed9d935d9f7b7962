"""Settings for people: each with its value and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from deploy.settings.file import Key
from deploy.settings.mistakes import dotted, shown
from deploy.terminal.consoles import answer_console


def print_settings(values: Mapping[Key, Any], origins: Mapping[str, str]) -> None:
    """A table on stdout, defaults dimmed.

    Args:
        values: by their path in the settings; what is secret has been taken out.
        origins: by the dotted path.
    """
    table = Table(box=None, pad_edge=False)
    for name in ("setting", "value", "from"):
        table.add_column(name, overflow="fold")  # on a narrow terminal nothing is cut
    for key, value in values.items():
        origin = origins[dotted(key)]
        style = "dim" if origin == "default" else ""
        table.add_row(Text(dotted(key)), Text(shown(key, value)), Text(origin), style=style)
    answer_console().print(table)
