"""Share of the targets that are found by their centres, against false alarms a frame, for all score thresholds.

What an operator trades: a threshold, the share of targets that is found with it (Pd), and how often it cries wolf. Boxes of small or
loosely drawn targets overlap little, so a detection finds a target when its centre is near: within `MIN_REACH_PX`, or half the longer
side of the target's box where that is more. By falling score each detection takes the nearest free target in reach; a second one on
the same target is a false alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_REACH_PX = 5.0
RATES = (0.01, 0.1, 0.3, 1.0)
"""False alarms a frame at which Pd is asked for."""
# 0.1 false alarms in each of 30 frames are 3, whatever the last bit of the product says.
_ROUNDING = 1e-9
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Pd where no more than so many false alarms are allowed.

    Attributes:
        rate: false alarms a frame that are allowed.
        pd: found targets over targets; 0 where even the best score has too many false alarms; NaN without targets, or with too few
            frames: less than one false alarm in all of them cannot be measured.
        false_per_frame: false alarms a frame that are there; NaN as `pd`.
        threshold: lowest score that is reported; infinite where nothing may be; NaN as `pd`.
    """

    rate: float
    pd: float
    false_per_frame: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class FoundCurve:
    """Pd and false alarms a frame where detections from a score on are reported.

    Attributes:
        thresholds_T: the scores that occur, each once, falling.
        pd_T: found targets over targets; NaN without targets.
        false_per_frame_T: rising; NaN without frames.
        num_frames: how many were looked at.
        num_targets: in all of them.
        num_detections: counted ones.
    """

    thresholds_T: Floats
    pd_T: Floats
    false_per_frame_T: Floats
    num_frames: int
    num_targets: int
    num_detections: int

    @property
    def lowest_rate(self) -> float:
        """One false alarm in all frames: fewer a frame cannot be measured. Infinite without frames."""
        return 1 / self.num_frames if self.num_frames else math.inf

    def at(self, rate: float) -> OperatingPoint:
        """The most that is found with at most `rate` false alarms a frame.

        Raises:
            ValueError: the rate is not above 0.
        """
        if not rate > 0:
            raise ValueError(f"expected a rate above 0, got {rate}")
        if not self.num_targets or rate * self.num_frames < 1 - _ROUNDING:
            return OperatingPoint(rate, math.nan, math.nan, math.nan)
        allowed = int(np.searchsorted(self.false_per_frame_T * self.num_frames, rate * self.num_frames + _ROUNDING, side="right"))
        if not allowed:
            return OperatingPoint(rate, 0.0, 0.0, math.inf)
        best = allowed - 1
        return OperatingPoint(rate, *(float(each[best]) for each in (self.pd_T, self.false_per_frame_T, self.thresholds_T)))

    def false_at(self, pd: float) -> float:
        """False alarms a frame at the highest threshold that finds a share `pd` of the targets.

        Returns:
            Infinite where no threshold finds so many; NaN without targets.

        Raises:
            ValueError: the share is not above 0, or above 1.
        """
        if not 0 < pd <= 1:
            raise ValueError(f"expected a share above 0, at most 1, got {pd}")
        if not self.num_targets:
            return math.nan
        first = int(np.searchsorted(self.pd_T * self.num_targets, pd * self.num_targets - _ROUNDING))
        return float(self.false_per_frame_T[first]) if first < len(self.false_per_frame_T) else math.inf


