"""Places that alarm at the same spot become zones; where something moves through, stands for seconds or alarms by chance, nothing does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.places import LEAST_FRAMES, Found, find_places
from evaluation.places_picture import places_picture

SIZE_PX = (320, 256)
Track = NDArray[np.float64]
"""`(n, 3)`: frame, x, y."""


def found(tracks: list[Track], num_frames: int, interval_s: float = 1 / 30, side_px: float = 8.0, shuffled: bool = False) -> Found:
    rows = np.concatenate([np.zeros((0, 3)), *tracks])
    frames, xy = rows[:, 0].astype(np.int64), rows[:, 1:]
    times = np.linspace(1_000.0, 1_000.0 + interval_s * num_frames, num_frames, endpoint=False, dtype=np.float64)
    if shuffled:
        order = np.random.default_rng(3).permutation(num_frames)
        times, frames = times[order], np.argsort(order)[frames]
    return Found(times, frames, xy, np.concatenate([xy - side_px / 2, xy + side_px / 2], axis=1), SIZE_PX)


def fixed(num_frames: int, x: float = 300.0, y: float = 20.0, share: float = 1.0, jitter_px: float = 0.1, seed: int = 0) -> Track:
    dice = np.random.default_rng(seed)
    frames = np.flatnonzero(dice.random(num_frames) < share)
    return np.column_stack([frames, x + dice.normal(0, jitter_px, len(frames)), y + dice.normal(0, jitter_px, len(frames))])


def moving(num_frames: int, speed_px: float, x: float = 20.0, y: float = 120.0, jitter_px: float = 0.1) -> Track:
    dice = np.random.default_rng(1)
    frames = np.arange(num_frames)
    return np.column_stack([frames, x + speed_px * frames, y + dice.normal(0, jitter_px, num_frames)])


def departing(num_frames: int) -> Track:
    track = fixed(num_frames, 150, 120)
    track[:, 1] += np.clip(np.linspace(-2.2, 2, num_frames), 0, 2)
    return track


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_display_is_a_zone_and_the_target_beside_it_is_not(shuffled: bool) -> None:
    places = find_places(found([fixed(300), fixed(300, 20, 245, 0.15, seed=1), moving(300, 0.8)], 300, shuffled=shuffled))
    assert [place.rectangle_px for place in places] == [pytest.approx(box, abs=1) for box in ((294, 14, 306, 26), (14, 239, 26, 251))]
    assert [places[0].contains(np.array([[300.0, 20.0], [20.0, 245.0]])).tolist(), places[0].num_frames] == [[True, False], 300]
    assert not places[0].lasting


@pytest.mark.parametrize(
    ("track", "why"),
    [
        pytest.param(moving(300, 0.05), "drifts", id="hovers and drifts 15 px"),
        pytest.param(moving(300, 0.006), "drifts", id="drifts 1.8 px in ten seconds"),
        pytest.param(fixed(300, jitter_px=0.5), "trembles", id="trembles"),
        pytest.param(departing(300), "drifts", id="sits for half of the time, then moves by two pixels"),
        pytest.param(fixed(90), "short", id="stands for less than half of the time"),
        pytest.param(fixed(LEAST_FRAMES - 1), "few", id="too few frames"),
    ],
)
def test_no_zone(track: Track, why: str) -> None:
    assert find_places(found([track], 300)) == (), why


def test_thirteen_of_thirteen_frames_are_enough() -> None:
    (place,) = find_places(found([fixed(13)], 13))
    assert place.num_frames == 13


def test_a_busy_road_is_no_zone_whatever_is_fixed_beside_it() -> None:
    """For two hours a car every minute along the same line, ten frames each; at its edge a lamp."""
    dice = np.random.default_rng(2)
    cars = [
        np.column_stack([start + np.arange(10), 30.0 * np.arange(10) + dice.uniform(0, 30), 120 + dice.normal(0, 1, 10)])
        for start in range(0, 7_200, 60)
    ]
    lamp = fixed(7_200, 160, 150, 0.9)
    (place,) = find_places(found([*cars, lamp], 7_200, interval_s=1.0))
    assert (place.num_others, place.lasting) == (0, True)
    assert place.contains(np.array([[160.0, 150.0]])).all()
    assert not place.contains(np.array([[x, 120.0] for x in range(320)])).any()


def test_a_chimney_that_sways_is_one_after_half_an_hour() -> None:
    def chimney(hours: float, frames_an_hour: int = 360) -> Found:
        num_frames = round(frames_an_hour * hours)
        return found([fixed(num_frames, jitter_px=0.8)], num_frames, interval_s=3600 / frames_an_hour)

    assert find_places(chimney(0.3)) == ()
    for sways in (chimney(0.7), chimney(12, frames_an_hour=2)):
        (place,) = find_places(sways)
        assert place.lasting


def test_where_something_moves_through_a_large_box_only_the_spot_is_taken() -> None:
    """A fixed thing of 40 pixels, in front of which a target flies by and back."""
    alone = found([fixed(300, 160, 120)], 300, side_px=40)
    (whole,) = find_places(alone)
    assert whole.rectangle_px == pytest.approx((138, 98, 182, 142), abs=1)
    crossing = found([fixed(300, 160, 120), moving(100, 0.4, 140, 110), moving(100, -0.4, 180, 130)], 300, side_px=40)
    (core,) = find_places(crossing)
    assert core.rectangle_px[2] - core.rectangle_px[0] < 8
    assert core.num_others == 0


def test_parts_side_by_side_are_one_zone() -> None:
    (place,) = find_places(found([fixed(300, 100 + 9 * index, 20, seed=index) for index in range(3)], 300))
    assert (place.num_frames, place.num_detections) == (300, 900)


def test_nothing_is_proposed_where_nothing_was_found() -> None:
    assert find_places(found([], 300)) == ()


def test_the_picture_shows_zones_over_frame_and_density() -> None:
    rows = found([fixed(300), moving(300, 0.8)], 300)
    places = find_places(rows)
    frame_HW = np.tile(np.arange(SIZE_PX[0], dtype=np.uint16), (SIZE_PX[1], 1))
    both, density = places_picture(rows, places, frame_HW, "mast-1"), places_picture(rows, places, None, "mast-1")
    assert (both.shape, density.shape) == ((20 + 512, 1280, 3), (20 + 512, 640, 3))
    np.testing.assert_array_equal(both[20:, 640:], density[20:])
    x_min, _, x_max, y_max = (2 * edge for edge in places[0].rectangle_px)
    for left in (0, 640):
        assert (both[20 + y_max, left + x_min : left + x_max, 0] == 255).all(), "the lower edge of the zone"
    assert density[20 + 2 * 20, 2 * 300].sum() > 300, "bright where it alarms"
    assert density[20 + 2 * 200, 2 * 200].sum() < 30, "dark where it never does"
    assert places_picture(rows, places, frame_HW[:, :-1], "mast-1").shape == density.shape, "a frame of another size is none of this sensor"
