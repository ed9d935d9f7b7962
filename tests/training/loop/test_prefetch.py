"""Batches of other processes: the same as those drawn here, and never the same twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import psutil
import pytest
import torch

from tests.training.test_overfit import made_images
from training.augmentation.plan import Augmentation
from training.loop.prefetch import PrefetchedBatches, default_workers
from training.tasks.segmentation import SegmentationBatches, SegmentationRecipe

RECIPE = SegmentationRecipe(batch_size=4, augmentation=Augmentation(crop_px=64), shares={"nudt-sirst": 1.0}, seed=5)


@pytest.fixture(scope="module")
def batches() -> SegmentationBatches:
    return SegmentationBatches(made_images(6), RECIPE)


def test_two_processes_take_turns_with_seeds_of_their_own(batches: SegmentationBatches) -> None:
    ahead = PrefetchedBatches(batches, workers=2)
    alone = [batches.reseeded(np.random.SeedSequence([RECIPE.seed, worker])) for worker in range(2)]

    drawn = [ahead.draw() for _ in range(6)]

    for number, batch in enumerate(drawn):
        for got, expected in zip(batch, alone[number % 2].draw(), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert all(not torch.equal(one[0], two[0]) for one, two in pairwise(drawn))


def test_the_processes_end_with_the_batches(batches: SegmentationBatches) -> None:
    before = set(psutil.Process().children(recursive=True))
    ahead = PrefetchedBatches(batches, workers=2)
    ahead.draw()
    born = set(psutil.Process().children(recursive=True)) - before
    assert len(born) == 2
    del ahead
    _, alive = psutil.wait_procs(list(born), timeout=30)
    assert not alive


def test_an_error_of_a_process_comes_through() -> None:
    broken = SegmentationBatches(made_images(2), replace(RECIPE, augmentation=Augmentation(crop_px=-4)))
    with pytest.raises(Exception, match="DataLoader worker process 0"):
        PrefetchedBatches(broken, workers=1).draw()


def test_a_cpu_that_learns_has_no_processes_beside_it() -> None:
    assert default_workers("cpu") == 0
    assert 1 <= default_workers("cuda") <= 8