class FoundMetrics:
    """Collects scores and hits frame by frame."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._scores: list[Floats] = []
        self._hits: list[NDArray[np.bool_]] = []
        self._num_frames = self._num_targets = 0

    def update(
        self,
        centres_xy_N2: NDArray[np.floating],
        scores_N: NDArray[np.floating],
        targets_M4: NDArray[np.floating],
        ignored_K4: NDArray[np.floating] | None = None,
    ) -> None:
        """Count one frame.

        Args:
            centres_xy_N2: `(N, 2)` centres of the detections, pixel edges (the middle of pixel 0 is 0.5).
            scores_N: their scores.
            targets_M4: `(M, 4)` true boxes: left, top, right and bottom edge, pixels.
            ignored_K4: regions nobody labelled, likewise; a detection that finds no target and has its centre in one is dropped.

        Raises:
            ValueError: not as many scores as centres, or a score is no number.
        """
        if centres_xy_N2.shape != (len(scores_N), 2) or not np.isfinite(scores_N).all():
            raise ValueError(f"expected {len(scores_N)} centres (x, y) and finite scores, got {centres_xy_N2.shape} and {scores_N}")
        hits_N = match_centres(centres_xy_N2, scores_N, targets_M4)
        counted_N = np.ones(len(hits_N), np.bool_) if ignored_K4 is None else hits_N | ~_inside(centres_xy_N2, ignored_K4)
        self._scores.append(np.asarray(scores_N, np.float64)[counted_N])
        self._hits.append(hits_N[counted_N])
        self._num_frames += 1
        self._num_targets += len(targets_M4)

    @property
    def scores_N(self) -> Floats:
        """Scores of the counted detections of all frames, in the order they came."""
        return np.concatenate(self._scores) if self._scores else np.zeros(0)

    @property
    def hits_N(self) -> NDArray[np.bool_]:
        """True for those that found a target."""
        return np.concatenate(self._hits) if self._hits else np.zeros(0, np.bool_)

    def compute(self) -> FoundCurve:
        """The curve so far."""
        order = np.argsort(-self.scores_N, kind="stable")
        scores_N, hits_N = self.scores_N[order], self.hits_N[order]
        # Detections of one score are reported together or not at all.
        last_N = np.append(scores_N[1:] != scores_N[:-1], True)[: len(scores_N)]
        with np.errstate(invalid="ignore", divide="ignore"):
            pd_N = np.cumsum(hits_N) / np.float64(self._num_targets)
            false_N = np.cumsum(~hits_N) / np.float64(self._num_frames)
        return FoundCurve(
            thresholds_T=scores_N[last_N],
            pd_T=pd_N[last_N],
            false_per_frame_T=false_N[last_N],
            num_frames=self._num_frames,
            num_targets=self._num_targets,
            num_detections=len(scores_N),
        )


def match_centres(
    centres_xy_N2: NDArray[np.floating], scores_N: NDArray[np.floating], targets_M4: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """True for the detections that find a target, `(N,)`; see the module for how they are matched."""
    return np.asarray(targets_found(centres_xy_N2, scores_N, targets_M4) >= 0, np.bool_)


def targets_found(
    centres_xy_N2: NDArray[np.floating], scores_N: NDArray[np.floating], targets_M4: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Index of the target that each detection finds, -1 where it finds none, `(N,)`."""
    found_N = np.full(len(scores_N), -1, np.intp)
    if not len(targets_M4) or not len(scores_N):
        return found_N
    middles_M2 = (targets_M4[:, :2] + targets_M4[:, 2:]) / 2
    reach_M = np.maximum((targets_M4[:, 2:] - targets_M4[:, :2]).max(1) / 2, MIN_REACH_PX)
    distance_NM = np.linalg.norm(centres_xy_N2[:, None] - middles_M2[None], axis=2)
    distance_NM[distance_NM > reach_M] = math.inf
    for index in np.argsort(-scores_N, kind="stable"):
        nearest = int(np.argmin(distance_NM[index]))
        if distance_NM[index, nearest] < math.inf:
            found_N[index] = nearest
            distance_NM[:, nearest] = math.inf
    return found_N


def _inside(centres_xy_N2: NDArray[np.floating], boxes_K4: NDArray[np.floating]) -> NDArray[np.bool_]:
    """True for each centre that lies in any of the boxes."""
    low_NK2, high_NK2 = centres_xy_N2[:, None] >= boxes_K4[None, :, :2], centres_xy_N2[:, None] <= boxes_K4[None, :, 2:]
    inside_NK = np.logical_and.reduce(low_NK2 & high_NK2, axis=2)
    return np.asarray(np.logical_or.reduce(inside_NK, axis=1), np.bool_)
