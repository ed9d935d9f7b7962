"""Scores of tracks: by hand, and as TrackEval has them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from evaluation.tracks import TrackedFrame, TrackScores, centre_closeness, track_scores
from models.boxes import iou_matrix


def boxes(*corners: tuple[float, float]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array([(x, y, x + 10, y + 10) for x, y in corners], np.float32).reshape(-1, 4)


def one(truth: float | None, *found: tuple[str, float]) -> TrackedFrame:
    """A frame with a target at x = `truth` and tracks at other places."""
    ids = () if truth is None else ("target",)
    places = () if truth is None else ((truth, 0.0),)
    labels = tuple("drone" for _ in found)
    return TrackedFrame(ids, boxes(*places), tuple(name for name, _ in found), boxes(*((x, 0.0) for _, x in found)), labels)


def test_a_target_under_one_track_is_perfect() -> None:
    scores = track_scores([[one(0, ("a", 0)), one(5, ("a", 5)), one(None)]])
    assert (scores.hota, scores.detection, scores.association, scores.localisation, scores.idf1, scores.switches) == (1, 1, 1, 1, 1, 0)
    assert (scores.tracks, scores.targets, scores.frames) == (1, 1, 3)


def test_a_target_under_two_tracks_in_turn() -> None:
    """Halves of a way: each match has half of its target, so AssA = 1/2; IDF1 keeps one half; one switch."""
    scores = track_scores([[one(0, ("a", 0)), one(0, ("a", 0)), one(0, ("b", 0)), one(0, ("b", 0))]])
    assert (scores.detection, scores.association, scores.idf1, scores.switches) == (1, 0.5, 0.5, 1)
    assert scores.hota == pytest.approx(math.sqrt(0.5))


def test_a_false_track_as_long_as_the_target_halves_detection_and_nothing_else() -> None:
    scores = track_scores([[one(0, ("a", 0), ("clock", 90))] * 4])
    assert (scores.detection, scores.association, scores.switches) == (0.5, 1, 0)
    assert scores.idf1 == pytest.approx(2 / 3)


def test_boxes_that_overlap_by_a_half_count_up_to_a_half() -> None:
    """Ten pixels, 10/3 apart: overlap 1/2. Ten of the 19 limits are no higher, 0.5 itself among them."""
    scores = track_scores([[one(0, ("a", 10 / 3))] * 3])
    assert scores.hota == pytest.approx(10 / 19)
    assert scores.hota_half == 1


def test_closeness_of_centres_is_in_sides_of_the_true_box() -> None:
    close = centre_closeness(boxes((0, 0)), np.array([[4, 4, 6, 6], [7, 4, 9, 6], [50, 0, 60, 10]], np.float32))
    assert close.tolist() == [[1.0, pytest.approx(0.7), 0.0]]


def test_labels_that_change_within_a_target_s_track_are_counted() -> None:
    frames = [one(0, ("a", 0), ("clock", 90)) for _ in range(5)]
    named = [
        TrackedFrame(frame.truth_ids, frame.truth_xyxy_px, frame.track_ids, frame.found_xyxy_px, (label, str(number)))
        for number, (frame, label) in enumerate(zip(frames, ("drone", "bird", "bird", "drone", "drone"), strict=True))
    ]
    assert track_scores([named]).label_changes == 2, "the false track's are no target's"


def scene(seed: int) -> list[TrackedFrame]:
    """Four targets that tremble, are missed, change their tracks; false tracks among them."""
    luck = random.Random(seed)
    frames = []
    for number in range(60):
        truth = [(each, luck.uniform(-2, 2) + 40 * each + number, luck.uniform(0, 3)) for each in range(4) if luck.random() < 0.9]
        found = [
            (each if luck.random() < 0.9 else each + 10 * (number // 20 + 1), x + luck.gauss(0, 2), y + luck.gauss(0, 2))
            for each, x, y in truth
            if luck.random() < 0.85
        ]
        found += [(99 + luck.randrange(3), luck.uniform(0, 200), luck.uniform(0, 9)) for _ in range(2) if luck.random() < 0.3]
        found = list({name: (name, x, y) for name, x, y in found}.values())
        frames.append(
            TrackedFrame(
                tuple(name for name, _, _ in truth),
                boxes(*((x, y) for _, x, y in truth)),
                tuple(name for name, _, _ in found),
                boxes(*((x, y) for _, x, y in found)),
            )
        )
    return frames


def figures(scores: TrackScores) -> tuple[float, ...]:
    return (scores.hota, scores.hota_half, scores.detection, scores.association, scores.localisation, scores.idf1, scores.switches)


def test_figures_are_those_of_trackeval() -> None:
    """TrackEval 1.3.0, HOTA, Identity and CLEAR of these four scenes combined: HOTA, HOTA at 0.5, DetA, AssA, LocA, IDF1, IDSW."""
    clips = [scene(seed) for seed in range(4)]
    by_overlap = (
        0.37532442116701487,
        0.3765607184852692,
        0.38634232567783566,
        0.3649963739029289,
        0.7070032498994923,
        0.5005714285714286,
        79,
    )
    by_place = (0.5213116444001404, 0.6637283733073431, 0.5407812731386439, 0.5027071557988892, 0.8029378016018731, 0.7257142857142858, 130)
    assert figures(track_scores(clips, iou_matrix)) == pytest.approx(by_overlap)
    assert figures(track_scores(clips, centre_closeness)) == pytest.approx(by_place)


def test_nothing_found_and_nothing_true_are_no_errors() -> None:
    assert track_scores([[one(0)] * 3]).hota == 0
    assert track_scores([[one(None, ("a", 0))], []]).detection == 0
