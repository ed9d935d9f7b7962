"""A synthetic infrared camera: frames with exact truth, each a function of the settings and its index alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sin, tau

import numpy as np
from numpy.typing import NDArray

from synthetic.backdrops.base import Backdrop, Light, View
from synthetic.backdrops.ground import GroundBackdrop
from synthetic.backdrops.orbit import OrbitBackdrop
from synthetic.backdrops.sea import SeaBackdrop
from synthetic.backdrops.shore import ShoreBackdrop
from synthetic.backdrops.sky import SkyBackdrop, SkylineBackdrop
from synthetic.bands import BandLook, look_of
from synthetic.cast import build_cast
from synthetic.display import DetailDisplay
from synthetic.fields import Plane, random_stream
from synthetic.motion import Kind, Slot, Way
from synthetic.sensor import Scale, Sensor
from synthetic.settings import Scene, SyntheticSettings
from synthetic.sprites import Pose, Sprite, render
from synthetic.truth import FrameTruth, TargetTruth

MASK_PART = 0.25
"""A pixel belongs to a target's mask when it gets at least this part of the target's strongest cover."""
_VISIBLE_K = 1e-3
_DETAIL = 0.7
_BACKDROPS: dict[Scene, Callable[[BandLook, View, int], Backdrop]] = {
    Scene.SKY: SkyBackdrop,
    Scene.SKYLINE: SkylineBackdrop,
    Scene.SEA: SeaBackdrop,
    Scene.GROUND: GroundBackdrop,
    Scene.ORBIT: OrbitBackdrop,
    Scene.SHORE: ShoreBackdrop,
}


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticFrame:
    """One frame with its truth.

    Attributes:
        index: number of the frame, from 0.
        time_s: scene time.
        pixels_HW: counts, uint8 (8 bit) or uint16.
        truth: what is in it.
    """

    index: int
    time_s: float
    pixels_HW: NDArray[np.uint8] | NDArray[np.uint16]
    truth: FrameTruth


class SyntheticCamera:
    """Frames on demand, in any order; building one takes up to a few seconds, a 256 x 256 frame a few milliseconds."""

    def __init__(self, settings: SyntheticSettings) -> None:
        """Paint the scene, cast the targets, draw the sensor's flaws."""
        self.settings = settings
        self._look = look_of(settings.band)
        self._view = _view(settings)
        self._backdrop: Backdrop = _BACKDROPS[settings.scene](self._look, self._view, settings.seed)
        self._slots = build_cast(settings.scene.value, self._look, self._view, self._backdrop.places, settings.seed, settings.num_targets)
        self._phases = [float(phase) for phase in random_stream(settings.seed, "sight").uniform(0.0, tau, 6)]
        display = DetailDisplay(self._view.shape, _DETAIL) if settings.bit_depth == 8 else None
        self.scale = (
            Scale.of_counts(settings.bit_depth) if display is None else Scale.of_video(display.flatten(_merge(self._background(0.0))))
        )
        self._sensor = Sensor(self._look, self._view.shape, self.scale, display, settings.bit_depth, settings.bad_pixels_ppm, settings.seed)

    def frame(self, index: int) -> SyntheticFrame:
        """The frame `index` (from 0)."""
        light_HW, truth = self.light(index)
        time_s = index / self.settings.fps
        return SyntheticFrame(index, time_s, self._sensor.expose(light_HW, index, time_s), truth)

    def light(self, index: int, *, with_targets: bool = True) -> tuple[Plane, FrameTruth]:
        """Noise-free light of a frame, kelvin, `(H, W)` float32, and its truth; without targets the truth is empty."""
        time_s = index / self.settings.fps
        behind = self._background(time_s)
        labels_HW = np.zeros(self._view.shape, np.uint16)
        drawn: list[_Drawn] = []
        if with_targets:
            x, y = self._sight(time_s)
            for slot in self._slots:
                target = self._draw(slot, time_s, x, y, behind)
                if target is not None:
                    drawn.append(target)
                    inside = labels_HW[target.window]
                    inside[target.mask] = len(drawn)
        light_HW = _merge(behind)
        return light_HW, self._truth(drawn, labels_HW)

    def _background(self, time_s: float) -> Light:
        return self._backdrop.light(time_s, *self._sight(time_s))

    def _sight(self, time_s: float) -> tuple[float, float]:
        """Line of sight: first pixel of the frame in scene pixels. Slow wandering, a tremble of about a tenth of a pixel."""
        phases, view = self._phases, self._view
        tremble_x = 0.09 * sin(tau * 3.1 * time_s + phases[2]) + 0.05 * sin(tau * 7.3 * time_s + phases[3])
        tremble_y = 0.09 * sin(tau * 2.7 * time_s + phases[4]) + 0.05 * sin(tau * 6.1 * time_s + phases[5])
        if self.settings.scene is Scene.ORBIT:
            return 9.0 * view.height_px / 256 * time_s + tremble_x, view.margin_y_px + tremble_y
        slow = 46.0 if self.settings.scene is Scene.GROUND else 70.0
        x = view.margin_x_px + (view.margin_x_px - 2) * sin(tau * time_s / slow + phases[0])
        y = view.margin_y_px + (view.margin_y_px - 2) * sin(tau * time_s / (1.37 * slow) + phases[1])
        return x + tremble_x, y + tremble_y

    def _draw(self, slot: Slot, time_s: float, sight_x: float, sight_y: float, behind: Light) -> _Drawn | None:
        """Put one target into the light; None where nothing of it is seen."""
        track_id, way, part = slot.at(time_s)
        x, y, size = way.at(part, time_s)
        if self.settings.scene is not Scene.ORBIT:
            x, y = x - sight_x, y - sight_y
        reach = size + self._look.optics.margin_px
        if not (-reach < x < self._view.width_px + reach and -reach < y < self._view.height_px + reach):
            return None
        sprite = render(_pose(slot.kind, way, size, time_s), self._look.optics, x, y)
        return _compose(sprite, slot.kind, way, track_id, behind, self._look.asphalt_k)

    def _truth(self, drawn: list[_Drawn], labels_HW: NDArray[np.uint16]) -> FrameTruth:
        targets: list[TargetTruth] = []
        kept = np.zeros(len(drawn) + 1, np.uint16)
        for number, target in enumerate(drawn, start=1):
            rows, columns = np.nonzero(labels_HW[target.window] == number)
            if len(rows) == 0:
                continue
            top, left = target.window[0].start, target.window[1].start
            contrast = float(target.change.flat[np.argmax(np.abs(target.change))])
            weight = np.abs(target.change)
            share = weight / weight.sum()
            centroid = (
                left + float((share.sum(axis=0) * (np.arange(weight.shape[1]) + 0.5)).sum()),
                top + float((share.sum(axis=1) * (np.arange(weight.shape[0]) + 0.5)).sum()),
            )
            box = (left + int(columns.min()), top + int(rows.min()), left + int(columns.max()) + 1, top + int(rows.max()) + 1)
            targets.append(
                TargetTruth(
                    target.track_id,
                    target.label,
                    box,
                    centroid,
                    len(rows),
                    contrast,
                    abs(contrast) / self._sensor.noise_k(target.level_k),
                    abs(contrast) / max(target.clutter_k, 1e-6),
                )
            )
            kept[number] = len(targets)
        return FrameTruth(tuple(targets), kept[labels_HW])


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """Changes by one target: window of the frame, change of light there, its mask, the light around it."""

    track_id: int
    label: str
    window: tuple[slice, slice]
    change: Plane
    mask: NDArray[np.bool_]
    level_k: float
    clutter_k: float


