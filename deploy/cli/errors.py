"""Errors as the person who typed the command sees them."""

from __future__ import annotations

import os
import re

# 0 done, 1 the answer is no
EXIT_WRONG_USE = 2  # wrong use or settings
EXIT_FAULT = 70  # EX_SOFTWARE: a fault of irstream itself
EXIT_INTERRUPTED = 130
# Below the commands an error names a setting, for there it may be an argument, a key or a variable; here it is an option.
OPTIONS = {"bit_depth": "--bit-depth", "codec": "--codec", "device": "--device", "sink.table": "--table", "split": "--split"}
_NAMES = "|".join(map(re.escape, OPTIONS))
_PLACE = re.compile(rf"^({_NAMES})(?=: )")
_NAMED = re.compile(rf"`({_NAMES})`")


def debugging() -> bool:
    """True when errors shall show their traceback (`--debug` or IRSTREAM_DEBUG=1)."""
    return os.environ.get("IRSTREAM_DEBUG", "") not in ("", "0")


def with_options(text: str) -> str:
    """The text of an error with options where it names settings: at its beginning as the place, or in backticks."""
    return _NAMED.sub(lambda found: OPTIONS[found[1]], _PLACE.sub(lambda found: OPTIONS[found[1]], text))
