"""Two answers to the same frame compared: which targets both have, and which only one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Row of one run about a frame, as far as it is compared.

    Attributes:
        status: `ok`, `rejected` or `gap`.
        labels: of its n targets.
        scores_N: `(n,)`, 0 to 1.
        boxes_N4: `(n, 4)` x_min, y_min, x_max, y_max, pixels.
        centroids_N2: `(n, 2)` x, y, pixels.
    """

    status: str
    labels: tuple[str, ...]
    scores_N: Floats
    boxes_N4: Floats
    centroids_N2: Floats


@dataclass(frozen=True, slots=True)
class MatchRules:
    """Rules by which two detections are one target.

    Attributes:
        min_iou: boxes with at least this IoU are one target.
        max_distance_px: or whose centroids are closer than this.
    """

    min_iou: float = 0.1
    max_distance_px: float = 3.0


@dataclass(frozen=True, slots=True)
class FrameDiff:
    """Comparison of one frame.

    Attributes:
        sensor_id, frame_id, captured_at: of the frame.
        position_a, position_b: `topic/partition/offset` in each run.
        status_a, status_b: of the rows.
        num_a, num_b: targets of each.
        matched: targets that both have.
        relabelled: of those, with another label.
        only_a, only_b: targets of one alone.
        labels_a, labels_b: of the matched ones, pair by pair.
        lost, gained: labels of those of one alone, first A's, then B's.
        score_change: of the matched ones, mean of the absolute differences; NaN without any.
        distance_px: of the matched ones, mean distance of the centroids; NaN without any.
        doubt: sum of the scores of what differs: large where one run was sure of what the other has not.
        lost_scores, gained_scores: of those of one alone.
        matched_scores: of A's matched ones.
    """

    sensor_id: str
    frame_id: str
    captured_at: datetime
    position_a: str
    position_b: str
    status_a: str
    status_b: str
    num_a: int
    num_b: int
    matched: int
    relabelled: int
    labels_a: tuple[str, ...]
    labels_b: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    score_change: float
    distance_px: float
    doubt: float
    lost_scores: tuple[float, ...]
    gained_scores: tuple[float, ...]
    matched_scores: tuple[float, ...]

    @property
    def only_a(self) -> int:
        """Targets that B has not."""
        return len(self.lost)

    @property
    def only_b(self) -> int:
        """Targets that A has not."""
        return len(self.gained)

    @property
    def restated(self) -> int:
        """1 where one run has a result and the other a rejection or a gap."""
        return int(self.status_a != self.status_b)

    @property
    def differing(self) -> int:
        """Targets that differ: of one alone, with another label; and 1 for another status."""
        return self.only_a + self.only_b + self.relabelled + self.restated

    @property
    def compared(self) -> int:
        """Targets of either, those of both once; and 1 for another status."""
        return self.matched + self.only_a + self.only_b + self.restated


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over frames; a share of nothing is 0.

    Attributes:
        frames: compared.
        changed_frames: of them, with anything that differs.
        num_a, num_b, matched, relabelled, only_a, only_b, restated: see `FrameDiff`.
        score_change: mean over matched targets.
        distance_px: likewise.
    """

    frames: int
    changed_frames: int
    num_a: int
    num_b: int
    matched: int
    relabelled: int
    only_a: int
    only_b: int
    restated: int
    score_change: float
    distance_px: float

    @property
    def change(self) -> float:
        """Share of the targets of either run that differ, 0 to 1."""
        compared = self.matched + self.only_a + self.only_b + self.restated
        return (self.only_a + self.only_b + self.relabelled + self.restated) / compared if compared else 0.0


def sums_of(frames: Iterable[FrameDiff]) -> Sums:
    """Sums over some frames."""
    listed = list(frames)
    matched = sum(each.matched for each in listed)
    with_match = [each for each in listed if each.matched]
    return Sums(
        frames=len(listed),
        changed_frames=sum(each.differing > 0 for each in listed),
        num_a=sum(each.num_a for each in listed),
        num_b=sum(each.num_b for each in listed),
        matched=matched,
        relabelled=sum(each.relabelled for each in listed),
        only_a=sum(each.only_a for each in listed),
        only_b=sum(each.only_b for each in listed),
        restated=sum(each.restated for each in listed),
        score_change=sum(each.score_change * each.matched for each in with_match) / matched if matched else 0.0,
        distance_px=sum(each.distance_px * each.matched for each in with_match) / matched if matched else 0.0,
    )


def spread_worst(frames: Sequence[FrameDiff], num: int, apart_s: float = 1.0) -> list[FrameDiff]:
    """The frames that differ most, by `doubt`; of one sensor at most one in so many seconds as long as there are others.

    Args:
        frames: of both runs; those that do not differ are left out.
        num: how many at most.
        apart_s: seconds.
    """
    ranked = sorted((frame for frame in frames if frame.differing), key=lambda frame: (-frame.doubt, -frame.differing, frame.captured_at))
    chosen: list[FrameDiff] = []
    seen: dict[str, list[float]] = {}
    for frame in ranked:
        if len(chosen) == num:
            break
        moments = seen.setdefault(frame.sensor_id, [])
        if all(abs(frame.captured_at.timestamp() - moment) >= apart_s for moment in moments):
            moments.append(frame.captured_at.timestamp())
            chosen.append(frame)
    taken = {id(frame) for frame in chosen}
    return [*chosen, *[frame for frame in ranked if id(frame) not in taken][: num - len(chosen)]]


def pairs(first: Answer, second: Answer, rules: MatchRules) -> list[tuple[int, int]]:
    """Numbers of the detections that are one target: as many as possible, then the nearest."""
    from scipy.optimize import linear_sum_assignment

    if not len(first.scores_N) or not len(second.scores_N):
        return []
    distances_NM = np.linalg.norm(first.centroids_N2[:, None] - second.centroids_N2[None], axis=2)
    allowed_NM = (distances_NM < rules.max_distance_px) | (_ious(first.boxes_N4, second.boxes_N4) >= rules.min_iou)
    far = 1e6 + float(distances_NM.max())
    rows, columns = linear_sum_assignment(np.where(allowed_NM, distances_NM, far))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if allowed_NM[row, column]]


def _ious(boxes_N4: Floats, others_M4: Floats) -> Floats:
    low = np.maximum(boxes_N4[:, None, :2], others_M4[None, :, :2])
    high = np.minimum(boxes_N4[:, None, 2:], others_M4[None, :, 2:])
    shared_NM = np.clip(high - low, 0, None).prod(2)
    areas_N, areas_M = ((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (boxes_N4, others_M4))
    return np.asarray(shared_NM / np.maximum(areas_N[:, None] + areas_M[None] - shared_NM, 1e-9))


def compare(
    first: Answer,
    second: Answer,
    rules: MatchRules,
    *,
    sensor_id: str,
    frame_id: str,
    captured_at: datetime,
    positions: tuple[str, str],
) -> FrameDiff:
    """Compare two answers to one frame.

    Args:
        first: of run A.
        second: of run B.
        rules: which detections are one target.
        sensor_id: of the frame.
        frame_id: likewise.
        captured_at: likewise.
        positions: in A and in B.
    """
    found = pairs(first, second, rules)
    alone_a = _others(len(first.labels), [one for one, _ in found])
    alone_b = _others(len(second.labels), [other for _, other in found])
    changed = [(one, other) for one, other in found if first.labels[one] != second.labels[other]]
    scores = np.array([abs(first.scores_N[one] - second.scores_N[other]) for one, other in found])
    moved = np.array([np.linalg.norm(first.centroids_N2[one] - second.centroids_N2[other]) for one, other in found])
    doubt = sum(first.scores_N[one] for one in alone_a) + sum(second.scores_N[other] for other in alone_b)
    doubt += sum(max(first.scores_N[one], second.scores_N[other]) for one, other in changed)
    return FrameDiff(
        sensor_id=sensor_id,
        frame_id=frame_id,
        captured_at=captured_at,
        position_a=positions[0],
        position_b=positions[1],
        status_a=first.status,
        status_b=second.status,
        num_a=len(first.labels),
        num_b=len(second.labels),
        matched=len(found),
        relabelled=len(changed),
        labels_a=tuple(first.labels[one] for one, _ in found),
        labels_b=tuple(second.labels[other] for _, other in found),
        lost=tuple(first.labels[one] for one in alone_a),
        gained=tuple(second.labels[other] for other in alone_b),
        score_change=float(scores.mean()) if len(scores) else float("nan"),
        distance_px=float(moved.mean()) if len(moved) else float("nan"),
        doubt=float(doubt) + (first.status != second.status),
        lost_scores=tuple(float(first.scores_N[one]) for one in alone_a),
        gained_scores=tuple(float(second.scores_N[other]) for other in alone_b),
        matched_scores=tuple(float(first.scores_N[one]) for one, _ in found),
    )


def _others(num: int, taken: Sequence[int]) -> list[int]:
    return [number for number in range(num) if number not in set(taken)]