def _pose(kind: Kind, way: Way, size: float, time_s: float) -> Pose:
    angle = way.heading_deg + 180.0 if way.angle_deg is None else way.angle_deg
    return Pose(kind.label, kind.view, size, angle, kind.beat_hz * time_s + way.phase, way.mirrored)


def _compose(sprite: Sprite, kind: Kind, way: Way, track_id: int, behind: Light, ground_k: float) -> _Drawn | None:
    """Lay a sprite over the light, in place; flying targets pass behind what stands in front."""
    height, width = behind.back_HW.shape
    rows = slice(max(sprite.row, 0), min(sprite.row + sprite.cover_HW.shape[0], height))
    columns = slice(max(sprite.column, 0), min(sprite.column + sprite.cover_HW.shape[1], width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    part = (slice(rows.start - sprite.row, rows.stop - sprite.row), slice(columns.start - sprite.column, columns.stop - sprite.column))
    cover = sprite.cover_HW[part] * np.float32(way.transmission)
    heat = sprite.heat_HW[part] * np.float32(way.transmission * way.contrast_k)
    over_front = kind.grounded or behind.front_cover_HW is None
    window = (rows, columns)
    before = _patch(behind, window) if over_front else behind.back_HW[window]
    level = np.float32(ground_k) if kind.grounded else np.float32(round(float(before.mean(dtype=np.float64)) * 64) / 64)
    change = cover * (level - before) + heat
    seen = cover
    if over_front and behind.front_cover_HW is not None and behind.front_light_HW is not None:
        # In front of everything: the target goes into the front layer.
        front = behind.front_cover_HW[window]
        behind.front_light_HW[window] = behind.front_light_HW[window] * (1 - cover) + cover * level + heat
        behind.front_cover_HW[window] = front + cover - front * cover
    else:
        behind.back_HW[window] += change
        if behind.front_cover_HW is not None:
            clear = np.float32(1.0) - behind.front_cover_HW[window]
            change, seen = change * clear, cover * clear
    strongest = float(sprite.cover_HW.max()) * way.transmission
    mask = seen >= MASK_PART * strongest
    if not mask.any() or float(np.abs(change).max()) < _VISIBLE_K:
        return None
    around = before[~mask] if not mask.all() else before
    return _Drawn(track_id, kind.label, window, change, mask, float(level), float(around.std(dtype=np.float64)))


def _patch(light: Light, window: tuple[slice, slice]) -> Plane:
    back = light.back_HW[window]
    if light.front_cover_HW is None or light.front_light_HW is None:
        return back.copy()
    return back * (np.float32(1.0) - light.front_cover_HW[window]) + light.front_light_HW[window]


def _merge(light: Light) -> Plane:
    """Light at the camera: the back through the gaps of the front."""
    if light.front_cover_HW is None or light.front_light_HW is None:
        return light.back_HW
    return light.back_HW * (np.float32(1.0) - light.front_cover_HW) + light.front_light_HW


def _view(settings: SyntheticSettings) -> View:
    height, width = settings.height_px, settings.width_px
    if settings.scene is Scene.GROUND:
        return View(height, width, max(32, height // 4), max(32, width // 4))
    if settings.scene is Scene.ORBIT:
        return View(height, width, 4, 4)
    return View(height, width, max(6, height // 40), max(8, width // 16))
