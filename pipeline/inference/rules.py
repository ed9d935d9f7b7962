"""Rules of each sensor: the least score of its rows, and the filters that keep detections out of alerts.

A filter looks at one frame alone. It suppresses a detection by writing its own name into `suppressed_by`; the row keeps everything.
What needs earlier frames (persistence, tracks) comes after these, in the order of the log, and looks at what is still shown.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.result import CLUTTER, DOUBLE, KEPT_BESIDE, WEAK, FrameResult, Outcome
from pipeline.sensor_settings import HIDDEN_LABELS, OUTSIDE, SHOWN_LABELS, AlertSettings, Persistence, SensorSettings, Zone


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Of n detections of frames of one size, all that filters look at.

    Attributes:
        labels_N: text.
        scores_N: 0 to 1.
        boxes_N4: x_min, y_min, x_max, y_max in pixels of the frame.
        centroids_N2: x, y in pixels of the frame.
        size_px: width, height of the frames.
        clutter_N: class scores of `clutter`, 0 to 1; 0 where the classifier has no such class.
        marks_N: `weak` or `double`; None for targets.
    """

    labels_N: NDArray[np.object_]
    scores_N: NDArray[np.float64]
    boxes_N4: NDArray[np.float64]
    centroids_N2: NDArray[np.float64]
    size_px: tuple[int, int]
    clutter_N: NDArray[np.float64]
    marks_N: NDArray[np.object_]


