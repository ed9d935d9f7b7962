"""The part of a training that every fold of it shares: the network, how it learns, and the processes that learn together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.data.windows import WINDOW_BYTES
from training.recipes import TrainingPlan

READ_CPUS = 0.1
"""CPUs that reading a part of a fold reserves: readers wait more than they compute."""
_READ_PARTS = 3
WORKER_CPUS = 1.0 - _READ_PARTS * READ_CPUS
"""CPUs that a process of a fold reserves: beside as many as there are CPUs, Ray Data has room to read for each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamTraining:
    """A network that learns in several processes.

    Attributes:
        model: registered network.
        plan: recipe, loop and epochs.
        start: weights to begin with, where every machine finds them; None: random ones.
        workers: processes of each fold.
        gpus_per_worker: 0: they compute on CPUs; less than 1: several share one.
        threads: of each process on a CPU.
        window_bytes: of images in the memory of a process at a time.
    """

    model: str
    plan: TrainingPlan
    start: Path | None = None
    workers: int = 1
    gpus_per_worker: float = 0.0
    threads: int = 1
    window_bytes: int = WINDOW_BYTES

    @property
    def resources_per_worker(self) -> dict[str, float]:
        """Resources of Ray that each process reserves."""
        return {"CPU": WORKER_CPUS} | ({"GPU": self.gpus_per_worker} if self.gpus_per_worker > 0 else {})


@dataclass(frozen=True, slots=True)
class Room:
    """Resources of a Ray.

    Attributes:
        cpus: cores that compute.
        ray_cpus: CPUs as Ray counts them; a local Ray counts more than there are.
        gpus: GPUs.
    """

    cpus: int
    ray_cpus: int
    gpus: float

    def folds_at_a_time(self, workers: int, gpus_per_worker: float) -> int:
        """Folds that have room side by side, and beside which Ray Data can read; 0 where one alone has none."""
        by_cpu = self.ray_cpus // workers
        if gpus_per_worker > 0:
            # 1e-9: three tenths of a GPU are not 0.3 exactly.
            return min(by_cpu, int(self.gpus / (workers * gpus_per_worker) + 1e-9))
        return min(by_cpu, max(1, self.cpus // workers))
