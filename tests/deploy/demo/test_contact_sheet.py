"""The contact sheet: what a person sees is what the rows say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pycocotools import mask

from contracts.frame import Band, Platform
from contracts.position import KafkaPosition
from contracts.result import Detection, FrameResult, StageTimes
from deploy.demo.contact_sheet import Tile, write_contact_sheet
from deploy.demo.results import choose

START = datetime(2026, 1, 1, tzinfo=UTC)


def detection(
    x_px: int, y_px: int, side_px: int, shape: tuple[int, int], found_by: tuple[str, ...] = ("detector", "segmenter")
) -> Detection:
    mask_HW = np.zeros(shape, np.uint8, order="F")
    mask_HW[y_px : y_px + side_px, x_px : x_px + side_px] = 1
    rle = mask.encode(mask_HW)["counts"].decode() if "segmenter" in found_by else None
    centre = side_px / 2
    box = (x_px, y_px, x_px + side_px, y_px + side_px)
    return Detection("drone", 0.9, *box, x_px + centre, y_px + centre, side_px**2, {"drone": 0.9}, rle, found_by)


def result(sensor: str, offset: int, num_detections: int = 0) -> FrameResult:
    moment = START + timedelta(seconds=offset)
    found = tuple(detection(4, 4, 3, (32, 32)) for _ in range(num_detections))
    position = KafkaPosition("frames", 0, offset)
    rest: tuple[Any, ...] = (32, 32, 14, Platform.LAND, Band.MWIR, {}, found, (), "1", (), StageTimes())
    return FrameResult(position, sensor, f"f{offset}", offset, moment, moment, moment, *rest)


def colours(path: Path) -> set[tuple[int, int, int]]:
    """Saturated colours of a PNG as (red, green, blue)."""
    distinct = np.unique(read_rgb(path).reshape(-1, 3), axis=0)
    return {(int(red), int(green), int(blue)) for red, green, blue in distinct if max(red, green, blue) - min(red, green, blue) > 100}


def read_rgb(path: Path) -> NDArray[np.int64]:
    picture_HWC = cv2.imread(str(path))
    assert picture_HWC is not None
    return picture_HWC[..., ::-1].astype(np.int64)


def draw(tmp_path: Path, *tiles: Tile) -> Path:
    path = tmp_path / "sub" / "sheet.png"
    write_contact_sheet(tiles, path, "heading")
    return path


@pytest.fixture
def noise_HW() -> NDArray[np.uint16]:
    return np.random.default_rng(0).normal(3000, 30, (64, 96)).astype(np.uint16)


@pytest.mark.slow
def test_who_found_a_target_is_told_by_colour_and_truth_by_another(tmp_path: Path, noise_HW: NDArray[np.uint16]) -> None:
    shape = (64, 96)
    found = tuple(detection(20 * n, 20, 8, shape, by) for n, by in enumerate([("detector", "segmenter"), ("detector",), ("segmenter",)], 1))
    with_truth = colours(draw(tmp_path, Tile(noise_HW, "cam", found, ((40.0, 40.0, 50.0, 50.0),))))
    assert {(0xFF, 0xD2, 0x3F), (0xFF, 0x8C, 0x42), (0x7D, 0xDF, 0x64), (0x5A, 0xD1, 0xFF)} <= with_truth
    assert (0x5A, 0xD1, 0xFF) not in colours(draw(tmp_path, Tile(noise_HW, "cam", found, None)))


def test_a_box_is_drawn_where_the_row_says(tmp_path: Path, noise_HW: NDArray[np.uint16]) -> None:
    """Left half against right half: a swapped or mirrored axis would show."""
    boxes = {}
    for name, x_px in (("left", 8), ("right", 80)):
        path = draw(tmp_path, Tile(noise_HW, "cam", (detection(x_px, 40, 8, (64, 96), ("detector",)),)))
        picture_HWC = read_rgb(path)[60:-60]  # without heading and legend
        columns = np.nonzero((picture_HWC == (0xFF, 0x8C, 0x42)).all(axis=2))[1]
        boxes[name] = np.median(columns) / picture_HWC.shape[1]
    assert boxes["left"] < 0.5 < boxes["right"]


@pytest.mark.slow
def test_no_label_lies_under_the_enlarged_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    places = np.random.default_rng(3).integers(4, 240, (6, 5, 2))
    for number, each in enumerate(places):
        found = tuple(detection(int(x), int(y), 4, (256, 256)) for x, y in each)
        draw(tmp_path, Tile(np.zeros((256, 256), np.uint16), f"{number}", found))
    labels = 0
    for figure in figures:
        figure.canvas.draw()
        (axes,) = figure.axes
        (loupe,) = axes.child_axes
        under = loupe.get_window_extent()
        labels += len(axes.texts)
        assert [text.get_text() for text in axes.texts if text.get_window_extent().overlaps(under)] == []
    assert labels >= 24


def test_many_sizes_and_an_empty_last_row(tmp_path: Path) -> None:
    shapes = [(64, 64), (48, 200), (300, 64), (64, 64), (64, 64)]
    tiles = [Tile(np.zeros(shape, np.uint8), f"cam {shape}", (), ()) for shape in shapes]
    assert read_rgb(draw(tmp_path, *tiles)).shape[1] > 1500


def test_no_tile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        write_contact_sheet([], tmp_path / "sheet.png", "heading")


def test_every_sensor_has_its_turn_and_detections_come_first() -> None:
    results = [result("a", n, num_detections=n % 2) for n in range(20)] + [result("b", n) for n in range(100, 102)] + [result("c", 200, 1)]
    chosen = choose(results, 9)
    assert [item.sensor_id for item in chosen] == ["a"] * 6 + ["b"] * 2 + ["c"]
    of_a = [item for item in chosen if item.sensor_id == "a"]
    assert all(item.detections for item in of_a)
    times = [item.captured_at for item in of_a]
    assert times == sorted(times)
    assert times[-1] - times[0] > timedelta(seconds=10)


def test_fewer_frames_than_tiles() -> None:
    assert len(choose([result("a", 1), result("a", 2)], 16)) == 2
    assert choose([], 16) == []
