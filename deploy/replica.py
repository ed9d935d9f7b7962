"""What runs in a Serve replica: one model actor, imported there and nowhere else.

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


class ModelReplica:
    """The Serve face of a model actor; see `actors.base.ModelActor`."""

    def __init__(self, role: str, settings: ModelActorSettings, policy: BatchPolicy) -> None:
        """Load the network.

        Args:
            role: `detector`, `segmenter` or `classifier`.
            settings: which network, on what.
            policy: how it batches.

        Raises:
            SettingsError: network, weights or device cannot be used as the settings say.
        """
        module, name = _ACTORS[role]
        self._actor: Any = getattr(import_module(module), name)(settings, policy)

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
