"""Saying what is wrong with settings: every mistake at once, each with its place, value and expectation."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from contracts.errors import SettingsError
from deploy.settings_file import Key

_SECRET = re.compile(r"password|secret|token|credential|access_key|account_key|sas_key|private", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_SHOWN_CHARACTERS = 80
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing a person must change.

    Attributes:
        where: `file:line`, an environment variable or an option.
        key: dotted name of the setting.
    """

    where: str
    key: str
    expected: str
    got: str
    action: str = ""

    def __str__(self) -> str:
        """One line for people."""
        action = f". {self.action}" if self.action else ""
        return f"{self.where}: {self.key}: expected {self.expected}, got {self.got}{action}"


class InvalidSettingsError(SettingsError):
    """All mistakes of one settings file, its environment and the options given."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Keep every mistake; `str()` gives one line for each."""
        self.mistakes = tuple(mistakes)
        first = self.mistakes[0]
        super().__init__(expected=first.expected, got=first.got, where=f"{first.where}: {first.key}", action=first.action)

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders (a Serve builder fails in another process)."""
        return (InvalidSettingsError, (self.mistakes,))

    def __str__(self) -> str:
        """One line for each mistake."""
        return "\n".join(str(mistake) for mistake in self.mistakes)


def dotted(key: Key) -> str:
    """`("kafka", "topic")` to `kafka.topic`."""
    return ".".join(str(part) for part in key)


def known_keys(model: type[BaseModel]) -> Iterator[Key]:
    """Every key a settings model accepts, sections included."""
    for name, field in model.model_fields.items():
        yield (name,)
        for part in sections_in(field.annotation):
            yield from ((name, *rest) for rest in known_keys(part))


def sections_in(annotation: object) -> list[type[BaseModel]]:
    """The settings models an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for part in get_args(annotation) for model in sections_in(part)]
    return []


def nearest_key(key: Key, model: type[BaseModel]) -> str | None:
    """The known key somebody probably meant, dotted; siblings first, then the same name anywhere."""
    known = set(known_keys(model))
    siblings = [name for name in known if len(name) == len(key) and name[:-1] == key[:-1]]
    close = difflib.get_close_matches(dotted(key), [dotted(name) for name in siblings], n=1, cutoff=0.75)
    if close:
        return close[0]
    same_name = sorted(dotted(name) for name in known if name[-1] == key[-1])
    if same_name:
        return same_name[0]
    anywhere = difflib.get_close_matches(dotted(key), [dotted(name) for name in known], n=1, cutoff=0.75)
    return anywhere[0] if anywhere else None


def describe(error: ErrorDetails, where: str, model: type[BaseModel]) -> Mistake:
    """One pydantic error as a mistake in words."""
    key: Key = error["loc"]
    kind = error["type"]
    if kind == "extra_forbidden":
        meant = nearest_key(key, model)
        siblings = sorted(str(name[-1]) for name in known_keys(model) if len(name) == len(key) and name[:-1] == key[:-1])
        action = f"Did you mean {meant}?" if meant else f"Known here: {', '.join(siblings) or 'none'}."
        return Mistake(where, dotted(key), "a known key", "an unknown one", action)
    if kind == "missing":
        return Mistake(where, dotted(key), "a value", "none", "Add the key.")
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input should be ")
    if text.startswith(("greater", "less", "finite")):
        text = f"a value {text}"
    return Mistake(where, dotted(key) or "args", text, shown(key, error["input"]))


def is_secret(key: Key) -> bool:
    """Whether a value must never be printed, by the name of its key."""
    return any(isinstance(part, str) and _SECRET.search(part) for part in key)


def shown(key: Key, value: Any) -> str:
    """A value as people may see it: secrets hidden, long ones cut."""
    if is_secret(key) and value not in (None, ""):
        return HIDDEN
    if isinstance(value, BaseModel):
        return type(value).__name__
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = _USER_INFO.sub(f"{HIDDEN}@", text)
    text = repr(text) if isinstance(value, str) else text
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
