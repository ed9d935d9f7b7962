"""Errors as the person who typed the command sees them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from contracts.errors import StopPipeline

# 0 done, 1 the answer is no
EXIT_WRONG_USE = 2  # wrong use or settings
EXIT_FAULT = 70  # EX_SOFTWARE: a fault of irstream itself
EXIT_INTERRUPTED = 130
# Below the commands an error names a setting, for there it may be an argument, a key or a variable; here it is an option.
OPTIONS = {
    "bit_depth": "--bit-depth",
    "codec": "--codec",
    "device": "--device",
    "from": "--from",
    "sensor": "--sensor",
    "since": "--since",
    "sink.table": "--table",
    "split": "--split",
    "to": "--to",
}
_PLACE = re.compile(rf"^({'|'.join(map(re.escape, OPTIONS))})(?=: )")
_NAMED = re.compile(r"`([^`\n]+)`")


def debugging() -> bool:
    """True when errors shall show their traceback (`--debug` or IRSTREAM_DEBUG=1)."""
    return os.environ.get("IRSTREAM_DEBUG", "") not in ("", "0")


def with_options(text: str) -> str:
    """The text of an error with options where it names settings: at its beginning as the place, or in backticks."""
    return _translated(_PLACE.sub(lambda found: OPTIONS[found[1]], text), OPTIONS)


@contextmanager
def named_as_options(settings: Mapping[str, str]) -> Iterator[None]:
    """Name the options of a command behind the settings in the message of an error that leaves the block.

    Args:
        settings: what a setting is called in messages, where it stands in backticks, to the option.

    Raises:
        StopPipeline: of the class that was raised, with the same text, without those backticks and with the options in brackets.
    """
    shown = {name: f"{name} ({option})" for name, option in settings.items()}
    try:
        yield
    except StopPipeline as error:
        parts = {name: _translated(getattr(error, name), shown) for name in ("expected", "got", "where", "action")}
        raise type(error)(**parts) from error


def _translated(text: str, shown: Mapping[str, str]) -> str:
    return _NAMED.sub(lambda found: shown.get(found[1], found[0]), text)
