"""Targets one by one: contrast by hand, what becomes of each, and the tables made of them."""

from __future__ import annotations

import math

import numpy as np

from evaluation.segmentation import PROTOCOLS
from evaluation.targets import TargetRecord, by_contrast, by_size, targets_of
from models.photometry import signal_to_clutter

DEFAULT = PROTOCOLS["default"]


def test_every_target_is_told() -> None:
    truth, answer = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    truth[5:8, 5:8] = truth[20:22, 40:42] = True
    answer[6:9, 5:8] = answer[30, 10] = True
    one, other = targets_of(np.random.default_rng(0).normal(size=(40, 60)), answer, truth, DEFAULT)
    assert (one.area_px, one.found, one.row_px, one.column_px, one.distance_px, one.iou) == (9, True, 6.0, 6.0, 1.0, 0.5)
    assert (other.area_px, other.found, other.iou) == (4, False, 0.0)
    assert math.isnan(other.distance_px)


def record(area_px: int, scr: float, found: bool, iou: float) -> TargetRecord:
    return TargetRecord(area_px, scr, 0.0, 0.0, found, 0.0, iou)


def test_tables_by_size_and_contrast_hold_every_target_once() -> None:
    records = [record(1, 0.5, False, 0.0), record(9, 1.5, True, 0.5), record(10, math.nan, True, 0.9), record(1000, math.inf, True, 0.7)]
    sizes, contrasts = by_size(records), by_contrast(records)
    assert [stratum.targets for stratum in sizes] == [2, 1, 0, 0, 1]
    assert (sizes[0].pd, sizes[0].iou) == (0.5, 0.25)
    assert math.isnan(sizes[2].pd)
    assert [stratum.targets for stratum in contrasts] == [2, 0, 0, 0, 1]


def test_the_contrast_of_a_target_is_its_own() -> None:
    truth = np.zeros((60, 80), bool)
    truth[10:13, 10:13] = truth[40:43, 60:63] = True
    image_HW = np.random.default_rng(1).normal(size=(60, 80))
    image_HW[10:13, 10:13] += 100
    image_HW[40:43, 60:63] += 5
    bright, faint = targets_of(image_HW, truth, truth, DEFAULT)
    alone = truth.copy()
    alone[40:43, 60:63] = False
    assert bright.scr == signal_to_clutter(image_HW, alone, truth)
    assert bright.scr > 10 * faint.scr > 0
