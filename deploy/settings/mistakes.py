"""Saying what is wrong with settings: every mistake at once, each with its place, value and expectation."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from contracts.errors import SettingsError
from deploy.settings.file import Key

_SECRET = re.compile(r"passw|pwd|secret|token|credential|access_key|account_key|sas_key|private", re.IGNORECASE)
# Up to the last @ where a colon (not that of a port) says there is a password, which may hold any character; S3's do hold slashes.
_USER_INFO = re.compile(r"(?<=://)(?:[^/@:\s]+:(?!\d+/)[^\s]*@|[^/@\s]+@)")
_SHOWN_CHARACTERS = 80
HIDDEN = "(hidden)"
_OF_A_SECTION = ("model_type", "model_attributes_type", "dict_type")


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


def named_section(annotation: object) -> type[BaseModel] | None:
    """The settings model of each value of a mapping from names to sections, such as that of `sensors`."""
    if get_origin(annotation) is Annotated:
        return named_section(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return next((found for part in get_args(annotation) if (found := named_section(part)) is not None), None)
    values = get_args(annotation)[1:] if get_origin(annotation) is dict else ()
    return next((model for part in values for model in sections_in(part)), None)


def _named_part(key: Key, model: type[BaseModel]) -> tuple[Key, type[BaseModel]]:
    """Path and model of the innermost section a key lies in that has a name of the user's own; without one nothing and `model`."""
    found: tuple[Key, type[BaseModel]] = ((), model)
    section: type[BaseModel] | None = model
    depth = 0
    while section is not None and depth < len(key):
        field = section.model_fields.get(str(key[depth]))
        if field is None:
            break
        named = named_section(field.annotation)
        if named is not None and len(key) > depth + 2:
            found, section, depth = (key[: depth + 2], named), named, depth + 2
        else:
            section, depth = next(iter(sections_in(field.annotation)), None), depth + 1
    return found


def nearest_key(key: Key, model: type[BaseModel]) -> str | None:
    """The known key that was probably meant, dotted; siblings first, then the same name anywhere."""
    path, inner = _named_part(key, model)
    if path:
        found = nearest_key(key[len(path) :], inner)
        return None if found is None else dotted((*path, found))
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


def describe(errors: Iterable[ErrorDetails], where: Callable[[Key], str], model: type[BaseModel]) -> list[Mistake]:
    """Pydantic's errors as mistakes in words; the branches of one union are one mistake.

    Args:
        errors: of one validation.
        where: the place of a key.
        model: the settings that were validated.
    """
    found: dict[tuple[Key, str], Mistake] = {}
    for error in errors:
        key = _setting_of(error["loc"], model)
        mistake = _describe(error, key, where(key), model)
        same = found.get((key, mistake.got))
        found[(key, mistake.got)] = mistake if same is None else replace(mistake, expected=f"{same.expected}, or {mistake.expected}")
    return list(found.values())


def _setting_of(loc: Key, model: type[BaseModel]) -> Key:
    """The key of an error without the names of union branches, which pydantic appends (`device.constrained-str`)."""
    section: type[BaseModel] | None = model
    for depth, part in enumerate(loc, start=1):
        field = section.model_fields.get(str(part)) if section is not None else None
        if field is None:
            break
        members = [member for member in get_args(field.annotation) if member is not type(None)]
        if get_origin(field.annotation) in (Union, types.UnionType) and len(members) > 1:
            return loc[:depth]
        section = next(iter(sections_in(field.annotation)), None)
    return loc


def _describe(error: ErrorDetails, key: Key, where: str, model: type[BaseModel]) -> Mistake:
    kind = error["type"]
    if kind == "extra_forbidden":
        meant = nearest_key(key, model)
        path, inner = _named_part(key, model)
        rest = key[len(path) :]
        siblings = sorted(str(name[-1]) for name in known_keys(inner) if len(name) == len(rest) and name[:-1] == rest[:-1])
        action = f"Did you mean {meant}?" if meant else f"Known here: {', '.join(siblings) or 'none'}."
        return Mistake(where, dotted(key), "a known key", "an unknown one", action)
    if kind == "missing":
        return Mistake(where, dotted(key), "a value", "none", "Add the key.")
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input should be ")
    if text.startswith("expected ") and ", got " in text:  # a validator of ours that says both itself
        expected, _, got = text.removeprefix("expected ").partition(", got ")
        return Mistake(where, dotted(key) or "args", expected, got)
    if text.startswith(("greater", "less", "finite")):
        text = f"a value {text}"
    text = text.replace("String should match pattern", "text that matches")
    if kind == "int_from_float":
        text = "a whole number"
    if kind in _OF_A_SECTION and isinstance(error["input"], str | list | tuple):
        # A whole section as one text or list: which part of it is a secret is not to be seen.
        return Mistake(where, dotted(key) or "args", text, "one text" if isinstance(error["input"], str) else "a list")
    return Mistake(where, dotted(key) or "args", text, shown(key, error["input"]))


def is_secret(key: Key) -> bool:
    """True for a value that must never be printed, by the name of its key: all options of the object store, but no paths."""
    if "storage_options" in key[:-1]:
        return True
    # Not the names of sensors and zones, which may be `private-road`.
    key = tuple(part for before, part in zip(("", *key), key, strict=False) if before not in ("sensors", "zones"))
    return any(isinstance(part, str) and _SECRET.search(part) and not part.endswith("_file") for part in key)


def shown(key: Key, value: Any) -> str:
    """A value as people may see it: secrets hidden, long ones cut."""
    if isinstance(value, BaseModel):
        return type(value).__name__
    safe = without_secrets(key, value)
    if safe == HIDDEN:
        return HIDDEN
    text = repr(safe) if isinstance(safe, str) else json.dumps(safe, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def without_secrets(key: Key, value: Any) -> Any:
    """A value with everything secret in it hidden: by the name of its key, and user and password in URLs, at any depth."""
    if is_secret(key) and value not in (None, ""):
        return HIDDEN
    if isinstance(value, str):
        return _USER_INFO.sub(f"{HIDDEN}@", value)
    if isinstance(value, Mapping):
        return {name: without_secrets((*key, name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(key, item) for item in value]
    return value
