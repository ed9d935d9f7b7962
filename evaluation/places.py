"""Places of a sensor's frame that alarm again and again at the same spot: displays, chimneys, dead pixels.

Without labels a place is told from a target by its stillness. What is burnt into the picture, or fixed before a fixed camera, is found
within a fraction of a pixel for as long as one looks; what flies, drives or walks is not, and even a target that hovers drifts in seconds.
A place is proposed where one of these holds:

- still: its detections lie within `STILL_PX` of one spot, keep to it in three quarters of their time, and that time is half of all;
- lasting: it alarms in most frames for half an hour or more, if not to the pixel (a chimney in the wind, a mast that sways).

A target that only moves through is neither: it leaves the spot within a few frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.false_alarms import coverage

STILL_PX = 0.3
"""Most spread about the spot, standard deviation by the median of the distances, on each axis; also most drift of its median."""
LEAST_FRAMES = 10
LASTING_HOURS = 0.5
MOST_PLACES = 50
_RADIUS_PX = 2.5
_RADIUS_OF_SIDE = 0.25  # a large thing wanders more
_LEAST_SPAN = 0.5  # of all frames, from the first alarm to the last
_MOST_SPOTS = 300
_QUARTERS = 4
_BIN_S = 60.0
_SECONDS_PER_HOUR = 3600.0
_CORE_PX = 1.5
_SPREADS = 3
_BOX_PX = 1.0
_MOST_OTHERS = 0.2  # of a place's own detections: more say that something else moves through its box
_LARGEST_BOX = 0.2  # of the frame's side
_SIGMA = 1.4826  # standard deviation of normal values by their median distance
_GAP_PX = 2.0
_MORE_AREA = 1.3


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The detections of a sensor.

    Attributes:
        times_s_N: capture times of its frames, Unix seconds.
        frames_M: index of the frame each detection is in.
        centroids_M2: pixels.
        boxes_M4: x_min, y_min, x_max, y_max in pixels.
        size_px: width, height of its frames.
    """

    times_s_N: NDArray[np.float64]
    frames_M: NDArray[np.int64]
    centroids_M2: NDArray[np.float64]
    boxes_M4: NDArray[np.float64]
    size_px: tuple[int, int]

    def only(self, chosen_M: NDArray[np.bool_]) -> Found:
        """The same frames with some of their detections."""
        return Found(self.times_s_N, self.frames_M[chosen_M], self.centroids_M2[chosen_M], self.boxes_M4[chosen_M], self.size_px)


@dataclass(frozen=True, slots=True)
class Place:
    """A place that alarms.

    Attributes:
        rectangle_px: x_min, y_min, x_max, y_max, whole pixels.
        num_frames: frames with an alarm there.
        num_detections: detections whose centroid lies in the rectangle.
        num_others: of those, detections that are not at the spot: they go, too.
        spread_px: of the detections at the spot, see `STILL_PX`.
        lasting: it lasts half an hour or more; False: seen for less, and all the stiller.
    """

    rectangle_px: tuple[int, int, int, int]
    num_frames: int
    num_detections: int
    num_others: int
    spread_px: float
    lasting: bool

    @property
    def name(self) -> str:
        """A name by its middle."""
        x_min, y_min, x_max, y_max = self.rectangle_px
        return f"place-{(x_min + x_max) // 2}-{(y_min + y_max) // 2}"

    def contains(self, points_N2: NDArray[np.float64]) -> NDArray[np.bool_]:
        """True for each point in the rectangle or on its edge."""
        return _inside(self.rectangle_px, points_N2)


@dataclass(frozen=True, slots=True, eq=False)
class _Spot:
    own_K: NDArray[np.int64]
    num_frames: int
    spread_px: float
    lasting: bool


def find_places(found: Found) -> tuple[Place, ...]:
    """Places to be ignored, those with the most alarms first.

    Args:
        found: detections that make alerts now; frames in any order.
    """
    order = np.argsort(found.times_s_N, kind="stable")
    rank_N = np.empty(len(order), np.int64)
    rank_N[order] = np.arange(len(order))
    ordered = Found(found.times_s_N[order], rank_N[found.frames_M], found.centroids_M2, found.boxes_M4, found.size_px)
    minutes = _Minutes(ordered.times_s_N)
    spots = [spot for own_K in _spots(ordered) if (spot := _judged(ordered, own_K, minutes)) is not None]
    fixed_M = np.zeros(len(found.frames_M), bool)
    for spot in spots:
        fixed_M[spot.own_K] = True
    rectangles = [_rectangle(ordered, spot.own_K, fixed_M) for spot in spots]
    places = [_place(ordered, *group, spots, fixed_M) for group in _merged(rectangles)]
    return tuple(sorted(places, key=lambda place: -place.num_detections)[:MOST_PLACES])


