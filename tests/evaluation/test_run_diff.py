"""Two answers to one frame: which targets are the same, and which differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evaluation.diff_page import by_label, by_sensor, by_time
from evaluation.run_diff import Answer, FrameDiff, MatchRules, compare, spread_worst, sums_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def answer(*targets: tuple[str, float, float, float], status: str = "ok") -> Answer:
    """Targets of 4 px at x, y."""
    centres = np.array([target[2:] for target in targets], float).reshape(-1, 2)
    labels, scores_N = tuple(target[0] for target in targets), np.array([target[1] for target in targets])
    return Answer(status, labels, scores_N, np.hstack([centres - 2, centres + 2]), centres)


def compared(first: Answer, second: Answer, sensor: str = "cam", second_s: float = 0.0, rules: MatchRules | None = None) -> FrameDiff:
    moment = NOON + timedelta(seconds=second_s)
    places = ("frames/0/1", "frames/0/1")
    return compare(first, second, rules or MatchRules(), sensor_id=sensor, frame_id="f", captured_at=moment, positions=places)


def test_targets_are_the_same_where_they_are_near_and_each_once() -> None:
    first = answer(("drone", 0.9, 10, 10), ("drone", 0.8, 12, 10), ("bird", 0.7, 50, 50))
    second = answer(("drone", 0.6, 12.5, 10), ("bird", 0.5, 10.5, 10), ("drone", 0.4, 90, 90))
    found = compared(first, second)
    assert (found.matched, found.only_a, found.only_b, found.relabelled) == (2, 1, 1, 1)
    assert (found.lost, found.gained) == (("bird",), ("drone",))
    assert (found.differing, found.compared) == (3, 4)
    assert found.score_change == pytest.approx((0.4 + 0.2) / 2)
    assert found.distance_px == pytest.approx(0.5)
    assert found.doubt == pytest.approx(0.7 + 0.4 + 0.9), "of what differs, and of the renamed one the surer"
    apart = compared(first, second, rules=MatchRules(min_iou=0.9, max_distance_px=0.1))
    assert (apart.matched, apart.only_a, apart.only_b) == (0, 3, 3)


def test_as_many_as_possible_are_matched() -> None:
    """The smallest sum of distances would pair two that are too far apart, and leave one on each side alone."""
    first = answer(("a", 1, 0, 0), ("a", 1, 5, 0))
    second = answer(("a", 1, 5, 0), ("a", 1, 5, 3))
    assert compared(first, second, rules=MatchRules(1.0, 5.5)).matched == 2


def test_sums_by_sensor_label_and_time() -> None:
    same = answer(("drone", 0.9, 10, 10))
    frames = [compared(same, same, "still", second) for second in range(90)]
    frames += [compared(same, answer(), "moved", 60), compared(same, answer(status="rejected"), "moved", 61)]
    sums = sums_of(frames)
    assert (sums.frames, sums.changed_frames, sums.matched, sums.only_a, sums.restated) == (92, 2, 90, 2, 1)
    assert sums.change == pytest.approx(3 / 93)
    assert sums_of([]).change == 0.0
    assert [(name, each.change) for name, each in by_sensor(frames).items()] == [("moved", 1.0), ("still", 0.0)]
    assert by_label(frames) == {"drone": {"both": 90, "from": 0, "to": 0, "only_a": 2, "only_b": 0}}
    bins = by_time(frames)
    assert (list(bins)[:2], len(bins)) == ([NOON, NOON + timedelta(seconds=2)], 45)
    assert bins[NOON + timedelta(seconds=60)].only_a == 2


def test_the_worst_frames_are_not_all_of_one_moment() -> None:
    sure, empty = answer(("drone", 0.9, 10, 10)), answer()
    frames = [compared(sure, empty, "loud", second / 25) for second in range(100)]
    frames += [compared(answer(("drone", 0.3, 10, 10)), empty, "quiet", second) for second in range(2)]
    chosen = spread_worst(frames, 5)
    assert [(each.sensor_id, (each.captured_at - NOON).total_seconds()) for each in chosen] == [
        ("loud", 0.0), ("loud", 1.0), ("loud", 2.0), ("loud", 3.0), ("quiet", 0.0),
    ]  # fmt: skip
    assert len(spread_worst(frames, 50)) == 50, "as many as asked for, even if they are near"
    assert spread_worst([compared(sure, sure)], 5) == []
