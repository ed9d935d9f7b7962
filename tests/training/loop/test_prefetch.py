"""Batches of other processes: the same in the same order as those made here, however many processes there are."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise

import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray

from tests.training.test_overfit import made_images
from training.augmentation.plan import Augmentation
from training.data.batches import BatchSource
from training.data.samples import Sample
from training.loop.prefetch import default_workers, prefetched
from training.tasks.classification import ClassificationBatches, ClassificationRecipe
from training.tasks.detection import DetectionBatches, DetectionRecipe
from training.tasks.segmentation import SegmentationBatches, SegmentationRecipe

RECIPE = SegmentationRecipe(batch_size=4, augmentation=Augmentation(crop_px=64), shares={"nudt-sirst": 1.0}, seed=5)


@pytest.fixture(scope="module")
def batches() -> SegmentationBatches:
    return SegmentationBatches(made_images(6), RECIPE)


@pytest.mark.parametrize(("workers", "start"), [(1, 0), (2, 0), (3, 5)])
def test_processes_make_the_batches_that_would_be_made_here(batches: SegmentationBatches, workers: int, start: int) -> None:
    chance = torch.get_rng_state()
    ahead = prefetched(batches, workers, start)
    drawn = [next(ahead) for _ in range(6)]
    for got, expected in zip(drawn, islice(batches.batches(), start, start + 6), strict=True):
        for one, same in zip(got.tensors, expected.tensors, strict=True):
            torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert all(not torch.equal(one.pixels_B1HW, two.pixels_B1HW) for one, two in pairwise(drawn))
    assert torch.equal(torch.get_rng_state(), chance), "dropout would differ after a new start"


@pytest.mark.parametrize("task", ["segmentation", "detection", "classification"])
def test_batches_of_every_task_come_from_images_that_were_decoded_before(task: str) -> None:
    samples = [replace(sample, mask_path=None, labels=("car",)) for sample in made_images(6, "hit-uav")]
    decoded: list[int] = []

    def watched(sample: Sample) -> NDArray[np.uint8]:
        decoded.append(os.getpid())
        return np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)

    samples = [replace(sample, read_pixels=partial(watched, sample)) for sample in samples]
    source: BatchSource
    if task == "classification":
        recipe = ClassificationRecipe(batch_size=4, named_sets=("hit-uav",), unnamed_sets=())
        source = ClassificationBatches(samples, recipe, ("car",), 16)
    elif task == "detection":
        source = DetectionBatches(samples, DetectionRecipe(batch_size=4, crop_px=32, shares={"hit-uav": 1.0}))
    else:
        source = SegmentationBatches([*samples, *made_images(1)], replace(RECIPE, shares={"hit-uav": 1.0}))
    ahead = prefetched(source, 2)
    drawn = [next(ahead) for _ in range(4)]
    assert decoded == [os.getpid()] * len(samples)
    for got, expected in zip(drawn, source.batches(), strict=False):
        for one, same in zip(got.tensors, expected.tensors, strict=True):
            assert torch.equal(one, same)


def test_the_processes_end_with_the_batches(batches: SegmentationBatches) -> None:
    before = set(psutil.Process().children(recursive=True))
    ahead = prefetched(batches, workers=2)
    next(ahead)
    born = set(psutil.Process().children(recursive=True)) - before
    assert len(born) == 2
    del ahead
    _, alive = psutil.wait_procs(list(born), timeout=120)
    assert not alive


def test_an_error_of_a_process_comes_through() -> None:
    broken = SegmentationBatches(made_images(2), replace(RECIPE, augmentation=Augmentation(crop_px=-4)))
    with pytest.raises(Exception, match="DataLoader worker process 0"):
        next(prefetched(broken, workers=1))


def test_a_cpu_that_learns_has_no_processes_beside_it() -> None:
    assert default_workers("cpu") == 0
    assert 1 <= default_workers("cuda") <= 8