def _inside(rectangle_px: tuple[float, float, float, float], points_N2: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True for each point in a rectangle or on its edge."""
    x_min, y_min, x_max, y_max = rectangle_px
    within_N2: NDArray[np.bool_] = (points_N2 >= (x_min, y_min)) & (points_N2 <= (x_max, y_max))
    return np.asarray(within_N2.all(axis=1), np.bool_)


class _Minutes:
    """Frames by the minute."""

    def __init__(self, times_s_N: NDArray[np.float64]) -> None:
        """Times in rising order."""
        self._times_s_N = times_s_N
        minutes_N = np.floor((times_s_N - times_s_N[:1]) / _BIN_S).astype(np.int64)
        _, self._index_N, self._frames_K = np.unique(minutes_N, return_inverse=True, return_counts=True)
        self._usual_s = max(_BIN_S, float(np.median(np.diff(times_s_N)))) if len(times_s_N) > 1 else _BIN_S

    def hours_of_alarm(self, frames: NDArray[np.int64]) -> float:
        """Hours of the minutes in which most frames are among these."""
        alarms_K = np.bincount(self._index_N[frames], minlength=len(self._frames_K))
        most_K = 2 * alarms_K >= self._frames_K
        if most_K.sum() * self._usual_s < LASTING_HOURS * _SECONDS_PER_HOUR / 2:  # spares the look at each frame
            return 0.0
        return coverage(self._times_s_N[most_K[self._index_N]]).hours


class _Cells:
    """Detections by the pixel of their centroid: those near a point are found without looking at all of them."""

    def __init__(self, points_M2: NDArray[np.float64], size_px: tuple[int, int]) -> None:
        """Sort them."""
        self.width_px, self.height_px = size_px
        self.cells_M2 = np.clip(points_M2.astype(np.int64), 0, (self.width_px - 1, self.height_px - 1))
        keys_M = self.cells_M2[:, 1] * self.width_px + self.cells_M2[:, 0]
        self._order_M = np.argsort(keys_M, kind="stable")
        self._keys_M = keys_M[self._order_M]
        self.counts_HW = (
            np.bincount(keys_M, minlength=self.width_px * self.height_px).reshape(self.height_px, self.width_px).astype(np.float32)
        )

    def within(self, low_xy: NDArray[np.int64], high_xy: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indexes of detections in the cells from `low_xy` to `high_xy`."""
        (x_min, y_min), (x_max, y_max) = np.maximum(low_xy, 0), np.minimum(high_xy, (self.width_px - 1, self.height_px - 1))
        rows = np.arange(y_min, y_max + 1) * self.width_px
        starts, stops = np.searchsorted(self._keys_M, rows + x_min), np.searchsorted(self._keys_M, rows + x_max, side="right")
        return np.concatenate([self._order_M[start:stop] for start, stop in zip(starts, stops, strict=True)])

    def take(self, indexes_K: NDArray[np.int64]) -> None:
        """Count them no more."""
        np.subtract.at(self.counts_HW, (self.cells_M2[indexes_K, 1], self.cells_M2[indexes_K, 0]), 1)


def _spots(found: Found) -> Iterator[NDArray[np.int64]]:
    """Indexes of the detections around each peak of their density, the highest first; each belongs to one."""
    cells = _Cells(found.centroids_M2, found.size_px)
    left_M = np.ones(len(found.frames_M), bool)
    for _ in range(_MOST_SPOTS):
        near_HW = cv2.boxFilter(cells.counts_HW, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
        peak_xy = np.array(np.unravel_index(int(near_HW.argmax()), near_HW.shape)[::-1])
        if near_HW[peak_xy[1], peak_xy[0]] < LEAST_FRAMES:
            return
        near_K = cells.within(peak_xy - 1, peak_xy + 1)
        near_K = near_K[left_M[near_K]]
        spot_xy = np.median(found.centroids_M2[near_K], axis=0)
        side_px = float(np.median((found.boxes_M4[near_K, 2:] - found.boxes_M4[near_K, :2]).max(axis=1)))
        radius_px = max(_RADIUS_PX, _RADIUS_OF_SIDE * side_px)
        reach = int(np.ceil(radius_px)) + 1
        around_K = cells.within(spot_xy.astype(np.int64) - reach, spot_xy.astype(np.int64) + reach)
        is_near_K = ((found.centroids_M2[around_K] - spot_xy) ** 2).sum(axis=1) <= radius_px**2
        own_K = np.union1d(near_K, around_K[is_near_K & left_M[around_K]])
        left_M[own_K] = False
        cells.take(own_K)
        yield own_K


def _judged(found: Found, own_K: NDArray[np.int64], minutes: _Minutes) -> _Spot | None:
    """The spot, if it is still or lasting."""
    frames = np.unique(found.frames_M[own_K])
    if len(frames) < LEAST_FRAMES:
        return None
    centroids_K2 = found.centroids_M2[own_K]
    middle_xy, spread_xy = _middle_and_spread(centroids_K2)
    quarters = np.array_split(centroids_K2[np.argsort(found.frames_M[own_K], kind="stable")], _QUARTERS)
    drifts_px = sorted(float(np.abs(np.median(part, axis=0) - middle_xy).max()) for part in quarters)
    drift_px = drifts_px[-2]  # one quarter may differ: something passes, or the text of a display changes
    spans = frames[-1] - frames[0] + 1 >= _LEAST_SPAN * len(found.times_s_N)
    lasting = minutes.hours_of_alarm(frames) >= LASTING_HOURS
    spread_px = float(spread_xy.max())
    still = spread_px <= STILL_PX and drift_px <= STILL_PX and spans
    return _Spot(own_K, len(frames), spread_px, lasting) if still or lasting else None


def _middle_and_spread(points_K2: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median, and standard deviation by the median distance from it, on each axis: whatever passes by does not count."""
    middle_xy = np.median(points_K2, axis=0)
    return middle_xy, _SIGMA * np.median(np.abs(points_K2 - middle_xy), axis=0)


def _rectangle(found: Found, own_K: NDArray[np.int64], fixed_M: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The usual box, or only the spot itself where that is large or something else moves through it."""
    middle_xy, spread_xy = _middle_and_spread(found.centroids_M2[own_K])
    reach_xy = _SPREADS * spread_xy + _CORE_PX
    core = (*(middle_xy - reach_xy), *(middle_xy + reach_xy))
    x_min, y_min, x_max, y_max = np.median(found.boxes_M4[own_K], axis=0)
    box = (
        min(core[0], x_min - _BOX_PX),
        min(core[1], y_min - _BOX_PX),
        max(core[2], x_max + _BOX_PX),
        max(core[3], y_max + _BOX_PX),
    )
    is_large = bool(np.any((box[2] - box[0], box[3] - box[1]) > _LARGEST_BOX * np.asarray(found.size_px)))
    num_others = int((_inside(box, found.centroids_M2) & ~fixed_M).sum())
    return core if is_large or num_others > _MOST_OTHERS * len(own_K) else box


def _merged(rectangles: list[tuple[float, float, float, float]]) -> list[tuple[tuple[float, float, float, float], list[int]]]:
    """Rectangles side by side as one, with the indexes of what each is made of."""
    groups = [(rectangle, [index]) for index, rectangle in enumerate(rectangles)]
    index = 0
    while index < len(groups):
        for other in range(index + 1, len(groups)):
            a, b = groups[index][0], groups[other][0]
            both = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
            near = all(max(a[axis], b[axis]) - min(a[axis + 2], b[axis + 2]) <= _GAP_PX for axis in (0, 1))
            if near and _area(both) <= _MORE_AREA * (_area(a) + _area(b)):
                groups[index] = (both, groups[index][1] + groups.pop(other)[1])
                index = -1
                break
        index += 1
    return groups


def _area(rectangle: tuple[float, float, float, float]) -> float:
    return (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1])


def _place(
    found: Found, rectangle: tuple[float, float, float, float], indexes: list[int], spots: list[_Spot], fixed_M: NDArray[np.bool_]
) -> Place:
    width_px, height_px = found.size_px
    x_min, y_min, x_max, y_max = rectangle
    whole = (
        max(0, int(np.floor(x_min))),
        max(0, int(np.floor(y_min))),
        min(width_px, int(np.ceil(x_max))),
        min(height_px, int(np.ceil(y_max))),
    )
    in_M = _inside(whole, found.centroids_M2)
    own_M = np.zeros(len(in_M), bool)
    for index in indexes:
        own_M[spots[index].own_K] = True
    return Place(
        rectangle_px=whole,
        num_frames=len(np.unique(found.frames_M[in_M])),
        num_detections=int(in_M.sum()),
        num_others=int((in_M & ~own_M).sum()),
        spread_px=max(spots[index].spread_px for index in indexes),
        lasting=all(spots[index].lasting for index in indexes),
    )
