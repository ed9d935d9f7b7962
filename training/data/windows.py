"""Batches of images that stream past: only a window of them is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from training.data.batches import Batch, SeededBatches
from training.data.samples import Sample

WINDOW_BYTES = 256 * 2**20
# A frame is kept as it came, decoded, and its mask: about so many bytes a pixel at 8 bits; more bits, more bytes.
_BYTES_A_PIXEL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """Images that stream past, and how batches are made of those that are there.

    Attributes:
        epoch: the images of one pass, in a new stream each time.
        source: batches of some images, with a seed.
        can_teach: whether some images by themselves hold targets to learn from.
        crops_in: crops that are one pass over an image.
        batch_size: crops a step.
        batches_an_epoch: of this process; the same for all that learn together, whatever images each gets.
        seed: of chance; others for others that learn together.
        window_bytes: of images that are in memory at a time, about.
        keep: all images fit into one window: they are read once.
    """

    epoch: Callable[[], Iterator[Sample]]
    source: Callable[[list[Sample], int], SeededBatches]
    can_teach: Callable[[list[Sample]], bool]
    crops_in: Callable[[Sample], int]
    batch_size: int
    batches_an_epoch: int
    seed: tuple[int, ...]
    window_bytes: int = WINDOW_BYTES
    keep: bool = False


class StreamedBatches:
    """Batches of windows of a stream; every image of a window comes once before any comes again, and a window is seen once a pass.

    A training that goes on at the beginning of a pass sees what it would have seen, where the stream gives the same order.
    """

    def __init__(self, streamed: Streamed, counts_batches: bool = False) -> None:
        """Nothing is read yet.

        Args:
            streamed: images, and how.
            counts_batches: crops depend on the number of the batch in the whole training.
        """
        self._how, self._counts, self._kept, self._last = streamed, counts_batches, list[list[Sample]](), list[Sample]()

    def decode(self) -> None:
        """Nothing: images are decoded as they come."""

    def batches(self, start: int = 0, stride: int = 1) -> Iterator[Batch]:
        """See `BatchSource.batches`; one process draws them.

        Raises:
            ValueError: a stride other than 1.
            SettingsError: no window has anything to learn from.
        """
        if stride != 1:
            raise ValueError(f"expected one process that draws, got a stride of {stride}")
        num, per_epoch = start, self._how.batches_an_epoch
        while True:
            for batch in islice(self._epoch(num // per_epoch, num), per_epoch - num % per_epoch):
                yield batch
                num += 1

    def _epoch(self, epoch: int, first: int) -> Iterator[Batch]:
        """Batches of a pass, without an end: after the last window it is drawn from on and on."""
        number = 0
        for window in self._windows():
            self._last = window
            crops = sum(map(self._how.crops_in, window))
            for batch in self._of(window, epoch, number, first, max(1, crops // self._how.batch_size)):
                yield batch
                first += 1
            number += 1
        while True:
            # Where the windows round down, or this process got fewer images than others.
            yield from self._of(self._last, epoch, number, first, self._how.batches_an_epoch)
            number += 1

    def _of(self, window: list[Sample], epoch: int, number: int, first: int, batches: int) -> Iterator[Batch]:
        seed = int(np.random.SeedSequence([*self._how.seed, epoch, number]).generate_state(1)[0])
        source = self._how.source(window, seed)
        start = first if self._counts else 0
        yield from islice(source.batches(start), batches)

    def _windows(self) -> Iterator[list[Sample]]:
        """Images of a pass, as many at a time as fit."""
        if self._kept:
            yield from self._kept
            return
        window, num_bytes, before = list[Sample](), 0, list[Sample]()
        for sample in self._how.epoch():
            window.append(sample)
            num_bytes += sample.pixels_HW.nbytes * _BYTES_A_PIXEL
            if num_bytes >= self._how.window_bytes and not self._how.keep and self._how.can_teach(window):
                yield window
                window, num_bytes, before = [], 0, window
        if window and not self._how.can_teach(window):
            window = [*before, *window]
        if window or not before:
            if self._how.keep:
                self._kept = [window]
            yield window

    def calibration(self, num: int) -> Iterator[Batch]:
        """Batches of the images that were drawn from last, drawn as those of training are; before any, nothing.

        No pass of its own: a stream that several processes share begins for all of them at once.
        """
        if not self._last:
            return
        source = self._how.source(self._last, int(np.random.SeedSequence([*self._how.seed, 2**31]).generate_state(1)[0]))
        yield from source.calibration(num)
