"""Check that the models a configuration names can be loaded, without loading torch where their cards say so.

A card that fits is enough. Where it does not, the registry itself is asked (which loads torch, seconds): a network somebody
registered has no card in the package, and a network may know more than its card says.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from contracts.errors import SettingsError
from contracts.result import CLUTTER, UNNAMED
from deploy.settings.mistakes import Mistake, describe, shown
from models.card import ModelCard, read_card, train_command, weights_file
from models.thresholds import BY_TASK

if TYPE_CHECKING:
    from actors.settings import ModelActorSettings
    from deploy.settings.app_settings import AppSettings, ModelsSettings

_TASKS = {"detector": "detection", "segmenter": "segmentation", "classifier": "classification"}


def model_mistakes(models: ModelsSettings, place: Callable[[str], str] = lambda _: "settings") -> list[Mistake]:
    """Everything wrong with names, weights and postprocessing values.

    Args:
        models: the three models.
        place: where a dotted key is set.
    """
    found = [(f"models.{role}.{key}", *rest) for role in _TASKS for key, *rest in network_mistakes(getattr(models, role), role)]
    return [Mistake(place(key), key, *rest) for key, *rest in found]


def network_mistakes(settings: ModelActorSettings, role: str) -> list[tuple[str, str, str, str]]:
    """Mistakes of one network of a role: key, expected, got, what to do."""
    return list(_check(settings, _TASKS[role]))


def label_mistakes(settings: AppSettings, place: Callable[[str], str] = lambda _: "settings") -> list[Mistake]:
    """Labels of filters that the classifier never gives: a word mistyped in `shown_labels` would silence everything; a veto it cannot give.

    Args:
        settings: filters and the classifier; where its card cannot be read, no label is wrong.
        place: where a dotted key is set.
    """
    classifier = settings.models.classifier
    card = card_of(classifier)
    if card is None or not card.classes:
        return []
    found = []
    if settings.stream.clutter_veto is not None and CLUTTER not in card.classes:
        expected = f"a classifier with a class {CLUTTER}: {card.name} gives {', '.join(card.classes)}"
        action = "Leave it out, or name a classifier that has it (docs/classifiers.md)."
        found.append(Mistake(place("stream.clutter_veto"), "stream.clutter_veto", expected, f"{settings.stream.clutter_veto:g}", action))
    labels = [name for name in card.classes if name != CLUTTER]
    known = {*labels, UNNAMED}
    parts = [("alerts", settings.alerts), *((f"sensors.{name}.alerts", each.alerts) for name, each in settings.sensors.items())]
    for prefix, alerts in parts:
        for name in ("shown_labels", "hidden_labels"):
            if unknown := sorted(set(getattr(alerts, name) or ()) - known):
                close = difflib.get_close_matches(unknown[0], known, n=1)
                action = f"Did you mean {close[0]!r}?" if close else ""
                expected = f"labels that {card.name} gives ({', '.join(labels)}) or {UNNAMED}"
                found.append(Mistake(place(f"{prefix}.{name}"), f"{prefix}.{name}", expected, ", ".join(map(repr, unknown)), action))
    return found


def card_of(settings: ModelActorSettings) -> ModelCard | None:
    """The card beside the weights of a model; None where it cannot be read."""
    return _card(shipped_weights(settings.model) if settings.weights is None else weights_file(settings.weights))


def _check(settings: ModelActorSettings, task: str) -> Iterator[tuple[str, str, str, str]]:
    """Key within the model, expected, got, what to do."""
    shipped = shipped_weights(settings.model)
    card = _card(shipped)
    if card is None or card.task != task:
        from models.zoo import list_models

        names = list_models(task)
        if settings.model not in names:
            yield "model", f"a {task} model: {', '.join(names)}", repr(settings.model), "See irstream models list."
            return
    weights = shipped if settings.weights is None else weights_file(settings.weights)
    if not weights.is_file():
        yield from _no_weights(settings, task)
        return
    try:
        card = read_card(weights.with_suffix(".json"))
    except SettingsError as error:
        yield "weights", error.expected, f"{error.got} ({weights.with_suffix('.json')})", error.action
        return
    if (card.name, card.task) != (settings.model, task):
        got = f"those of {card.name} ({card.task})"
        yield "weights", f"weights of {settings.model} ({task})", got, "Use weights together with their own card."
        return
    unknown = sorted(settings.postprocess.keys() - card.postprocess.keys())
    if unknown and not _takes(settings, card):
        expected = f"a value that {card.name} knows ({', '.join(card.postprocess) or 'none'})"
        for key in unknown:
            yield f"postprocess.{key}", expected, "an unknown one", "Remove it; the model card's is used."
    elif not unknown:
        yield from _out_of_range(settings, card)


def _out_of_range(settings: ModelActorSettings, card: ModelCard) -> Iterator[tuple[str, str, str, str]]:
    """Values that the task does not allow, unless the network has a rule of its own for them."""
    try:
        BY_TASK[card.task].model_validate(card.postprocess | settings.postprocess)
    except ValidationError as error:
        wrong = describe(error.errors(include_url=False), lambda _: "", BY_TASK[card.task])
        if wrong and not _takes(settings, card):
            for mistake in wrong:
                own = f"Leave it out: the model card's is {card.postprocess[mistake.key]:g}." if mistake.key in card.postprocess else ""
                yield f"postprocess.{mistake.key}", mistake.expected, mistake.got, own


def _no_weights(settings: ModelActorSettings, task: str) -> Iterator[tuple[str, str, str, str]]:
    from deploy.cluster.session import cluster_address

    expected = "a safetensors file with trained weights"
    action = f"Train it ({train_command(settings.model)}) or name a file in weights."
    if settings.weights is None:
        yield "model", expected, f"{settings.model}, which has none", action
    elif cluster_address() is None:  # on a cluster it is the nodes of the models that must have the file
        yield "weights", expected, f"no such file {shown((), settings.weights)}", action


def shipped_weights(name: str) -> Path:
    """The file with the weights that ship with a network, if any do."""
    return Path(str(files("models") / "weights")) / f"{name}.safetensors"


def _card(weights: Path) -> ModelCard | None:
    try:
        return read_card(weights.with_suffix(".json"))
    except SettingsError:
        return None


def _takes(settings: ModelActorSettings, card: ModelCard) -> bool:
    from models.zoo import create_model

    try:
        create_model(settings.model).configure(card.postprocess | settings.postprocess)
    except ValueError:
        return False
    return True