class Filters:
    """Filters of one sensor. Sizes are in pixels of its frame."""

    def __init__(self, settings: AlertSettings, clutter_veto: float | None = None) -> None:
        """Prepare the zones.

        Args:
            settings: of this sensor, see `SensorAlertSettings.over`.
            clutter_veto: what scores as much as clutter is suppressed; None: nothing is.
        """
        self._clutter_veto = None if clutter_veto is None else as_float32(clutter_veto)
        self._settings = settings
        self._min_score = None if settings.min_score is None else as_float32(settings.min_score)
        self._only_here = [zone for zone in settings.zones.values() if zone.effect == "only_here"]
        self._idle = clutter_veto is None and settings == AlertSettings(persistence=settings.persistence)

    @property
    def persistence(self) -> Persistence:
        """Number of frames its targets must be seen in; tracks ask for it."""
        return self._settings.persistence

    def of_label(self, label: str) -> str | None:
        """The filter that suppresses this label; tracks ask for it when they have elected one."""
        if self._settings.shown_labels and label not in self._settings.shown_labels:
            return SHOWN_LABELS
        return HIDDEN_LABELS if label in self._settings.hidden_labels else None

    def marked(self, result: FrameResult) -> FrameResult:
        """The result with the name of the first filter that suppresses it in each detection; None in those that are shown.

        What a row keeps beside its targets comes with a mark, and keeps it.
        """
        if self._idle or not result.detections:
            return result
        names = self.names(_findings(result))
        return replace(
            result, detections=tuple(replace(each, suppressed_by=name) for each, name in zip(result.detections, names, strict=True))
        )

    def names(self, findings: Findings) -> list[str | None]:
        """The first filter that suppresses each detection, after the marks of what is no target; None: it is shown."""
        names: list[str | None] = [None] * len(findings.scores_N)
        left_N = np.ones(len(names), bool)
        for name, suppressed_N in self._asked(findings):
            for index in np.flatnonzero(left_N & suppressed_N):
                names[index] = name
            left_N &= ~suppressed_N
        return names

    def _asked(self, findings: Findings) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Each filter in turn, and what it suppresses."""
        settings, labels_N = self._settings, findings.labels_N
        yield DOUBLE, findings.marks_N == DOUBLE  # first: of the others the names of filters tell what was kept quiet
        yield WEAK, findings.marks_N == WEAK
        for name, zone in settings.zones.items():
            if zone.effect == "ignore":
                yield name, contains(zone, findings.centroids_N2, *findings.size_px)
        if self._only_here:
            yield OUTSIDE, ~np.any([contains(zone, findings.centroids_N2, *findings.size_px) for zone in self._only_here], axis=0)
        sides_N = (findings.boxes_N4[:, 2:] - findings.boxes_N4[:, :2]).max(axis=1, initial=0.0)
        yield "min_size_px", sides_N < settings.min_size_px
        if settings.max_size_px is not None:
            yield "max_size_px", sides_N > settings.max_size_px
        if self._min_score is not None:
            yield "min_score", findings.scores_N < self._min_score
        if self._clutter_veto is not None:
            yield CLUTTER, findings.clutter_N >= self._clutter_veto
        # Last, so that what they suppress is suppressed by nothing else: a track may overrule them.
        if settings.shown_labels:
            yield SHOWN_LABELS, ~_is_one_of(labels_N, settings.shown_labels)
        if settings.hidden_labels:
            yield HIDDEN_LABELS, _is_one_of(labels_N, settings.hidden_labels)


class SensorRules:
    """Rules of all sensors and of single ones. Immutable."""

    def __init__(
        self,
        min_score: float = 0.0,
        alerts: AlertSettings | None = None,
        sensors: Mapping[str, SensorSettings] | None = None,
        clutter_veto: float | None = None,
        finder_score: float | None = None,
    ) -> None:
        """Prepare the filters of each sensor.

        Args:
            min_score: least score of rows, of sensors that have none of their own.
            alerts: filters, likewise; none by default.
            sensors: what single ones have of their own, by their ids.
            clutter_veto: of all sensors, see `Filters`.
            finder_score: boxes of the detector are weak up to this score; None: none is.
        """
        self.finder_score = finder_score
        common, own = alerts or AlertSettings(), sensors or {}
        self._min_score = as_float32(min_score)
        self._min_scores = {name: as_float32(each.min_score) for name, each in own.items() if each.min_score is not None}
        self._common = Filters(common, clutter_veto)
        self._filters = {name: Filters(each.alerts.over(common), clutter_veto) for name, each in own.items()}

    def of_finder(self, finder_score: float | None) -> SensorRules:
        """The same rules for boxes of another detector."""
        other = copy(self)
        other.finder_score = finder_score
        return other

    def min_score(self, sensor_id: str) -> float:
        """Detections of this sensor with a lower score are left out of their rows."""
        return self._min_scores.get(sensor_id, self._min_score)

    def filters(self, sensor_id: str) -> Filters:
        """Filters of this sensor."""
        return self._filters.get(sensor_id, self._common)


class LiveRules:
    """The rules that hold now; they may be exchanged from any thread while frames flow. A block is judged by one of them."""

    def __init__(self, rules: SensorRules | None = None) -> None:
        """Begin with these; by default nothing is left out or suppressed."""
        self.now = rules or SensorRules()

    def exchange(self, rules: SensorRules) -> None:
        """From the next block on, these hold."""
        self.now = rules


def contains(zone: Zone, points_N2: NDArray[np.float64], width_px: int, height_px: int) -> NDArray[np.bool_]:
    """True for each point in a zone or on its edge, `(n,)`.

    Args:
        zone: in pixels or fractions; where its edges cross each other, what they enclose twice is outside.
        points_N2: in pixels of the frame.
        width_px: of the frame.
        height_px: of the frame.
    """
    scale = (width_px, height_px) if zone.is_fraction else (1.0, 1.0)
    corners_K2 = np.asarray(zone.corners, np.float32) * np.asarray(scale, np.float32)
    inside_N: NDArray[np.bool_] = ((points_N2 >= corners_K2.min(axis=0)) & (points_N2 <= corners_K2.max(axis=0))).all(axis=1)
    for index in np.flatnonzero(inside_N):
        inside_N[index] = cv2.pointPolygonTest(corners_K2, points_N2[index].tolist(), measureDist=False) >= 0
    return inside_N


def suppressed_by(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Number of detections that each filter suppresses; weak and double ones are none that a filter keeps quiet."""
    results = (outcome for outcome in outcomes if isinstance(outcome, FrameResult))
    return Counter(each.suppressed_by for result in results for each in result.sure if each.suppressed_by is not None)


def _findings(result: FrameResult) -> Findings:
    found = result.detections
    return Findings(
        labels_N=np.array([each.label for each in found], object),
        scores_N=np.array([each.score for each in found]),
        boxes_N4=np.array([(each.x_min_px, each.y_min_px, each.x_max_px, each.y_max_px) for each in found]),
        centroids_N2=np.array([(each.centroid_x_px, each.centroid_y_px) for each in found]),
        size_px=(result.width_px, result.height_px),
        clutter_N=np.array([each.class_scores.get(CLUTTER, 0.0) for each in found]),
        marks_N=np.array([each.suppressed_by if each.suppressed_by in KEPT_BESIDE else None for each in found], object),
    )


def _is_one_of(labels_N: NDArray[np.object_], labels: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.fromiter((label in labels for label in labels_N), bool, len(labels_N))


def as_float32(score: float) -> float:
    """A score as the table has it: one that reads 0.9 there reaches a least score of 0.9."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", score))
    return float(rounded)
