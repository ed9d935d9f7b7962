"""Batches made ahead by other processes, where a network learns faster than one process cuts crops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.data.batches import Batch, BatchSource

_AHEAD = 4
_MOST_WORKERS = 8


def prefetched(source: BatchSource, workers: int, start: int = 0, *, pinned: bool = False) -> Iterator[Batch]:
    """The same batches in the same order as the source gives, made by several processes in turn.

    All images are decoded before: the processes share them, none decodes its own.

    Args:
        source: what is drawn from.
        workers: how many processes, at least 1; they start at the first batch and end with the iterator.
        start: number of the first batch.
        pinned: keep batches where a GPU copies them from without waiting.
    """
    source.decode()
    loader = DataLoader(
        _Turns(source, start),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_AHEAD,
        pin_memory=pinned,
        multiprocessing_context="fork",
        worker_init_fn=_alone,
        # One of its own: it would draw from torch's, and dropout would differ after a new start.
        generator=torch.Generator(),
    )
    yield from cast("Iterator[Batch]", iter(loader))


def default_workers(device: str) -> int:
    """None beside a CPU that learns, all but one core beside a GPU, up to eight."""
    return 0 if device == "cpu" else min(_MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) - 1))


class _Turns(IterableDataset[Batch]):
    """Work of one process: every batch whose turn it is."""

    def __init__(self, source: BatchSource, start: int) -> None:
        self._source, self._start = source, start

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        assert worker is not None
        return self._source.batches(self._start + worker.id, worker.num_workers)


def _alone(_: int) -> None:
    """Threads of OpenCV do not survive a fork, and the cores have their processes already."""
    cv2.setNumThreads(0)
