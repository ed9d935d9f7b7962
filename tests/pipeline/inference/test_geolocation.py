"""Places on the ground: against a camera worked out by hand, the corners of a frame, and real packets."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import numpy as np
import pytest

from contracts.frame import Frame
from contracts.klv import Checksum, decode_klv
from contracts.result import FrameResult
from pipeline.inference.geolocation import locator
from tests.contracts.test_klv import packets
from tests.klv_packets import packet
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.inference.test_router import block, frame, route

# A camera 3,000 m over a plane, looking north and 30 degrees down, so that the centre lies 5,196 m ahead.
HEIGHT_M, DIP = 3000.0, math.radians(30)
AHEAD_M = HEIGHT_M / math.tan(DIP)
FOV_DEG = (8.0, 6.0)
CENTRE = (48.0, 11.0)
# WGS 84 at 48 degrees north: metres a degree.
NORTH_M, EAST_M = 111_199.0, 74_626.0
VIEW = {
    "platform_heading_deg": 0.0,
    "platform_pitch_deg": 0.0,
    "platform_roll_deg": 0.0,
    "sensor_relative_azimuth_deg": 0.0,
    "sensor_relative_elevation_deg": -30.0,
    "sensor_relative_roll_deg": 0.0,
    "sensor_latitude": CENTRE[0] - AHEAD_M / NORTH_M,
    "sensor_longitude": CENTRE[1],
    "sensor_altitude_m": 3500.0,
    "sensor_horizontal_fov_deg": FOV_DEG[0],
    "sensor_vertical_fov_deg": FOV_DEG[1],
    "frame_center_latitude": CENTRE[0],
    "frame_center_longitude": CENTRE[1],
    "frame_center_elevation_m": 500.0,
}
CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


def on_the_plane(x: float, y: float) -> tuple[float, float]:
    """Metres east and north of the centre of what a pixel sees, by the slope of its line of sight alone."""
    down = DIP + math.atan((2 * y - 1) * math.tan(math.radians(FOV_DEG[1] / 2)))
    north_m = HEIGHT_M / math.tan(down)
    # Along the optical axis: what the half width of the picture stands for grows with this depth.
    depth_m = north_m * math.cos(DIP) + HEIGHT_M * math.sin(DIP)
    return depth_m * (2 * x - 1) * math.tan(math.radians(FOV_DEG[0] / 2)), north_m - AHEAD_M


def metres(place: tuple[float, float] | None) -> tuple[float, float]:
    assert place is not None
    return (place[1] - CENTRE[1]) * EAST_M, (place[0] - CENTRE[0]) * NORTH_M


def corners(prefix: str = "corner", at: tuple[float, float] = CENTRE) -> dict[str, float]:
    """The four corners of the camera's frame, as they are or beside the centre."""
    numbers: dict[str, float] = {}
    for number, (x, y) in enumerate(CORNERS, start=1):
        east_m, north_m = on_the_plane(x, y)
        latitude, longitude = north_m / NORTH_M, east_m / EAST_M
        if prefix == "corner":
            latitude, longitude = at[0] + latitude, (at[1] + longitude + 180) % 360 - 180
        numbers |= {f"{prefix}_latitude_point_{number}": latitude, f"{prefix}_longitude_point_{number}": longitude}
    return numbers


WAYS = {
    "view": VIEW,
    "corners": corners(),
    "offsets": corners("offset_corner") | {name: VIEW[name] for name in ("frame_center_latitude", "frame_center_longitude")},
}
PIXELS = [(0.5, 0.5), *CORNERS, (0.25, 0.5), (0.5, 0.9), (0.8, 0.1)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("x", "y"), PIXELS)
def test_a_pixel_lies_where_the_camera_sees_it(way: str, x: float, y: float) -> None:
    locate = locator(WAYS[way])
    assert locate is not None
    assert metres(locate(x, y)) == pytest.approx(on_the_plane(x, y), abs=3.0)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_packet_rounds_moves_a_place_by_metres_at_most(way: str) -> None:
    read = decode_klv(packet(WAYS[way]))
    locate = locator(read.numbers)
    assert read.checksum is Checksum.OK
    assert locate is not None
    for x, y in PIXELS:
        assert metres(locate(x, y)) == pytest.approx(on_the_plane(x, y), abs=6.0)


def test_heading_and_azimuth_turn_the_picture_and_north_may_be_where_azimuth_begins() -> None:
    """Looking east: by heading, by azimuth, by a part of each; and as encoders do that send the azimuth from north."""
    east = {"sensor_latitude": CENTRE[0], "sensor_longitude": CENTRE[1] - AHEAD_M / EAST_M}
    for heading, azimuth in ((90, 0), (0, 90), (40, 50), (200, 90)):
        locate = locator(VIEW | east | {"platform_heading_deg": heading, "sensor_relative_azimuth_deg": azimuth})
        assert locate is not None
        east_m, north_m = metres(locate(0.8, 0.1))
        right_m, ahead_m = on_the_plane(0.8, 0.1)
        assert (east_m, north_m) == pytest.approx((ahead_m, -right_m), abs=3.0)


def test_the_picture_is_turned_by_its_roll() -> None:
    locate = locator(VIEW | {"sensor_relative_roll_deg": 180.0})
    assert locate is not None
    assert metres(locate(0.2, 0.9)) == pytest.approx(on_the_plane(0.8, 0.1), abs=3.0)


