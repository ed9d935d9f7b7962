"""Frames too large for one pass: cut into overlapping tiles, and put together again without doubles at the seams.

The frame is divided into cells, one per tile; each border between cells runs through the middle of an overlap, so every
pixel is decided by the tile in which it lies farthest from the edge. Probability maps are stitched from the cells.
Of detections, a tile keeps those centred in its cell; where two tiles agree about what both of them see, the two
detections are one target.

Tiles start on multiples of the networks' largest stride, as the frame itself does. A network sees a target a little differently
by where it lies between the steps of its strides: shifted by half a step, boxes move by up to two pixels, and of a target of
three pixels on a seam the two tiles could then claim two, or leave it to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from actors.settings import TILE_GRID_PX, TileSettings
from contracts.outputs import Detections, Float32
from models.boxes import cut_boxes, iou_matrix

AGREEMENT_IOU = 0.5
# Boxes of two or three pixels hardly overlap once they differ by rounding: edges this close count as agreement too.
JITTER_PX = 2.0
_CUT_PX = 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """One axis of a tile: it sees `[start, stop)` and answers for `[own_start, own_stop)`, in pixels of the frame."""

    start: int
    stop: int
    own_start: int
    own_stop: int

    @property
    def own(self) -> slice:
        """Its cell, in pixels of the tile."""
        return slice(self.own_start - self.start, self.own_stop - self.start)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a frame."""

    y: Span
    x: Span

    @property
    def height_px(self) -> int:
        """Rows it sees."""
        return self.y.stop - self.y.start

    @property
    def width_px(self) -> int:
        """Columns it sees."""
        return self.x.stop - self.x.start


@lru_cache(maxsize=256)
def plan_tiles(height_px: int, width_px: int, settings: TileSettings, grid_px: int = TILE_GRID_PX) -> tuple[Tile, ...]:
    """The tiles of a frame, row by row; a single one for a frame that needs no cutting.

    `grid_px` is the largest stride of the network, or a multiple of it.

    Tiles are spread evenly over the grid. The last of a row or column ends with the frame, by less than a grid step earlier
    than the others; padded, all tiles of a frame have the same size (so they share a batch).
    """
    if max(height_px, width_px) <= settings.whole_frame_max_px:
        return (Tile(Span(0, height_px, 0, height_px), Span(0, width_px, 0, width_px)),)
    rows = _plan_axis(height_px, settings, grid_px)
    columns = _plan_axis(width_px, settings, grid_px)
    return tuple(Tile(y, x) for y in rows for x in columns)


