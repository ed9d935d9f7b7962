"""Pictures of the frames a segmenter was worst on."""

from __future__ import annotations

import numpy as np

from evaluation.plots import picture_uri
from training.data.samples import Role, Sample
from training.report.overlay import overlay


def test_a_cut_shows_the_missed_targets_and_what_a_frame_of_noise_weighs() -> None:
    rng = np.random.default_rng(5)
    truth_HW, answer_HW = np.zeros((900, 1300), bool), np.zeros((900, 1300), bool)
    answer_HW[700:760, 1100:1160] = True  # a large false alarm, where most wrong pixels are
    for x, y in ((60, 100), (620, 140)):  # two missed targets which one cut just holds
        truth_HW[y : y + 3, x : x + 3] = True
    sample = Sample(
        dataset="made",
        image_id="frame",
        role=Role.TEST,
        read_pixels=lambda: rng.integers(0, 65535, truth_HW.shape, np.uint16),
        mask_path=None,
        boxes_xyxy_px=np.zeros((0, 4), np.float32),
        labels=(),
    )
    picture = overlay(sample, answer_HW, truth_HW)
    assert picture.shape == (640, 640, 3)
    assert int((picture == (60, 220, 60)).all(axis=2).sum()) >= 18, "both"
    assert len(picture_uri(picture)) < 500_000, "noise of a whole picture was 1.6 MB"
