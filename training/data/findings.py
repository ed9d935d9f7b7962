"""Boxes that detector and segmenter found, labelled by the truth they lie on: targets by their class, false alarms as clutter.

A classifier in the stream is shown what these two found, not what people drew. Findings become crops to learn from and to measure on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.result import CLUTTER
from evaluation.found import MIN_REACH_PX
from models.boxes import iou_matrix

FORMAT = "findings"
"""Format of such a data set in its manifest. Its boxes teach classifiers only: targets of its frames may be missing."""
FOUND, MISSED, FALSE_ALARM, IGNORED = "found", "missed", "false alarm", "ignored"
_APART_PX = 6.0
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFindings:
    """Boxes of a frame with their labels.

    Attributes:
        boxes_xyxy_px: `(n, 4)`, pixel edges.
        labels: n labels.
        origins: of each, `found`, `missed`, `false alarm` or `ignored`.
        dropped: findings that are neither: second ones on a target, and what touches a target or a region that nobody labelled.
    """

    boxes_xyxy_px: Floats
    labels: tuple[str, ...]
    origins: tuple[str, ...]
    dropped: int

    @property
    def counts(self) -> Counter[str]:
        """Boxes of each origin."""
        return Counter(self.origins)


def label_findings(
    found_N4: Floats, scores_N: Floats, truth_M4: Floats, labels: Sequence[str], *, with_missed: bool = True
) -> LabelledFindings:
    """Give findings the labels of the targets they lie on.

    By falling score each takes the nearest free target whose centre it reaches: within `MIN_REACH_PX`, or half the longer side of the
    target's box where that is more. A finding that is apart from all targets and ignored regions is clutter. Ignored regions stay,
    so that nothing is taken for background there.

    Args:
        found_N4: boxes of the findings, pixel edges.
        scores_N: of each.
        truth_M4: boxes of the truth.
        labels: of the truth; `ignore` for regions that nobody labelled.
        with_missed: keep the true boxes of targets that nothing was found on.
    """
    ignored_M = np.array([label == "ignore" for label in labels], bool)
    free_M = ~ignored_M
    distance_NM, reach_M = _distances(found_N4, truth_M4), _reach(truth_M4)
    touches_NM: NDArray[np.bool_] = _grown_overlap(found_N4, truth_M4) | (distance_NM <= reach_M)
    boxes, names, origins, dropped = list[Floats](), list[str](), list[str](), 0
    for index in np.argsort(-scores_N, kind="stable").tolist():
        near_M = free_M & (distance_NM[index] <= reach_M)
        if near_M.any():
            target = int(np.where(near_M, distance_NM[index], np.inf).argmin())
            free_M[target] = False
            label, origin = labels[target], FOUND
        elif touches_NM[index].any():
            dropped += 1
            continue
        else:
            label, origin = CLUTTER, FALSE_ALARM
        boxes.append(found_N4[index])
        names.append(label)
        origins.append(origin)
    for target in np.flatnonzero(free_M).tolist() if with_missed else ():
        boxes.append(truth_M4[target])
        names.append(labels[target])
        origins.append(MISSED)
    for region in np.flatnonzero(ignored_M).tolist():
        boxes.append(truth_M4[region])
        names.append(labels[region])
        origins.append(IGNORED)
    return LabelledFindings(np.array(boxes, np.float32).reshape(-1, 4), tuple(names), tuple(origins), dropped)


def _distances(found_N4: Floats, truth_M4: Floats) -> Floats:
    found_N2, truth_M2 = (found_N4[:, :2] + found_N4[:, 2:]) / 2, (truth_M4[:, :2] + truth_M4[:, 2:]) / 2
    return np.asarray(np.linalg.norm(found_N2[:, None] - truth_M2[None], axis=2), np.float32)


def _reach(truth_M4: Floats) -> Floats:
    return np.asarray(np.maximum((truth_M4[:, 2:] - truth_M4[:, :2]).max(1, initial=0.0) / 2, MIN_REACH_PX), np.float32)


def _grown_overlap(found_N4: Floats, truth_M4: Floats) -> NDArray[np.bool_]:
    """True where a finding, with some pixels around it, overlaps a box of the truth."""
    grown_N4 = found_N4 + np.array([-_APART_PX, -_APART_PX, _APART_PX, _APART_PX], np.float32)
    overlaps: NDArray[np.bool_] = iou_matrix(grown_N4, truth_M4) > 0
    return overlaps
