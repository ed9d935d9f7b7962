"""The code of a Serve replica: one model actor, imported there and nowhere else.

The driver and the ingress handle these classes without torch in memory (0.5 GB each).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from actors.settings import BatchPolicy, ModelActorSettings

# Task, and where its actor class is.
_ACTORS = {
    "detector": ("actors.detector", "DetectorActor"),
    "segmenter": ("actors.segmenter", "SegmenterActor"),
    "classifier": ("actors.classifier", "ClassifierActor"),
}


def as_user_config(settings: ModelActorSettings, policy: BatchPolicy) -> dict[str, Any]:
    """The `user_config` that Serve hands its replicas: a change of it exchanges the network in the running process."""
    return {"settings": settings.model_dump(mode="json"), "policy": policy.model_dump(mode="json")}


class ModelReplica:
    """The Serve face of a model actor; see `actors.model_actor.ModelActor`."""

    def __init__(self, role: str, *_others: Any) -> None:
        """Nothing is loaded before `reconfigure`, which Serve calls next.

        Args:
            role: `detector`, `segmenter` or `classifier`.
            _others: handles of the other models of an application, named so that Serve runs them too.
        """
        module, name = _ACTORS[role]
        self._kind: Any = getattr(import_module(module), name)
        self._actor: Any = None

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Load the network, or exchange it while frames flow; Serve calls this at the start and when `user_config` changes.

        Args:
            user_config: `settings` and `policy` as `as_user_config` gives them.

        Raises:
            SettingsError: network, weights or device cannot be used as the settings say; a network that runs goes on.
        """
        settings = ModelActorSettings.model_validate(user_config["settings"])
        policy = BatchPolicy.model_validate(user_config["policy"])
        if self._actor is None:
            self._actor = self._kind(settings, policy)
        else:
            await self._actor.reconfigure(settings, policy)

    async def run(self, *arguments: Any) -> Any:
        """One block (and, for the classifier, its boxes) to one reply (`actors.reply`)."""
        return await self._actor.run(*arguments)

    def stats(self) -> dict[str, Any]:
        """Counts of the batcher, and which network this is."""
        found: dict[str, Any] = self._actor.stats()
        return found

    async def check_health(self) -> None:
        """Serve's health check.

        Raises:
            RetryLater: the network fails on whatever it is given; Serve replaces the replica.
        """
        await self._actor.check_health()
