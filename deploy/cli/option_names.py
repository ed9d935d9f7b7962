"""Settings as the options of a command: layers below name the setting, and a person at a command line wants to know what to type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from contracts.errors import StopPipeline


@contextmanager
def named_as_options(options: Mapping[str, str]) -> Iterator[None]:
    """Name the options behind the settings in the message of an error that leaves the block.

    Args:
        options: what a setting is called in messages, to the option; each is named once in each part of the message.

    Raises:
        StopPipeline: of the class that was raised, with the same text and the options in brackets.
    """
    try:
        yield
    except StopPipeline as error:
        parts = {name: _with_options(getattr(error, name), options) for name in ("expected", "got", "where", "action")}
        raise type(error)(**parts) from error


def _with_options(text: str, options: Mapping[str, str]) -> str:
    # Longer names first: "batch size" and "size" may both be settings.
    names = sorted(options, key=len, reverse=True)
    seen: set[str] = set()

    def named(found: re.Match[str]) -> str:
        name = found[0]
        if name in seen:
            return name
        seen.add(name)
        return f"{name} ({options[name]})"

    return re.sub("|".join(rf"\b{re.escape(name)}\b(?! \(-)" for name in names), named, text)
