"""Things that are chosen by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from contracts.errors import SettingsError

_T = TypeVar("_T")


def chosen(table: Mapping[str, _T], name: str, where: str, action: str = "Use one of these names.") -> _T:
    """The value that stands under a name.

    Args:
        table: everything that can be chosen.
        name: as a person wrote it.
        where: the setting or option it was written in.
        action: what to do, where no name is close to the one written.

    Raises:
        SettingsError: nothing has this name; the text lists those that exist, and the one that was probably meant.
    """
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, table, n=1)
    raise SettingsError(
        expected=f"one of {', '.join(table)}", got=repr(name), where=where, action=f"Did you mean {close[0]!r}?" if close else action
    )
