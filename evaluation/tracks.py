"""Quality of tracks: HOTA, IDF1, CLEAR's identity switches, label changes.

Sources: Luiten et al. 2021, HOTA, IJCV 129, arXiv:2009.07736 (matching and sums over clips as in TrackEval); Ristani et al. 2016, IDF1,
arXiv:1609.01775; Bernardin and Stiefelhagen 2008, CLEAR MOT (a match is kept while it holds, switches are counted against the last one).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from models.boxes import iou_matrix

LEAST_OVERLAPS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Of HOTA, which is the mean over them."""
_LEAST_OVERLAP = 0.5  # of IDF1 and switches
_ROUNDING = 1e-9
_LEAST_REACH_PX = 3.0
Float64: TypeAlias = NDArray[np.float64]
Similarity: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], Float64]
"""From n true and m found boxes to `(n, m)` in [0, 1]."""


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """One frame of a clip.

    Attributes:
        truth_ids: of its n true targets.
        truth_xyxy_px: `(n, 4)`.
        track_ids: of its m tracked detections.
        found_xyxy_px: `(m, 4)`.
        labels: of the m.
    """

    truth_ids: tuple[Hashable, ...]
    truth_xyxy_px: NDArray[np.float32]
    track_ids: tuple[Hashable, ...]
    found_xyxy_px: NDArray[np.float32]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrackScores:
    """Scores of tracks, each in [0, 1] but for counts.

    Attributes:
        hota: mean over `LEAST_OVERLAPS` of the geometric mean of detection and association.
        hota_half: at an overlap of one half.
        detection: DetA, its mean.
        association: AssA, its mean.
        localisation: LocA, mean overlap of matches.
        idf1: F1 of the best assignment of whole tracks.
        switches: times a target goes on under another track.
        label_changes: times the label changes within a track that is a target's, the most in one track.
        tracks: tracks; targets: true ones.
        frames: looked at.
    """

    hota: float
    hota_half: float
    detection: float
    association: float
    localisation: float
    idf1: float
    switches: int
    label_changes: int
    tracks: int
    targets: int
    frames: int


@dataclass(slots=True)
class _Sums:
    """Sums over clips; arrays have one value for each least overlap."""

    matches_A: Float64 = field(default_factory=lambda: np.zeros(len(LEAST_OVERLAPS)))
    associated_A: Float64 = field(default_factory=lambda: np.zeros(len(LEAST_OVERLAPS)))
    overlap_A: Float64 = field(default_factory=lambda: np.zeros(len(LEAST_OVERLAPS)))
    truths: int = 0
    found: int = 0
    kept: int = 0
    switches: int = 0
    label_changes: int = 0
    tracks: int = 0
    targets: int = 0
    frames: int = 0


def centre_closeness(truth_N4: NDArray[np.float32], found_M4: NDArray[np.float32]) -> Float64:
    """`(N, M)`: 1 where centres coincide, 0 from one longer side of the true box (or three pixels) on.

    For targets of a few pixels, and truth with a margin: a box of 10 x 9 pixels round a target of 4 x 3 overlaps it by 0.13 at best.
    """
    centres_N2, centres_M2 = (truth_N4[:, :2] + truth_N4[:, 2:]) / 2, (found_M4[:, :2] + found_M4[:, 2:]) / 2
    distance_NM = np.hypot(*(centres_N2[:, None] - centres_M2[None]).transpose(2, 0, 1))
    reach_N = np.maximum((truth_N4[:, 2:] - truth_N4[:, :2]).max(1, initial=0.0), _LEAST_REACH_PX)
    return np.asarray(np.maximum(0.0, 1 - distance_NM / reach_N[:, None]), np.float64)


def track_scores(clips: Sequence[Sequence[TrackedFrame]], similarity: Similarity = iou_matrix) -> TrackScores:
    """Scores of the tracks of several clips together, as TrackEval sums them.

    Args:
        clips: frames of each in order; ids mean something within a clip only.
        similarity: of true and found boxes, `iou_matrix` or `centre_closeness`.
    """
    sums = _Sums()
    for clip in clips:
        _add(sums, clip, similarity)
    either_A = np.maximum(sums.truths + sums.found - sums.matches_A, 1)
    detection_A = sums.matches_A / either_A
    association_A = sums.associated_A / np.maximum(sums.matches_A, 1)
    localisation_A = np.where(sums.matches_A > 0, sums.overlap_A / np.maximum(sums.matches_A, 1), 1.0)
    hota_A = np.sqrt(detection_A * association_A)
    return TrackScores(
        hota=float(hota_A.mean()),
        hota_half=float(hota_A[LEAST_OVERLAPS.index(0.5)]),
        detection=float(detection_A.mean()),
        association=float(association_A.mean()),
        localisation=float(localisation_A.mean()),
        idf1=2 * sums.kept / max(sums.truths + sums.found, 1),
        switches=sums.switches,
        label_changes=sums.label_changes,
        tracks=sums.tracks,
        targets=sums.targets,
        frames=sums.frames,
    )


