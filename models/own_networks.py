"""Modules with networks of one's own beside an installed irstream, named by an environment variable.

Free of torch: drivers also ask, to pass the variable on to processes that inherit none.
"""

from __future__ import annotations

import os

VARIABLE = "IRSTREAM_NETWORKS"
"""Names modules, several with commas; every process that shall know their networks needs it."""


def own_modules() -> list[str]:
    """The modules the variable names, in its order."""
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]


def passed_on() -> dict[str, str]:
    """The variable for a process that does not inherit it; empty where it names nothing."""
    return {VARIABLE: ",".join(own_modules())} if own_modules() else {}
