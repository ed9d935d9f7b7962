"""Tiling gives the answer of the whole frame wherever the targets lie: none lost, none doubled."""

from __future__ import annotations

from itertools import pairwise, product

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from actors.settings import TILE_GRID_PX, TileSettings
from actors.tiling import Tile, merge_detections, plan_tiles, stitch
from contracts.outputs import Detections
from models.interface import MetadataBatch, Task
from models.regions import regions_of
from models.transforms import padded_size
from models.zoo import AnyModel, create_model, list_models

SMALL = TileSettings(whole_frame_max_px=64, side_px=48, overlap_px=16)
Box = tuple[int, int, int, int]

frame_sizes = st.tuples(st.integers(20, 170), st.integers(20, 170))
tile_settings = st.builds(
    lambda steps, overlap, more: TileSettings(whole_frame_max_px=16 * steps + more, side_px=16 * steps, overlap_px=min(overlap, 8 * steps)),
    st.integers(2, 6),
    st.integers(16, 48),
    st.integers(0, 40),
)


def marks_of(pixels_HW: NDArray[np.float32]) -> Detections:
    """The fake detector: one box per bright 8-connected blob, its brightness as score."""
    num, labels_HW, stats_N5, _ = cv2.connectedComponentsWithStats((pixels_HW > 0).astype(np.uint8), connectivity=8)
    boxes = stats_N5[1:, :4].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    scores = [pixels_HW[labels_HW == label].max() for label in range(1, num)]
    return Detections(boxes.reshape(-1, 4), np.array(scores, np.float32))


