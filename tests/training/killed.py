"""A training that is killed in the middle, with networks that are known to its process only."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from training.loop.checkpoint import Checkpoint
from training.loop.settings import Progress

LAST_STEP = 3


def die_at_a_checkpoint() -> None:
    """Register the toy networks, and have SIGKILL come behind the third checkpoint: from outside it may come too late."""
    import tests.training.toy_networks  # noqa: F401 - registers them

    save = Checkpoint.save

    def save_and_die(self: Checkpoint, folder: Path, progress: Progress) -> None:
        save(self, folder, progress)
        if progress.steps >= LAST_STEP:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoint.save = save_and_die  # type: ignore[method-assign]
