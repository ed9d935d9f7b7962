"""Batches of images that stream past: all of them once a pass, a bounded number in memory, the same after a new start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import numpy as np
import pytest
import torch

from models.interface import MetadataBatch
from training.data.batches import Batch, SeededBatches
from training.data.samples import Role, Sample
from training.data.windows import Streamed, StreamedBatches

SIDE_PX, BATCH = 8, 4


class Numbered(SeededBatches):
    """Batches that say which images they hold, each image once before any again."""

    def __init__(self, samples: list[Sample], seed: int) -> None:
        self.samples, self.seed = samples, seed

    def picks(self) -> Iterator[list[Sample]]:
        rng, order = np.random.default_rng(self.seed), list[int]()
        while True:
            while len(order) < BATCH:
                order += rng.permutation(len(self.samples)).tolist()
            yield [self.samples[order.pop(0)] for _ in range(BATCH)]

    def make(self, pick: Any, rng: np.random.Generator) -> Batch:
        numbers = torch.tensor([int(sample.image_id) for sample in pick])
        metadata = MetadataBatch.unknown((SIDE_PX, SIDE_PX))
        return Batch(torch.full((BATCH, 1, 1, 1), float(rng.random())), (numbers,), metadata)


class Stream:
    """Images that are made anew for each pass, and counted."""

    def __init__(self, num: int, labelled: int | None = None) -> None:
        self.passes, self._num, self._labelled = 0, num, num if labelled is None else labelled

    def __call__(self) -> Iterator[Sample]:
        self.passes += 1
        for number in range(self._num):
            yield Sample(
                dataset="made",
                image_id=str(number),
                role=Role.TRAIN,
                read_pixels=lambda: np.full((SIDE_PX, SIDE_PX), 7, np.uint8),
                mask_path=None,
                boxes_xyxy_px=np.zeros((0, 4), np.float32),
                labels=("target",) if number < self._labelled else (),
            )


def streamed(stream: Stream, windows_of: int, seen: list[int] | None = None, **changes: Any) -> Streamed:
    def source(samples: list[Sample], seed: int) -> Numbered:
        if seen is not None:
            seen.append(len(samples))
        return Numbered(samples, seed)

    how = Streamed(
        epoch=stream,
        source=source,
        can_teach=lambda samples: any(sample.labels for sample in samples),
        crops_in=lambda sample: 1,
        batch_size=BATCH,
        batches_an_epoch=10,
        seed=(3, 0),
        window_bytes=windows_of * SIDE_PX**2 * 4,
    )
    return replace(how, **changes)


def numbers(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.targets[0].tolist() for batch in batches]


def test_a_pass_draws_every_image_once_and_holds_a_window_of_them() -> None:
    seen: list[int] = []
    source = StreamedBatches(streamed(Stream(40), 8, seen))
    drawn = [number for batch in numbers(islice(source.batches(), 10)) for number in batch]
    assert sorted(drawn) == list(range(40))
    assert seen == [8] * 5


def test_it_goes_on_at_a_pass_as_if_it_had_never_stopped() -> None:
    whole = list(islice(StreamedBatches(streamed(Stream(40), 8)).batches(), 30))
    rest = list(islice(StreamedBatches(streamed(Stream(40), 8)).batches(20), 10))
    assert numbers(iter(whole[20:])) == numbers(iter(rest))
    assert [batch.pixels_B1HW[0].item() for batch in whole[20:]] == [batch.pixels_B1HW[0].item() for batch in rest]
    assert numbers(iter(whole[:10])) != numbers(iter(whole[10:20]))
    assert numbers(iter(whole[:10])) != numbers(islice(StreamedBatches(streamed(Stream(40), 8, seed=(3, 1))).batches(), 10))


def test_fewer_images_than_others_got_are_drawn_again_so_that_all_take_the_same_steps() -> None:
    stream = Stream(13)
    drawn = numbers(islice(StreamedBatches(streamed(stream, 8)).batches(), 20))
    assert len(drawn) == 20
    assert stream.passes == 2


def test_what_fits_is_read_once() -> None:
    stream = Stream(40)
    drawn = numbers(islice(StreamedBatches(streamed(stream, 1, keep=True)).batches(), 30))
    assert stream.passes == 1
    assert all(sorted(chain.from_iterable(drawn[start : start + 10])) == list(range(40)) for start in (0, 10, 20))


@pytest.mark.parametrize(("labelled", "windows"), [(4, [8, 40]), (40, [8, 8, 8, 8, 8])])
def test_windows_without_anything_to_learn_from_join_others(labelled: int, windows: list[int]) -> None:
    seen: list[int] = []
    list(islice(StreamedBatches(streamed(Stream(40, labelled), 8, seen)).batches(), 10))
    assert seen == windows


def test_statistics_are_taken_from_images_at_hand_and_begin_no_pass() -> None:
    stream = Stream(40)
    source = StreamedBatches(streamed(stream, 8))
    assert list(source.calibration(2)) == []
    list(islice(source.batches(), 1))
    first = numbers(source.calibration(2))
    assert first == numbers(source.calibration(2))
    assert all(number < 8 for batch in first for number in batch)
    assert stream.passes == 1
