"""Segmenters that read texture see a target in every kind of imagery we have, also where no target was ever marked to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.settings.app_settings import ModelsSettings
from models.inference import prepare
from models.normalisation import measure
from models.segmentation.base import SegmentationModel
from models.transforms import normalise
from models.zoo import load_model
from training.data.samples import Role, Sample, read_samples
from training.tasks.measuring import run_frame

NUM_IMAGES = 30
SIGMA_PX, TIMES_SPREAD = 1.3, 1.5
"""A point as an optic blurs it, brighter than its place by so many standard deviations of the frame."""
WINDOW_PX = 192
"""Side of what is looked at around it: whole frames show no more of the place, and cost five times as much."""
LEAST = {"hit-uav": 0.4, "drone-ir": 0.75, "irstd-1k": 0.75, "sirst-v2": 0.6, "nudt-sirst": 0.75}
"""Share that must be found. HIT-UAV and drone-ir teach what is no target only, but for targets of other sets pasted there."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [ModelsSettings().segmenter.model, "kestrel_adaptive"])
@pytest.mark.parametrize("dataset", LEAST)
def test_planted_targets_are_found(dataset: str, name: str, shared_data: Path) -> None:
    network, _ = load_model(name)
    assert isinstance(network, SegmentationModel)
    model = prepare(network)
    found = []
    for seen_HW, row, column in windows(dataset, shared_data):
        near_HW = network.probabilities(run_frame(model, seen_HW))[0, row - 2 : row + 3, column - 2 : column + 3]
        found.append(float(near_HW.max()) > network.settings.threshold)
    assert len(found) == NUM_IMAGES
    assert sum(found) >= LEAST[dataset] * NUM_IMAGES, f"{sum(found)} of {NUM_IMAGES}"


@lru_cache
def windows(dataset: str, folder: Path) -> list[tuple[NDArray[np.float32], int, int]]:
    """What is looked at in the images of a set, for every network the same, and row and column of the target there."""
    seen = []
    for counts_HW, row, column in planted(islice(read_samples((dataset,), Role.TEST, folder), NUM_IMAGES), np.random.default_rng(7)):
        top, left = (max(middle - WINDOW_PX // 2, 0) for middle in (row, column))
        window_HW = normalise(counts_HW, measure(counts_HW, 8))[top : top + WINDOW_PX, left : left + WINDOW_PX]
        seen.append((window_HW.copy(), row - top, column - left))
    return seen


def planted(samples: Iterator[Sample], rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], int, int]]:
    """Frames of 8 bit with a target in a quiet place, and its row and column."""
    for sample in samples:
        counts_HW = sample.pixels_HW.astype(np.float32)
        height_px, width_px = counts_HW.shape
        while True:
            row, column = int(rng.integers(10, height_px - 10)), int(rng.integers(10, width_px - 10))
            around = np.s_[row - 8 : row + 9, column - 8 : column + 9]
            taken = sample.mask_HW[around].any() or sample.unknown_HW[around].any()
            if not taken and counts_HW[around].std() < 0.35 * counts_HW.std():
                break
        rows_HW, columns_HW = np.mgrid[:height_px, :width_px]
        distance_HW = (rows_HW - row) ** 2 + (columns_HW - column) ** 2
        counts_HW += TIMES_SPREAD * sample.pixels_HW.std() * np.exp(-distance_HW / (2 * SIGMA_PX**2))
        yield counts_HW.clip(0, 255).round().astype(np.uint8), row, column
