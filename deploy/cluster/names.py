"""Check that Ray's workers find our root packages (`contracts`, `models`, ...); one error with both files where they do not.

`irstream_names` says how they are found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import irstream_names
from contracts.errors import SettingsError
from models import own_networks

FOLDER = str(Path(__file__).resolve().parents[2])
_SETTING = f"{irstream_names.VARIABLE}: {irstream_names.INSTALLED}"


def runtime_env() -> dict[str, Any]:
    """For workers that do not inherit the driver's environment variables: the irstream of their own machine, and networks of one's own."""
    return {"env_vars": {irstream_names.VARIABLE: irstream_names.INSTALLED} | own_networks.passed_on()}


def paths_ray_puts_first() -> list[str]:
    """Folders of the driver that Ray's workers look into before all others: the working folder, and that of the script."""
    script = str(Path(sys.argv[0]).resolve().parent)
    return [str(Path.cwd()), *([script] if script in sys.path else [])]


def check_names(path: Sequence[str], where: str) -> None:
    """Hold what a worker that is not pinned would import against what is ours.

    Args:
        path: where it looks, in order.
        where: for the message: what would start such workers.

    Raises:
        SettingsError: it would import another file; the message names both.
    """
    found = next(irstream_names.strangers(path, FOLDER), None)
    if found is not None:
        ours, other = found
        raise SettingsError(
            expected=f"workers that import {ours}",
            got=f"{other}, which they find first",
            where=where,
            action="Rename it, or start from another folder. Or have irstream installed in this environment (PYTHONPATH is not enough) "
            f"and, in a Serve config, beside `import_path`: `runtime_env: {{env_vars: {{{_SETTING}}}}}`.",
        )


def check_names_of_a_local_ray() -> None:
    """As `check_names`, for workers that inherit our environment variables.

    Raises:
        SettingsError: they do not heed them, because irstream is not installed, and would import another file.
    """
    if not irstream_names.start_file_is_installed():
        check_names([*paths_ray_puts_first(), *sys.path], "start of Ray")


def check_names_of_an_application() -> None:
    """As `check_names`, for the workers of a Serve application, which are started as the one that runs this.

    Raises:
        SettingsError: they are not pinned, and would import another file.
    """
    if not irstream_names.started_pinned():
        check_names([os.getcwd() if entry == "" else entry for entry in sys.path], "Serve application")  # noqa: PTH109


def check_files() -> None:
    """Look for files of ours that another distribution has written over.

    Raises:
        SettingsError: there are; the message names the first and the distribution.
    """
    if advice := irstream_names.advice():
        raise SettingsError(expected="the files of irstream", got="others", where="installation", action=advice)
