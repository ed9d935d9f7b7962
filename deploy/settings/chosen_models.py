"""Networks chosen on the command line (`--models`), in place of those of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from actors.settings import ModelActorSettings
from contracts.errors import SettingsError
from deploy.settings.app_settings import AppSettings, ModelsSettings

_OPTION = "--models"
TASKS = tuple(ModelsSettings.model_fields)
DECIDING = ("model", "weights", "flips", "tiles", "postprocess")
"""Settings of a network that decide about its rows; the others say on what it runs."""


def with_models(settings: AppSettings, chosen: Sequence[str] | None) -> AppSettings:
    """Settings with the networks of `TASK=NAME`, `TASK.KEY=VALUE`, or of a YAML file with `detector`, `segmenter`, `classifier`.

    A network that is named replaces weights and postprocessing of the one before; on what it runs stays as it was.

    Raises:
        SettingsError: no such task or key, a value that cannot be, a file that cannot be read.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for each in chosen or ():
        for task, values in _read(each).items():
            wanted.setdefault(task, {}).update(values)
    models = {task: _replaced(getattr(settings.models, task), values, task) for task, values in wanted.items()}
    return settings.model_copy(update={"models": settings.models.model_copy(update=models)}) if models else settings


def deciding(settings: AppSettings) -> dict[str, Any]:
    """Settings of the networks that decide about rows, by task, as JSON holds them."""
    return {task: getattr(settings.models, task).model_dump(mode="json", include=set(DECIDING)) for task in TASKS}


def _replaced(before: ModelActorSettings, values: Mapping[str, Any], task: str) -> ModelActorSettings:
    kept = before.model_dump()
    if "model" in values:
        kept = {name: value for name, value in kept.items() if name not in DECIDING}
    try:
        return ModelActorSettings.model_validate({**kept, **values})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, (task, *first["loc"])))
        raise SettingsError(
            expected=f"settings of a model ({first['msg']})",
            got=f"{key} = {first['input']}",
            where=_OPTION,
            action="docs/settings.md lists the keys below `models`.",
        ) from error


def _read(text: str) -> dict[str, dict[str, Any]]:
    key, equals, value = text.partition("=")
    if not equals:
        return _file(Path(text))
    task, _, name = key.strip().partition(".")
    path = (name or "model").split(".")
    nested: Any = value if path[-1] in ("model", "weights") else _value(value)
    for part in reversed(path[1:]):
        nested = {part: nested}
    return {_task(task): {path[0]: nested}}


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _file(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        what = "TASK=NAME, or a YAML file with detector, segmenter, classifier"
        raise SettingsError(expected=what, got=f"{path}: {error}", where=_OPTION, action="Correct it.") from error
    found = found.get("models", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not found or not all(isinstance(values, dict) for values in found.values()):
        what = "detector, segmenter, classifier, each with keys of a model"
        raise SettingsError(expected=what, got="something else", where=f"{_OPTION} {path}", action="Correct the file.")
    return {_task(str(task)): values for task, values in found.items()}


def _task(name: str) -> str:
    if name not in TASKS:
        raise SettingsError(expected=", ".join(TASKS), got=repr(name), where=_OPTION, action="Name a task: segmenter=acm.")
    return name
