"""A candidate as a person names it: the folder of a training, a file with weights, the digest of a version, or a network that ships."""

from __future__ import annotations

from pathlib import Path

from actors.settings import ModelActorSettings
from contracts.errors import SettingsError
from deploy.settings.app_settings import AppSettings
from deploy.settings.mistakes import InvalidSettingsError, Mistake
from deploy.settings.model_check import network_mistakes, shipped_weights
from models.card import ModelCard, read_card, weights_file
from models.versions import ROLES, Role, Versions


def weights_named(named: str, *versions: Versions) -> Path:
    """The file with the weights of a candidate, its card beside it.

    Args:
        named: a folder that holds `weights.safetensors`, a safetensors file, or the beginning of a digest.
        versions: of the roles that a digest may be of.

    Raises:
        SettingsError: there is no such thing.
    """
    path = weights_file(named)
    if path.is_file() or Path(named).is_dir():
        return path
    for each in versions[:-1]:
        try:
            return each.weights_of(each.named(named))
        except SettingsError:
            continue
    return versions[-1].weights_of(versions[-1].named(named))


def shadow_candidate(settings: AppSettings) -> tuple[Role, ModelActorSettings, ModelCard]:
    """Role, actor settings and card of the shadow's candidate: on what it runs is as for production's network of its role.

    Raises:
        SettingsError: no such network or weights, or their card cannot be read.
        InvalidSettingsError: they do not belong together.
    """
    shadow = settings.shadow
    if shadow.weights is not None:
        registry = Path(settings.registry.folder).absolute()
        weights = weights_named(shadow.weights, *(Versions(registry, role) for role in _roles()))
    else:
        assert shadow.model is not None
        weights = shipped_weights(shadow.model)
    card = read_card(weights.with_suffix(".json"))
    role = next(role for role in _roles() if ROLES[role] == card.task)
    change = {"model": card.name, "weights": str(weights.absolute()), "postprocess": {}, "replicas": 1}
    own = {name: value for name in ("num_cpus", "num_gpus") if (value := getattr(shadow, name)) is not None}
    taken: ModelActorSettings = getattr(settings.models, role).model_copy(update=change | own)
    if found := network_mistakes(taken, role):
        raise InvalidSettingsError([Mistake("settings", f"shadow.{key}", *rest) for key, *rest in found])
    return role, taken, card


def _roles() -> tuple[Role, ...]:
    return ("detector", "segmenter", "classifier")