def _plan_axis(length_px: int, settings: TileSettings, grid_px: int) -> list[Span]:
    last_steps = -(-max(0, length_px - settings.side_px) // grid_px)
    most_steps = max(1, (settings.side_px - settings.overlap_px) // grid_px)
    gaps = -(-last_steps // most_steps)
    starts = [index * last_steps // max(1, gaps) * grid_px for index in range(gaps + 1)]
    stops = [min(start + settings.side_px, length_px) for start in starts]
    seams = [(stop + after) // 2 for stop, after in zip(stops[:-1], starts[1:], strict=True)]
    cells = zip([0, *seams], [*seams, length_px], strict=True)
    return [Span(start, stop, *cell) for start, stop, cell in zip(starts, stops, cells, strict=True)]


def stitch(tiles: Sequence[Tile], cells: Sequence[Float32]) -> Float32:
    """Put the cells of all tiles of a frame together.

    Args:
        tiles: all tiles of one frame.
        cells: per tile, the part of its map that it answers for.

    Returns:
        `(height, width)` of the frame.
    """
    height_px, width_px = max(tile.y.stop for tile in tiles), max(tile.x.stop for tile in tiles)
    whole_HW = np.empty((height_px, width_px), np.float32)
    for tile, cell in zip(tiles, cells, strict=True):
        whole_HW[tile.y.own_start : tile.y.own_stop, tile.x.own_start : tile.x.own_stop] = cell
    return whole_HW


def merge_detections(tiles: Sequence[Tile], found: Sequence[Detections]) -> Detections:
    """Detections of all tiles of a frame, each target once, by falling score.

    Args:
        tiles: all tiles of one frame.
        found: per tile, boxes in pixels of that tile.

    Returns:
        Boxes in pixels of the frame. A target cut by several tiles (larger than the overlap) gets the box around its pieces.
    """
    pieces = _Pieces.of(tiles, found)
    merged = [_resolve(pieces, members) for members in _targets(tiles, pieces)]
    kept = [one for one in merged if one is not None]
    if not kept:
        return Detections.empty()
    kept.sort(key=lambda one: -one[1])
    return Detections(np.stack([box for box, _ in kept]), np.array([score for _, score in kept], np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """All detections of all tiles, in pixels of the frame.

    Attributes:
        boxes_N4: pixel edges.
        tile_N: which tile saw it.
        inside_N: how far the centre lies inside the tile's cell, pixels; negative outside.
        cut_N: whether it touches an edge of its tile that is no edge of the frame.
    """

    boxes_N4: Float32
    scores_N: Float32
    tile_N: NDArray[np.intp]
    inside_N: Float32
    cut_N: NDArray[np.bool_]

    @classmethod
    def of(cls, tiles: Sequence[Tile], found: Sequence[Detections]) -> _Pieces:
        tile_N = np.repeat(np.arange(len(tiles)), [len(one) for one in found])
        origins_T4 = np.array([[tile.x.start, tile.y.start] * 2 for tile in tiles], np.float32)
        boxes_N4 = np.concatenate([one.boxes_xyxy_px for one in found]).reshape(-1, 4) + origins_T4[tile_N]
        own_T4 = np.array([[tile.x.own_start, tile.y.own_start, tile.x.own_stop, tile.y.own_stop] for tile in tiles], np.float32)[tile_N]
        centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
        inside_N = np.minimum(centres_N2 - own_T4[:, :2], own_T4[:, 2:] - centres_N2).min(axis=1, initial=np.inf)
        rims_T4 = np.array([_inner_rim(tile, tiles) for tile in tiles], np.float32)[tile_N]
        cut_N4 = np.concatenate([boxes_N4[:, :2] < rims_T4[:, :2] + _CUT_PX, boxes_N4[:, 2:] > rims_T4[:, 2:] - _CUT_PX], axis=1)
        return cls(boxes_N4, np.concatenate([one.scores for one in found]), tile_N, inside_N, np.any(cut_N4, axis=1))


def _inner_rim(tile: Tile, tiles: Sequence[Tile]) -> list[float]:
    """The tile's edges, those of the frame moved out of reach."""
    bottom, right = max(one.y.stop for one in tiles), max(one.x.stop for one in tiles)
    return [
        tile.x.start if tile.x.start > 0 else -np.inf,
        tile.y.start if tile.y.start > 0 else -np.inf,
        tile.x.stop if tile.x.stop < right else np.inf,
        tile.y.stop if tile.y.stop < bottom else np.inf,
    ]


def _targets(tiles: Sequence[Tile], pieces: _Pieces) -> list[list[int]]:
    """Group pieces that are one target: at most one piece per tile, the best agreements first."""
    group_of = [[index] for index in range(len(pieces.tile_N))]
    pairs = [
        pair
        for first, second in combinations(np.unique(pieces.tile_N).tolist(), 2)
        for pair in _agreements(tiles[first], tiles[second], pieces, first, second)
    ]
    for _, _, one, other in sorted(pairs, reverse=True):
        mine, theirs = group_of[one], group_of[other]
        if mine is theirs or {pieces.tile_N[index] for index in mine} & {pieces.tile_N[index] for index in theirs}:
            continue
        mine.extend(theirs)
        for index in theirs:
            group_of[index] = mine
    return list({id(group): group for group in group_of}.values())


def _agreements(tile: Tile, other: Tile, pieces: _Pieces, first: int, second: int) -> list[tuple[float, float, int, int]]:
    """Pairs of pieces that look the same within what both tiles see: (overlap, nearness, piece, piece)."""
    shared = np.array(
        [
            max(tile.x.start, other.x.start),
            max(tile.y.start, other.y.start),
            min(tile.x.stop, other.x.stop),
            min(tile.y.stop, other.y.stop),
        ],
        np.float32,
    )
    if shared[0] >= shared[2] or shared[1] >= shared[3]:
        return []
    mine, mine_N4 = _clipped(pieces, first, shared)
    theirs, theirs_M4 = _clipped(pieces, second, shared)
    iou_NM = iou_matrix(mine_N4, theirs_M4)
    shift_NM = np.abs((mine_N4[:, None] - theirs_M4[None]).reshape(len(mine), len(theirs), 4)).max(axis=2, initial=0)
    agree_NM = (iou_NM >= AGREEMENT_IOU) | (shift_NM <= JITTER_PX)
    return [
        (float(iou_NM[row, column]), -float(shift_NM[row, column]), int(mine[row]), int(theirs[column]))
        for row, column in np.argwhere(agree_NM)
    ]


def _clipped(pieces: _Pieces, tile: int, shared_4: Float32) -> tuple[NDArray[np.intp], Float32]:
    """The pieces of a tile that reach into a rectangle, and their boxes cut to it."""
    indices = np.flatnonzero(pieces.tile_N == tile)
    boxes_N4 = pieces.boxes_N4[indices]
    cut_N4 = cut_boxes(boxes_N4, shared_4)
    reaches = (cut_N4[:, :2] < cut_N4[:, 2:]).all(axis=1)
    return indices[reaches], cut_N4[reaches]


def _resolve(pieces: _Pieces, members: list[int]) -> tuple[Float32, float] | None:
    """One box and score for a target; None for what the tile in charge did not confirm."""
    if len(members) == 1 and pieces.inside_N[members[0]] < 0:
        return None
    whole = [index for index in members if not pieces.cut_N[index]]
    if whole:
        best = max(whole, key=lambda index: pieces.inside_N[index])
        return pieces.boxes_N4[best], float(pieces.scores_N[best])
    boxes = pieces.boxes_N4[members]
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]), float(pieces.scores_N[members].max())
