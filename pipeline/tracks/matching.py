"""Assignment of a frame's detections to the tracks of its sensor: by distance of centres, in two rounds.

As in ByteTrack, sure detections are assigned first, then unsure ones to the tracks that are left: a target that fades keeps its track, and
noise begins none. Distance takes the place of its IoU: boxes of targets of three pixels do not overlap from one frame to the next.

Source: Zhang et al. 2022, ByteTrack, arXiv:2110.06864, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from contracts.result import Detection
from pipeline.tracks.track import Track, size_px

_GATE_PX = 6.0  # a target may always be so far from where it is expected
_GATE_SIZES = 0.5  # and so many of its sizes more
_GATE_SPREADS = 3.0  # and so many standard deviations of the expectation
_WIDEST_PX = 30.0  # but never farther than this
_WIDEST_SIZES = 1.0  # and so many of its sizes
_LARGEST_RATIO = 3.0  # of sizes
_SIZE_BASE_PX = 3.0  # added to both, because one pixel more is nothing
_SIZE_COST = 0.15  # of the gate, for a size that is e times another
_NEVER = 1e6


def assign(tracks: Sequence[Track], detections: Sequence[Detection], sure: Sequence[int], unsure: Sequence[int]) -> dict[int, Track]:
    """Tracks by the index of their detection.

    Args:
        tracks: of the sensor, in the order of their first sights.
        detections: of the frame.
        sure: indices of those that count in the first round.
        unsure: likewise in the second; others are left out.
    """
    found = _round(tracks, detections, sure)
    taken = {track.track_id for track in found.values()}
    return found | _round([track for track in tracks if track.track_id not in taken], detections, unsure)


def beginners(detections: Sequence[Detection], sure: Sequence[int], assigned: Sequence[int]) -> list[int]:
    """Indices of sure detections without a track that begin one: those that are no second box of a target that has its own.

    Args:
        detections: of the frame.
        sure: indices, best score first.
        assigned: indices of those that have a track.
    """
    begun: list[int] = []
    for index in sure:
        if index not in assigned and not any(_same_target(detections[index], detections[other]) for other in (*assigned, *begun)):
            begun.append(index)
    return begun


def _round(tracks: Sequence[Track], detections: Sequence[Detection], indices: Sequence[int]) -> dict[int, Track]:
    if not tracks or not indices:
        return {}
    cost_TD = _costs(tracks, [detections[index] for index in indices])
    rows, columns = linear_sum_assignment(cost_TD)
    return {
        indices[column]: tracks[row] for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if cost_TD[row, column] < _NEVER
    }


def _costs(tracks: Sequence[Track], detections: Sequence[Detection]) -> NDArray[np.float64]:
    """`(tracks, detections)`: distance in gates, with a little for another size; `_NEVER` outside the gate."""
    expected = [track.predicted() for track in tracks]
    places_T2 = np.array([(each.x_px, each.y_px) for each in expected])
    sizes_T = np.array([track.size_px for track in tracks])
    gates_T = _GATE_PX + _GATE_SIZES * sizes_T + _GATE_SPREADS * np.array([each.spread_px for each in expected])
    gates_T = np.minimum(gates_T, _WIDEST_PX + _WIDEST_SIZES * sizes_T)
    centres_D2 = np.array([(each.centroid_x_px, each.centroid_y_px) for each in detections])
    sizes_D = np.array([size_px(each) for each in detections])
    distance_TD = np.hypot(*(places_T2[:, None] - centres_D2[None]).transpose(2, 0, 1)) / gates_T[:, None]
    size_TD = np.abs(np.log((sizes_D[None] + _SIZE_BASE_PX) / (sizes_T[:, None] + _SIZE_BASE_PX)))
    possible_TD = (distance_TD <= 1) & (size_TD <= math.log(_LARGEST_RATIO))
    return np.where(possible_TD, distance_TD + _SIZE_COST * size_TD, _NEVER)


def _same_target(box: Detection, other: Detection) -> bool:
    """True when the centre of one lies in the box of the other."""
    return _inside(box.centroid_x_px, box.centroid_y_px, other) or _inside(other.centroid_x_px, other.centroid_y_px, box)


def _inside(x_px: float, y_px: float, box: Detection) -> bool:
    return box.x_min_px <= x_px < box.x_max_px and box.y_min_px <= y_px < box.y_max_px


def usable(detection: Detection) -> bool:
    """True for a detection that has a place."""
    return math.isfinite(detection.centroid_x_px) and math.isfinite(detection.centroid_y_px)
