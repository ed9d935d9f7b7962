"""`docs/settings.md`: every key with type, default and meaning, written from the settings themselves.

Write it with `python -m deploy.settings.page > docs/settings.md`; a test fails when page and settings differ.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from deploy.settings.app_settings import AppSettings, variable_of
from deploy.settings.mistakes import named_section, sections_in

_HEAD = """# Settings

Every key of `args` in `ray_config.yaml`. Each can also be set by an environment variable
({example})
or, where a command has one, by an option. An option beats a variable, a variable beats the file, the file beats the
default. A section may be given in part. Unknown keys are mistakes: `irstream config check` names all of them with file
and line, `irstream config show` prints every value and where it comes from.

This page is written by `python -m deploy.settings.page > docs/settings.md`.
"""
_ENTRY = re.compile(r"^(?P<names>[a-z_]+(?:, [a-z_]+)*): (?P<text>.*)$")


def settings_page() -> str:
    """The whole page as Markdown."""
    example = f"`{variable_of('kafka.bootstrap_servers')}` for `kafka.bootstrap_servers`"
    parts = [_HEAD.format(example=example)]
    top = [row for row in _rows(AppSettings, AppSettings.model_construct(), "") if "." not in row[0]]
    parts.append(_table(top))
    for name, field in AppSettings.model_fields.items():
        section = getattr(AppSettings.model_construct(), name)
        named = named_section(field.annotation)
        if isinstance(section, BaseModel):
            title = (inspect.getdoc(type(section)) or "").split("\n")[0]
            parts.append(f"## {name}\n\n{title}\n\n{_table(list(_rows(type(section), section, f'{name}.')))}")
        elif named is not None:
            parts.append(f"## {name}\n\n{field.description}\n\n{_table(list(_named_rows(named, name)))}")
    return "\n".join(parts)


def undocumented() -> list[str]:
    """Keys without a word about their meaning."""
    rows = list(_rows(AppSettings, AppSettings.model_construct(), ""))
    return [key for key, _, meaning in rows if not meaning]


def _rows(model: type[BaseModel], values: BaseModel, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of every value below a section."""
    meanings = _attributes(model)
    for name, field in model.model_fields.items():
        value = getattr(values, name)
        if named := named_section(field.annotation):
            if prefix:
                yield f"{prefix}{name}", _default(value), field.description or ""
            if value is not None:
                yield from _named_rows(named, f"{prefix}{name}")
        elif sections_in(field.annotation) and isinstance(value, BaseModel):
            yield from _rows(type(value), value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _default(value), (field.description or meanings.get(name, "")).rstrip(".")


def _named_rows(model: type[BaseModel], section: str) -> Iterator[tuple[str, str, str]]:
    """Rows of a section that each user names: NAME stands for it."""
    return _rows(model, model.model_construct(), f"{section}.NAME.")


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """The section `Attributes:` of a docstring: name (or several, by comma) to text."""
    lines = (inspect.getdoc(model) or "").partition("Attributes:\n")[2].splitlines()
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        entry = _ENTRY.match(line.removeprefix("    "))
        if entry is not None:
            names = entry["names"].split(", ")
            meanings |= dict.fromkeys(names, entry["text"])
        elif line.strip():
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
    return meanings


def _default(value: Any) -> str:
    if isinstance(value, SecretStr) or value is None:
        return "none"
    if isinstance(value, dict | tuple | list):
        return f"`{[list(item) for item in value]}`" if value else "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in rows]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
