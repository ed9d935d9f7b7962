"""Batches drawn ahead by other processes, where a network learns faster than one process cuts crops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import cv2
import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.tasks.segmentation import Batch, SegmentationBatches

_AHEAD = 4
_MOST_WORKERS = 8


class PrefetchedBatches:
    """Draws of several processes in turn; the same batches for the same seed and number of processes.

    Each process goes through the images in an order of its own. What they have decoded is shared, not copied.
    """

    def __init__(self, batches: SegmentationBatches, workers: int, *, pinned: bool = False) -> None:
        """Start the processes at the first draw.

        Args:
            batches: what is drawn from; its seed gives each process one of its own.
            workers: how many processes, at least 1.
            pinned: keep batches where a GPU copies them from without waiting.
        """
        loader = DataLoader(
            _Endless(batches),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=_AHEAD,
            pin_memory=pinned,
            multiprocessing_context="fork",
            worker_init_fn=_alone,
        )
        self._draws: Iterator[Batch] = cast("Iterator[Batch]", _lazily(loader))

    def draw(self) -> Batch:
        """The next batch, see `SegmentationBatches.draw`."""
        return next(self._draws)


def default_workers(device: str) -> int:
    """None beside a CPU that learns, all but one core beside a GPU, up to eight."""
    return 0 if device == "cpu" else min(_MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) - 1))


class _Endless(IterableDataset[Batch]):
    """What one process draws."""

    def __init__(self, batches: SegmentationBatches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        assert worker is not None
        mine = self._batches.reseeded(np.random.SeedSequence([self._batches.seed, worker.id]))
        while True:
            yield mine.draw()


def _lazily(loader: DataLoader[Batch]) -> Iterator[object]:
    yield from loader


def _alone(_: int) -> None:
    """Threads of OpenCV do not survive a fork, and the cores have their processes already."""
    cv2.setNumThreads(0)