def _add(sums: _Sums, clip: Sequence[TrackedFrame], similarity: Similarity) -> None:
    targets = {name: index for index, name in enumerate(dict.fromkeys(name for frame in clip for name in frame.truth_ids))}
    tracks = {name: index for index, name in enumerate(dict.fromkeys(name for frame in clip for name in frame.track_ids))}
    rows = [np.array([targets[name] for name in frame.truth_ids], np.int64) for frame in clip]
    columns = [np.array([tracks[name] for name in frame.track_ids], np.int64) for frame in clip]
    overlaps = [similarity(frame.truth_xyxy_px.reshape(-1, 4), frame.found_xyxy_px.reshape(-1, 4)) for frame in clip]
    lengths_T = np.bincount(np.concatenate([*rows, np.zeros(0, np.int64)]), minlength=len(targets)).astype(np.float64)
    lengths_K = np.bincount(np.concatenate([*columns, np.zeros(0, np.int64)]), minlength=len(tracks)).astype(np.float64)
    sums.truths += int(lengths_T.sum())
    sums.found += int(lengths_K.sum())
    sums.tracks, sums.targets, sums.frames = sums.tracks + len(tracks), sums.targets + len(targets), sums.frames + len(clip)
    _add_hota(sums, rows, columns, overlaps, lengths_T, lengths_K)
    sums.kept += _kept(rows, columns, overlaps, lengths_T, lengths_K)
    partners = _partners(rows, columns, overlaps)
    sums.switches += _switches(partners)
    sums.label_changes = max(sums.label_changes, _label_changes(clip, columns, {track for pairs in partners for _, track in pairs}))


def _add_hota(
    sums: _Sums,
    rows: Sequence[NDArray[np.int64]],
    columns: Sequence[NDArray[np.int64]],
    overlaps: Sequence[Float64],
    lengths_T: Float64,
    lengths_K: Float64,
) -> None:
    common_TK = np.zeros((len(lengths_T), len(lengths_K)))
    for row, column, overlap in zip(rows, columns, overlaps, strict=True):
        either = overlap.sum(0)[None, :] + overlap.sum(1)[:, None] - overlap
        common_TK[row[:, None], column[None, :]] += np.divide(overlap, either, out=np.zeros_like(overlap), where=either > _ROUNDING)
    aligned_TK = common_TK / np.maximum(lengths_T[:, None] + lengths_K[None, :] - common_TK, _ROUNDING)
    matches_ATK = np.zeros((len(LEAST_OVERLAPS), *common_TK.shape))
    for row, column, overlap in zip(rows, columns, overlaps, strict=True):
        if not overlap.size:
            continue
        left, right = linear_sum_assignment(-aligned_TK[row[:, None], column[None, :]] * overlap)
        for level, least in enumerate(LEAST_OVERLAPS):
            close = overlap[left, right] >= least - _ROUNDING
            sums.matches_A[level] += close.sum()
            sums.overlap_A[level] += overlap[left, right][close].sum()
            matches_ATK[level, row[left[close]], column[right[close]]] += 1
    together_ATK = matches_ATK / np.maximum(lengths_T[:, None] + lengths_K[None, :] - matches_ATK, 1)
    sums.associated_A += (matches_ATK * together_ATK).sum((1, 2))


def _kept(
    rows: Sequence[NDArray[np.int64]],
    columns: Sequence[NDArray[np.int64]],
    overlaps: Sequence[Float64],
    lengths_T: Float64,
    lengths_K: Float64,
) -> int:
    """Frames in which targets lie under the track that the best one-to-one assignment of whole tracks gives them (IDTP)."""
    common_TK = np.zeros((len(lengths_T), len(lengths_K)))
    for row, column, overlap in zip(rows, columns, overlaps, strict=True):
        common_TK[row[:, None], column[None, :]] += overlap >= _LEAST_OVERLAP - _ROUNDING
    left, right = linear_sum_assignment(-common_TK)
    return int(common_TK[left, right].sum())


def _partners(
    rows: Sequence[NDArray[np.int64]], columns: Sequence[NDArray[np.int64]], overlaps: Sequence[Float64]
) -> list[list[tuple[int, int]]]:
    """Target and track of each match of each frame: those of the frame before first, then the best others."""
    partners: list[list[tuple[int, int]]] = []
    before: dict[int, int] = {}
    for row, column, overlap in zip(rows, columns, overlaps, strict=True):
        again = np.array([[before.get(target) == track for track in column.tolist()] for target in row.tolist()], bool).reshape(
            overlap.shape
        )
        value = np.where(overlap >= _LEAST_OVERLAP - _ROUNDING, overlap + 1000.0 * again, 0.0)
        left, right = linear_sum_assignment(-value)
        pairs = [(int(row[i]), int(column[j])) for i, j in zip(left, right, strict=True) if value[i, j] > 0]
        before = dict(pairs)
        partners.append(pairs)
    return partners


def _switches(partners: Sequence[Sequence[tuple[int, int]]]) -> int:
    last: dict[int, int] = {}
    switches = 0
    for pairs in partners:
        for target, track in pairs:
            switches += last.get(target, track) != track
            last[target] = track
    return switches


def _label_changes(clip: Sequence[TrackedFrame], columns: Sequence[NDArray[np.int64]], of_targets: set[int]) -> int:
    """The most changes of the label within one track that is a target's at any time."""
    last: dict[int, str] = {}
    changes: dict[int, int] = {}
    for frame, column in zip(clip, columns, strict=True):
        for track, label in zip(column.tolist(), frame.labels, strict=False):
            changes[track] = changes.get(track, 0) + (last.get(track, label) != label)
            last[track] = label
    return max((number for track, number in changes.items() if track in of_targets), default=0)