def test_the_slant_range_wins_over_a_wrong_elevation() -> None:
    slant_m = HEIGHT_M / math.sin(DIP)
    locate = locator(VIEW | {"frame_center_elevation_m": -20.0, "slant_range_m": slant_m})
    assert locate is not None
    assert metres(locate(0.8, 0.1)) == pytest.approx(on_the_plane(0.8, 0.1), abs=6.0)


def test_the_180th_meridian_is_no_edge() -> None:
    locate = locator(corners(at=(48.0, 180.0)))
    assert locate is not None
    west, east = locate(0.1, 0.5), locate(0.9, 0.5)
    assert west is not None
    assert east is not None
    assert 179.9 < west[1] < 180
    assert -180 <= east[1] < -179.9


@pytest.mark.parametrize("name", sorted(VIEW))
def test_where_a_tag_is_missing_nothing_is_invented(name: str) -> None:
    assert locator({other: value for other, value in VIEW.items() if other != name}) is None


@pytest.mark.parametrize("name", sorted(corners()))
def test_three_corners_are_not_four(name: str) -> None:
    assert locator({other: value for other, value in corners().items() if other != name}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"sensor_relative_azimuth_deg": 120.0, "platform_heading_deg": 60.0},  # looks elsewhere by either reading
        {"sensor_relative_elevation_deg": 30.0},  # up
        {"sensor_altitude_m": 400.0},  # below the ground
        {"sensor_altitude_m": 510.0},  # nearly at the horizon
        {"sensor_horizontal_fov_deg": 0.0},
        {"sensor_latitude": CENTRE[0], "sensor_altitude_m": 500.0},  # at the centre itself
    ],
    ids=str,
)
def test_a_packet_that_contradicts_itself_places_nothing(change: dict[str, float]) -> None:
    assert locator(VIEW | change) is None


@pytest.mark.parametrize(
    "change",
    [
        {
            "corner_latitude_point_1": corners()["corner_latitude_point_3"],
            "corner_longitude_point_1": corners()["corner_longitude_point_3"],
        },
        {"corner_latitude_point_2": 10.0},
        dict.fromkeys([name for name in corners() if "latitude" in name], 48.0),
        dict.fromkeys(corners(), 0.0),
    ],
    ids=["crossed", "far away", "on a line", "one point"],
)
def test_corners_that_are_no_frame_place_nothing(change: dict[str, float]) -> None:
    assert locator(corners() | change) is None


def test_rays_above_the_horizon_meet_no_ground() -> None:
    low = VIEW | {"sensor_vertical_fov_deg": 70.0}
    locate = locator(low)
    assert locate is not None
    assert locate(0.5, 0.0) is None
    assert locate(0.5, 0.6) is not None


def test_real_packets_agree_with_themselves_and_their_centres_are_found(shared_data: Path) -> None:
    num = 0
    for name in ("day_flight.klv", "night_flight_ir.klv"):
        for content in packets((shared_data / "misb-klv" / name).read_bytes()):
            numbers = decode_klv(content).numbers
            locate = locator(numbers)
            assert locate is not None
            centre = (numbers["frame_center_latitude"], numbers["frame_center_longitude"])
            assert locate(0.5, 0.5) == pytest.approx(centre, abs=1e-9)
            left, right = locate(0, 0.5), locate(1, 0.5)
            assert left is not None
            assert right is not None
            width_m = math.hypot((left[0] - right[0]) * 111_300, (left[1] - right[1]) * 111_300 * math.cos(math.radians(centre[0])))
            assert width_m >= 0.95 * numbers["target_width_m"], "the ground is cut aslant, so never shorter"
            num += 1
    assert num == 24


def with_klv(content: bytes) -> Frame:
    made = frame(0, 2)
    meta = made.meta.model_copy(update={"klv": base64.b64encode(content).decode()})
    return Frame(made.position, meta, made.pixels_HW, 8, made.normalisation, made.ingested_at)


def routed(content: bytes) -> FrameResult:
    (outcome,) = route(block([with_klv(content)], stop=1), RuleNetworks()).outcomes
    assert isinstance(outcome, FrameResult)
    return outcome


def test_a_row_has_the_sensor_s_place_and_each_detection_its_own() -> None:
    row = routed(packet(VIEW))
    locate = locator(decode_klv(packet(VIEW)).numbers)
    assert locate is not None
    assert (row.sensor_latitude, row.sensor_longitude) == pytest.approx((VIEW["sensor_latitude"], VIEW["sensor_longitude"]), abs=1e-6)
    assert row.sensor_altitude_m == pytest.approx(3500, abs=0.2)
    assert row.klv is not None
    assert row.klv["checksum"] == "ok"
    assert len(row.detections) == 2
    for each in row.detections:
        assert (each.latitude, each.longitude) == locate(each.centroid_x_px / 64, each.centroid_y_px / 8)
    assert row.detections[0].longitude != row.detections[1].longitude


def test_a_wrong_checksum_is_flagged_and_places_no_detection() -> None:
    row = routed(packet(VIEW, checksum=1))
    assert row.klv is not None
    assert row.klv["checksum"] == "wrong"
    assert row.sensor_latitude is not None
    assert [(each.latitude, each.longitude) for each in row.detections] == [(None, None)] * 2


def test_a_frame_without_a_packet_has_no_place() -> None:
    (row,) = route(block([frame(0, 2)], stop=1), RuleNetworks()).outcomes
    assert isinstance(row, FrameResult)
    assert (row.klv, row.sensor_latitude, row.sensor_altitude_m) == (None, None, None)
    assert [each.latitude for each in row.detections] == [None, None]
    assert np.isfinite(row.detections[0].score)
