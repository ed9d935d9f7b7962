"""Pictures of single frames: what was found is where the row says, and names do not cover each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from contracts.result import Detection
from deploy.predicting.picture import COLOURS, LEAST_SIDE_PX, SUPPRESSED, annotated

FRAME_HW = np.full((100, 160), 1000, np.uint16)
FRAME_HW[0, 0] = 2000


def found(x_px: float, y_px: float, score: float = 0.9, found_by: tuple[str, ...] = ("detector",)) -> Detection:
    return Detection("drone", score, x_px, y_px, x_px + 4, y_px + 4, x_px + 2, y_px + 2, 16, {"drone": 0.9}, None, found_by)


def test_small_frames_are_enlarged_by_a_whole_number() -> None:
    picture = annotated(FRAME_HW, [])
    assert picture.shape == (400, LEAST_SIDE_PX, 3)
    assert (picture == picture[:, :, :1]).all(), "grey where nothing was found"
    assert annotated(np.zeros((30, 1000), np.uint8), []).shape == (30, 1000, 3)


def test_a_box_lies_around_its_target_in_the_colour_of_who_found_it() -> None:
    for found_by, colour in COLOURS.items():
        picture = annotated(FRAME_HW, [found(40, 50, found_by=found_by)])
        coloured = np.argwhere((picture == colour).all(2))
        edges = picture[50 * 4 - 4 : 54 * 4 + 5, 40 * 4 - 4]
        assert (edges == colour).all()
        assert coloured[:, 1].min() == 40 * 4 - 4
        assert not (picture[50 * 4 : 54 * 4, 40 * 4 : 44 * 4] == colour).all(2).any(), "the target itself stays to be seen"


def test_names_cover_neither_each_other_nor_a_target() -> None:
    several = [found(40 + 6 * number, 50, 0.5 + 0.1 * number, ("segmenter",)) for number in range(4)]
    picture = annotated(FRAME_HW, several)
    one = annotated(FRAME_HW, several[:1])
    colour = COLOURS["segmenter",]

    def filled(image: np.ndarray) -> int:
        return int((image == colour).all(2).sum())

    assert filled(picture) > 2 * filled(one), "more than one name was drawn"
    for each in several:
        inside = picture[int(each.y_min_px) * 4 : int(each.y_max_px) * 4, int(each.x_min_px) * 4 : int(each.x_max_px) * 4]
        assert (inside == inside[:, :, :1]).all(), "a name covers a target"


def test_a_name_without_room_is_left_out() -> None:
    tiny_HW = np.zeros((8, 640), np.uint8)
    picture = annotated(tiny_HW, [found(300, 2)])
    assert picture.shape == (8, 640, 3)


def test_what_a_filter_suppresses_is_grey() -> None:
    picture = annotated(FRAME_HW, [replace(found(40, 50), suppressed_by="display")])
    assert (picture[50 * 4 - 4 : 54 * 4 + 5, 40 * 4 - 4] == SUPPRESSED).all()
    assert (picture == picture[:, :, :1]).all(), "no colour anywhere"
