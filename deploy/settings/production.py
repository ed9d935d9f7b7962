"""Networks in production by the registry, in place of those that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from deploy.settings.app_settings import AppSettings
from deploy.settings.registry import RegistrySettings
from models.versions import Role, Versions


def in_production(settings: AppSettings) -> AppSettings:
    """The settings with the promoted networks in place of those that they name; what was promoted for no role stays.

    Values in `postprocess` stay for a network of the same name; those of another one mean nothing to it.

    Raises:
        SettingsError: a file of the registry cannot be read.
    """
    taken = {}
    for role in get_args(Role):
        versions = Versions(Path(settings.registry.folder).absolute(), role)
        digest = versions.production().digest
        if digest is None:
            continue
        named, card = getattr(settings.models, role), versions.card_of(digest)
        change = {"model": card.name, "weights": str(versions.weights_of(digest))}
        taken[role] = named.model_copy(update=change | ({} if card.name == named.model else {"postprocess": {}}))
    return settings.model_copy(update={"models": settings.models.model_copy(update=taken)}) if taken else settings


def production_digests(registry: RegistrySettings) -> tuple[str | None, ...]:
    """Digest of the weights in production for each role; None: those that the settings name.

    Raises:
        SettingsError: a file of the registry cannot be read.
    """
    return tuple(Versions(Path(registry.folder).absolute(), role).production().digest for role in get_args(Role))