def view(pixels_HW: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
    return pixels_HW[tile.y.start : tile.y.stop, tile.x.start : tile.x.stop]


def detect_tiled(pixels_HW: NDArray[np.float32], how: TileSettings) -> Detections:
    tiles = plan_tiles(pixels_HW.shape[0], pixels_HW.shape[1], how)
    return merge_detections(tiles, [marks_of(view(pixels_HW, tile)) for tile in tiles])


def as_set(found: Detections) -> set[tuple[float, ...]]:
    rows = [(*box, round(float(score), 5)) for box, score in zip(found.boxes_xyxy_px.tolist(), found.scores, strict=True)]
    assert len(rows) == len(set(rows)), "a target was reported twice"
    return set(rows)


def paint(shape: tuple[int, int], boxes: list[Box]) -> NDArray[np.float32]:
    """A dark frame with a bright rectangle per box, each of another brightness; boxes that would touch are left out."""
    pixels_HW = np.zeros(shape, np.float32)
    for index, (y, x, height, width) in enumerate(boxes):
        if not pixels_HW[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2].any():
            pixels_HW[y : y + height, x : x + width] = (index + 1) / (len(boxes) + 1)
    return pixels_HW


@given(size=frame_sizes, how=tile_settings)
def test_cells_divide_the_frame_and_tiles_share_one_padded_size(size: tuple[int, int], how: TileSettings) -> None:
    tiles = plan_tiles(*size, how)

    own_HW = np.zeros(size, int)
    for tile in tiles:
        assert 0 <= tile.y.start <= tile.y.own_start < tile.y.own_stop <= tile.y.stop <= size[0]
        assert 0 <= tile.x.start <= tile.x.own_start < tile.x.own_stop <= tile.x.stop <= size[1]
        own_HW[tile.y.own_start : tile.y.own_stop, tile.x.own_start : tile.x.own_stop] += 1
    assert (own_HW == 1).all()
    for multiple_px in (16, 32):
        assert len({padded_size(tile.height_px, tile.width_px, multiple_px) for tile in tiles}) == 1
    if len(tiles) == 1 and max(size) <= how.whole_frame_max_px:
        assert (tiles[0].height_px, tiles[0].width_px) == size
    else:
        assert max(tiles[0].height_px, tiles[0].width_px) <= how.side_px


@given(size=frame_sizes, how=tile_settings, grid_px=st.sampled_from([TILE_GRID_PX, 2 * TILE_GRID_PX]))
def test_tiles_start_where_the_strides_of_the_whole_frame_do(size: tuple[int, int], how: TileSettings, grid_px: int) -> None:
    for tile in plan_tiles(*size, how, grid_px):
        assert tile.y.start % grid_px == tile.x.start % grid_px == 0


@pytest.mark.parametrize("name", [*list_models(Task.DETECTION), *list_models(Task.SEGMENTATION)])
def test_every_stride_fits_the_grid_or_is_a_multiple_of_it(name: str) -> None:
    with torch.device("meta"):
        stride_px = create_model(name).input_spec.size_multiple_px
    assert TILE_GRID_PX % stride_px == 0 or stride_px % TILE_GRID_PX == 0


# Those that answer place by place. The others know how the frame is as a whole, and answer in lists of boxes.
@pytest.mark.parametrize("name", ["fcos_light"])
def test_a_network_says_the_same_of_a_tile_as_of_the_whole_frame(name: str) -> None:
    torch.manual_seed(0)
    network = create_model(name).eval()
    pixels_HW = torch.randn(640, 1100)
    tile = plan_tiles(640, 1100, TileSettings())[1]
    assert 0 < tile.x.start < 1100 - tile.width_px + TILE_GRID_PX
    whole, part = (_raw(network, seen_HW) for seen_HW in (pixels_HW, pixels_HW[:, tile.x.start : tile.x.stop]))
    for whole_map, part_map in zip(whole, part, strict=True):
        stride = 640 // whole_map.shape[-2]
        # Far from the left edge of the tile, which the whole frame does not have.
        inner = slice(256 // stride, 384 // stride)
        there = slice((tile.x.start + 256) // stride, (tile.x.start + 384) // stride)
        torch.testing.assert_close(part_map[..., inner], whole_map[..., there], atol=1e-4, rtol=1e-3)


def _raw(network: AnyModel, pixels_HW: torch.Tensor) -> tuple[torch.Tensor, ...]:
    height_px, width_px = pixels_HW.shape
    padded = torch.zeros(1, 1, *padded_size(height_px, width_px, network.input_spec.size_multiple_px))
    padded[0, 0, :height_px, :width_px] = pixels_HW
    with torch.inference_mode():
        raw = network(padded, MetadataBatch.unknown((height_px, width_px)))
    return (raw,) if isinstance(raw, torch.Tensor) else tuple(raw)


@given(size=frame_sizes, how=tile_settings)
def test_every_pixel_is_judged_where_it_lies_deepest(size: tuple[int, int], how: TileSettings) -> None:
    tiles = plan_tiles(*size, how)
    for axis in ("y", "x"):
        spans = sorted({getattr(tile, axis) for tile in tiles}, key=lambda span: span.start)
        for before, after in pairwise(spans):
            assert before.stop - after.start >= how.overlap_px
            # The last pixel of the one lies as deep as the first of the other, to the rounding of half a pixel.
            assert abs((before.stop - before.own_stop) - (after.own_start - after.start)) <= 1


@settings(max_examples=150, deadline=None)
@given(
    size=frame_sizes,
    boxes=st.lists(st.tuples(st.integers(0, 169), st.integers(0, 169), st.integers(1, 16), st.integers(1, 16)), max_size=12),
)
@example(size=(128, 128), boxes=[(60, 60, 8, 8), (62, 20, 4, 4), (20, 62, 3, 3), (0, 0, 2, 2), (126, 126, 2, 2), (63, 100, 1, 1)])
def test_targets_up_to_the_overlap_come_out_as_from_the_whole_frame(size: tuple[int, int], boxes: list[Box]) -> None:
    pixels_HW = paint(size, boxes)
    assert as_set(detect_tiled(pixels_HW, SMALL)) == as_set(marks_of(pixels_HW))


@settings(max_examples=100, deadline=None)
@given(
    size=frame_sizes,
    box=st.tuples(st.integers(0, 169), st.integers(0, 169), st.integers(1, 120), st.integers(1, 120)),
)
@example(size=(128, 128), box=(20, 20, 90, 90))
@example(size=(160, 160), box=(0, 60, 160, 30))
def test_a_target_larger_than_the_overlap_is_put_together(size: tuple[int, int], box: Box) -> None:
    pixels_HW = paint(size, [box])
    assert as_set(detect_tiled(pixels_HW, SMALL)) == as_set(marks_of(pixels_HW))


@pytest.mark.parametrize("side_px", [1, 2])
def test_a_close_pair_stays_a_pair_on_every_side_of_a_seam_crossing(side_px: int) -> None:
    tile = plan_tiles(128, 128, SMALL)[0]
    for offset_y, offset_x in product(range(-10, 11, 2), repeat=2):
        y, x = tile.y.own_stop + offset_y, tile.x.own_stop + offset_x
        pixels_HW = np.zeros((128, 128), np.float32)
        pixels_HW[y : y + side_px, x : x + side_px] = 0.5
        pixels_HW[y : y + side_px, x + side_px + 1 : x + 2 * side_px + 1] = 0.7
        assert len(marks_of(pixels_HW)) == 2
        assert as_set(detect_tiled(pixels_HW, SMALL)) == as_set(marks_of(pixels_HW)), f"pair at {y}, {x}"


def test_boxes_that_overlap_in_one_tile_stay_two_targets() -> None:
    tiles = plan_tiles(128, 48, SMALL)
    y = tiles[0].y.own_stop
    both = np.array([[10, y - 4, 20, y + 4], [13, y - 4, 23, y + 4]], np.float32)
    found = []
    for tile in tiles:
        sees = tile.y.start < y < tile.y.stop
        seen = both - np.array([0, tile.y.start] * 2, np.float32)
        found.append(Detections(seen, np.array([0.9, 0.8], np.float32)) if sees else Detections.empty())
    assert merge_detections(tiles, found).boxes_xyxy_px.tolist() == both.tolist()


SEAM_PX = plan_tiles(128, 128, SMALL)[0].y.own_stop
shift = st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(0.1, 1))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    y=st.floats(-12, 4).map(lambda offset: SEAM_PX + offset),
    x=st.floats(-12, 4).map(lambda offset: SEAM_PX + offset),
    side_px=st.floats(2, 10),
    shifts=st.lists(shift, min_size=16, max_size=16),
)
def test_tiles_that_differ_by_rounding_mean_one_target_and_the_one_in_charge_decides(
    y: float, x: float, side_px: float, shifts: list[tuple[float, float, float]]
) -> None:
    tiles = plan_tiles(128, 128, SMALL)
    found = []
    claims: list[tuple[float, list[float]]] = []
    for tile, (dy, dx, score) in zip(tiles, shifts, strict=True):
        box = np.array([x + dx, y + dy, x + dx + side_px, y + dy + side_px], np.float32)
        seen = box - np.array([tile.x.start, tile.y.start] * 2, np.float32)
        whole = (seen >= 1).all() and (seen <= SMALL.side_px - 1).all()
        found.append(Detections(seen[None], np.array([score], np.float32)) if whole else Detections.empty())
        if whole:
            centre_y, centre_x = (box[1] + box[3]) / 2, (box[0] + box[2]) / 2
            depth = min(centre_y - tile.y.own_start, tile.y.own_stop - centre_y, centre_x - tile.x.own_start, tile.x.own_stop - centre_x)
            claims.append((float(depth), [*box.tolist(), score]))

    merged = merge_detections(tiles, found)

    assert len(merged) == 1
    # Two tiles in whose cells it lies equally deep are equally right.
    deepest = max(depth for depth, _ in claims)
    right = [claim for depth, claim in claims if depth > deepest - 1e-4]
    answer = [*merged.boxes_xyxy_px[0], merged.scores[0]]
    assert any(np.allclose(answer, claim, atol=1e-4) for claim in right), (answer, right)


def test_what_only_the_rim_of_a_tile_claims_is_dropped() -> None:
    tiles = plan_tiles(128, 48, SMALL)
    false_alarm = Detections(np.array([[10, 46, 12, 48]], np.float32), np.array([0.9], np.float32))
    found = [false_alarm, *[Detections.empty()] * (len(tiles) - 1)]
    assert len(merge_detections(tiles, found)) == 0


def test_detections_come_by_falling_score() -> None:
    pixels_HW = paint((150, 150), [(5, 5, 3, 3), (70, 70, 3, 3), (140, 140, 3, 3), (5, 140, 3, 3)])
    scores = detect_tiled(pixels_HW, SMALL).scores
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert len(scores) == 4


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(size=frame_sizes, how=tile_settings, seed=st.integers(0, 1000))
def test_stitched_maps_are_the_map_of_the_whole_frame(size: tuple[int, int], how: TileSettings, seed: int) -> None:
    probability_HW = np.asarray(cv2.GaussianBlur(np.random.default_rng(seed).random(size, np.float32), (5, 5), 1), np.float32)
    tiles = plan_tiles(*size, how)

    stitched_HW = stitch(tiles, [view(probability_HW, tile)[tile.y.own, tile.x.own] for tile in tiles])

    np.testing.assert_array_equal(stitched_HW, probability_HW)
    assert regions_of(stitched_HW, 0.55).mask_rles == regions_of(probability_HW, 0.55).mask_rles


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"side_px": 96, "overlap_px": 49}, "overlap_px <= side_px / 2"),
        ({"side_px": 632}, "multiple of 16"),
        ({"side_px": 16}, "greater than or equal to 32"),
        ({"overlap_px": 15}, "greater than or equal to 16"),
        ({"side_px": 800, "whole_frame_max_px": 700}, "side_px <= whole_frame_max_px"),
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, int], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        TileSettings.model_validate(values)


@pytest.mark.parametrize(("size_px", "is_whole"), [((96, 96), True), ((96, 40), True), ((97, 40), False), ((40, 97), False)])
def test_up_to_its_largest_size_a_frame_is_whole(size_px: tuple[int, int], is_whole: bool) -> None:
    tiles = plan_tiles(*size_px, TileSettings(whole_frame_max_px=96, side_px=64, overlap_px=16))
    assert (len(tiles) == 1) is is_whole
