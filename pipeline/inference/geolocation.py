"""The place on the ground that a pixel shows, from a frame's MISB ST 0601 packet (docs/klv.md states how accurate that is).

With four corners: the projection that takes the frame's corners to theirs. Else with the frame's centre, the fields of view and the
attitude: rays of a pinhole camera, cut with the level plane through the centre. With less than that there is no answer: nothing is assumed.

The line from sensor to centre is known twice, by positions and by angles. The positions win; the angles only say how the picture is turned
about that line, and whether the packet agrees with itself. Some encoders send the sensor's azimuth from north instead of from the
platform's nose: that reading is taken where it fits and the other does not. The height of the sensor over the plane comes from the slant
range where there is one, else from altitude and elevation.

Sources: MISB ST 0601 for the tags and the order of rotations; WGS 84 (NGA.STND.0036) for the ellipsoid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contracts.klv import Checksum, KlvPacket
from contracts.result import Detection

Float64 = NDArray[np.float64]
Locate = Callable[[float, float], tuple[float, float] | None]
"""From the x and y of a pixel, as parts of width and height in [0, 1], to latitude and longitude in degrees."""

_AXIS_M, _FLATTENING = 6_378_137.0, 1 / 298.257223563
_ECCENTRICITY_2 = _FLATTENING * (2 - _FLATTENING)
_UNIT_SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))  # upper left, upper right, lower right, lower left
_FARTHEST_DEG = 5.0  # corners farther than this from the first one are no frame's
_LEAST_DIP = 0.02  # rays less than about a degree below the horizon meet the ground nowhere in particular
_MOST_APART_DEG = 20.0  # between attitude and the line from sensor to centre: then one of the two is wrong
_VIEW = (
    "frame_center_latitude",
    "frame_center_longitude",
    "frame_center_elevation_m",
    "sensor_latitude",
    "sensor_longitude",
    "sensor_altitude_m",
    "sensor_horizontal_fov_deg",
    "sensor_vertical_fov_deg",
    "platform_heading_deg",
    "sensor_relative_azimuth_deg",
    "sensor_relative_elevation_deg",
    "sensor_relative_roll_deg",
)


def placed(detections: tuple[Detection, ...], packet: KlvPacket, width_px: int, height_px: int) -> tuple[Detection, ...]:
    """The detections with the places of their centroids on the ground, as far as the packet says.

    A packet whose checksum is wrong places none: a flipped bit may be a thousand kilometres.
    """
    if not detections or packet.checksum is Checksum.WRONG or (locate := locator(packet.numbers)) is None:
        return detections
    places = [locate(each.centroid_x_px / width_px, each.centroid_y_px / height_px) for each in detections]
    return tuple(
        replace(each, latitude=place[0], longitude=place[1]) if place else each for each, place in zip(detections, places, strict=True)
    )


def locator(numbers: Mapping[str, float]) -> Locate | None:
    """The way from pixels to the ground; None where the packet does not say enough, or contradicts itself.

    Args:
        numbers: of `contracts.klv.KlvPacket`.
    """
    return _by_corners(numbers) or _by_view(numbers)


def _by_corners(numbers: Mapping[str, float]) -> Locate | None:
    corners = _corners(numbers)
    if corners is None:
        return None
    first_latitude, first_longitude = corners[0]
    # Beside the first corner, so that the 180th meridian is no edge.
    beside = [(latitude - first_latitude, _turned(longitude - first_longitude)) for latitude, longitude in corners]
    if not _convex(beside) or max(max(map(abs, each)) for each in beside) > _FARTHEST_DEG:
        return None
    projection = _projection(beside)

    def locate(x: float, y: float) -> tuple[float, float] | None:
        north, east, scale = projection @ (x, y, 1.0)
        return _position(first_latitude + north / scale, first_longitude + east / scale) if scale > 0 else None

    return locate


def _corners(numbers: Mapping[str, float]) -> list[tuple[float, float]] | None:
    """Latitude and longitude of the four corners: as they are, or as offsets from the centre."""
    for prefix, base in (("corner", None), ("offset_corner", "frame_center")):
        names = [[f"{prefix}_{axis}_point_{number}" for axis in ("latitude", "longitude")] for number in range(1, 5)]
        bases = [f"{base}_{axis}" for axis in ("latitude", "longitude")] if base else []
        if all(name in numbers for pair in names for name in pair) and all(name in numbers for name in bases):
            latitude, longitude = (numbers[name] for name in bases) if bases else (0.0, 0.0)
            return [(latitude + numbers[pair[0]], longitude + numbers[pair[1]]) for pair in names]
    return None


def _convex(points: list[tuple[float, float]]) -> bool:
    """True when the corners go round once, with an area: else no camera sees them so."""
    turns = []
    for index in range(4):
        (a, b), (c, d), (e, f) = points[index], points[(index + 1) % 4], points[(index + 2) % 4]
        turns.append((c - a) * (f - d) - (d - b) * (e - c))
    return all(turn > 1e-15 for turn in turns) or all(turn < -1e-15 for turn in turns)


def _projection(points: list[tuple[float, float]]) -> Float64:
    """`(3, 3)`, from the unit square to four points; of positive scale inside it."""
    rows, right = [], []
    for (x, y), (u, v) in zip(_UNIT_SQUARE, points, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.asarray(rows, np.float64), np.asarray(right, np.float64)), 1.0).reshape(3, 3)


def _by_view(numbers: Mapping[str, float]) -> Locate | None:
    pitch = numbers.get("platform_pitch_full_deg", numbers.get("platform_pitch_deg"))
    roll = numbers.get("platform_roll_full_deg", numbers.get("platform_roll_deg"))
    if pitch is None or roll is None or any(name not in numbers for name in _VIEW):
        return None
    latitude, longitude, elevation_m, *sensor = (numbers[name] for name in _VIEW[:6])
    sensor_ENU = _east_north_up(latitude, longitude) @ (_earth_fixed(*sensor) - _earth_fixed(latitude, longitude, elevation_m))
    level_m, slant_m = math.hypot(sensor_ENU[0], sensor_ENU[1]), numbers.get("slant_range_m", 0.0)
    if slant_m > level_m:
        sensor_ENU[2] = math.sqrt(slant_m**2 - level_m**2)
    distance_m = float(np.linalg.norm(sensor_ENU))
    if distance_m < 1.0 or sensor_ENU[2] < _LEAST_DIP * distance_m:
        return None
    heading, azimuth, *mount = (numbers[name] for name in _VIEW[8:])
    readings = [_axes(heading, pitch, roll, relative, *mount) for relative in (azimuth, azimuth - heading)]
    aligned = _aligned(max(readings, key=lambda axes: float(axes[:, 0] @ -sensor_ENU)), -sensor_ENU / distance_m)
    if aligned is None:
        return None
    half_width, half_height = (math.tan(math.radians(numbers[f"sensor_{axis}_fov_deg"]) / 2) for axis in ("horizontal", "vertical"))
    if not (0 < half_width < 100 and 0 < half_height < 100):
        return None
    north_radius_m, east_radius_m = _radii(latitude)

    def locate(x: float, y: float) -> tuple[float, float] | None:
        ray = aligned @ np.array([1.0, (2 * x - 1) * half_width, (2 * y - 1) * half_height])
        if -ray[2] < _LEAST_DIP * float(np.linalg.norm(ray)):
            return None
        east_m, north_m, _ = sensor_ENU - ray * (sensor_ENU[2] / ray[2])
        return _position(latitude + math.degrees(north_m / north_radius_m), longitude + math.degrees(east_m / east_radius_m))

    return locate


def _axes(heading: float, pitch: float, roll: float, azimuth: float, elevation: float, mount_roll: float) -> Float64:
    """`(3, 3)`, columns forward, right and down of the camera, in east, north, up."""
    axes_NED = _rotation(heading, pitch, roll) @ _rotation(azimuth, elevation, mount_roll)
    axes_ENU: Float64 = axes_NED[[1, 0, 2]] * np.array([[1.0], [1.0], [-1.0]])
    return axes_ENU


def _rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Float64:
    """`(3, 3)` from body to parent axes (forward, right, down): about down, then right, then forward."""
    (cy, cp, cr), (sy, sp, sr) = ([turn(math.radians(angle)) for angle in (yaw_deg, pitch_deg, roll_deg)] for turn in (math.cos, math.sin))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _aligned(axes: Float64, forward: Float64) -> Float64 | None:
    """The axes turned by the least angle so that the first is `forward`: position and centre are known better than attitude."""
    cosine = float(axes[:, 0] @ forward)
    if cosine < math.cos(math.radians(_MOST_APART_DEG)):
        return None
    x, y, z = np.cross(axes[:, 0], forward)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Float64 = (np.eye(3) + cross + cross @ cross / (1 + cosine)) @ axes
    return turned


def _earth_fixed(latitude: float, longitude: float, height_m: float) -> Float64:
    north, east = math.radians(latitude), math.radians(longitude)
    radius_m = _AXIS_M / math.sqrt(1 - _ECCENTRICITY_2 * math.sin(north) ** 2)
    level_m = (radius_m + height_m) * math.cos(north)
    return np.array([level_m * math.cos(east), level_m * math.sin(east), (radius_m * (1 - _ECCENTRICITY_2) + height_m) * math.sin(north)])


def _east_north_up(latitude: float, longitude: float) -> Float64:
    """`(3, 3)` from earth-fixed axes to those of a place."""
    (cn, ce), (sn, se) = ([turn(math.radians(angle)) for angle in (latitude, longitude)] for turn in (math.cos, math.sin))
    return np.array([[-se, ce, 0], [-sn * ce, -sn * se, cn], [cn * ce, cn * se, sn]])


def _radii(latitude: float) -> tuple[float, float]:
    """Metres per radian to the north and to the east."""
    sine_2 = 1 - _ECCENTRICITY_2 * math.sin(math.radians(latitude)) ** 2
    north_m = _AXIS_M * (1 - _ECCENTRICITY_2) / sine_2**1.5
    return north_m, _AXIS_M / math.sqrt(sine_2) * max(1e-9, math.cos(math.radians(latitude)))


def _turned(degrees: float) -> float:
    """The same direction within [-180, 180)."""
    return (degrees + 180) % 360 - 180


def _position(latitude: float, longitude: float) -> tuple[float, float] | None:
    return (latitude, _turned(longitude)) if abs(latitude) <= 90 and math.isfinite(longitude) else None
