"""Synthetic cameras as pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count

from contracts.codecs import encode_pixels
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.pictures import Picture, Unusable
from pipeline.inputs.raw_layout import layout_of
from synthetic.camera import SyntheticCamera
from synthetic.settings import PLATFORM_OF, SCENES_OF, Scene, SyntheticSettings
from synthetic.truth import FrameTruth

# What several cameras look at when nobody says it: every backdrop, three platforms, all bands in time.
_MIX = (
    (Scene.SKYLINE, Band.LWIR),
    (Scene.GROUND, Band.LWIR),
    (Scene.SEA, Band.MWIR),
    (Scene.SKY, Band.LWIR),
    (Scene.ORBIT, Band.MWIR),
    (Scene.SKYLINE, Band.MWIR),
    (Scene.SKY, Band.SWIR),
    (Scene.SEA, Band.NIR),
    (Scene.SHORE, Band.LWIR),
)


def plan_cameras(
    num_sensors: int,
    scene: Scene | None,
    platform: Platform | None,
    band: Band | None,
    size_px: tuple[int, int],
    bit_depth: int,
    fps: float,
    seed: int,
) -> list[SyntheticSettings]:
    """Settings of several cameras; what is None is varied from one to the next.

    Args:
        num_sensors: how many.
        scene: the same for all, where given.
        platform: the same for all, where given; decides which scenes fit.
        band: the same for all, where given.
        size_px: `(height, width)`.
        bit_depth: 8 to 16.
        fps: frames per second of scene time.
        seed: of the first; the others count on.
    """
    plans = []
    for number in range(num_sensors):
        mixed_scene, mixed_band = _MIX[number % len(_MIX)]
        if platform is not None and platform is not Platform.UNKNOWN:
            mixed_scene = SCENES_OF[platform][number % len(SCENES_OF[platform])]
        chosen = scene or mixed_scene
        plans.append(
            SyntheticSettings(
                scene=chosen,
                platform=platform or PLATFORM_OF[chosen],
                band=band or mixed_band,
                height_px=size_px[0],
                width_px=size_px[1],
                bit_depth=bit_depth,
                fps=fps,
                seed=seed + number,
            )
        )
    return plans


class CameraSequence:
    """Frames of one synthetic camera, without end.

    Args:
        settings: of the camera.
        name: its sensor id.
        content_type: codec of the messages.
        with_truth: whether the exact truth travels along in the header `truth` (JSON).

    Raises:
        SettingsError: the codec cannot hold the bit depth.
    """

    num_pictures: int | None = None

    def __init__(self, settings: SyntheticSettings, name: str, content_type: ContentType, *, with_truth: bool = False) -> None:
        """Build the camera's scene."""
        if content_type is ContentType.JPEG and settings.bit_depth > 8:
            raise SettingsError(
                expected="a codec that holds 9 to 16 bit",
                got=f"jpeg for {settings.bit_depth} bit",
                where="codec",
                action="Set `codec` to png, or `bit_depth` to 8.",
            )
        self.name = name
        self.fps: float | None = settings.fps
        self._settings, self._content_type, self._with_truth = settings, content_type, with_truth
        self._camera = SyntheticCamera(settings)

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Frame after frame."""
        for index in count():
            frame = self._camera.frame(index)
            headers = {"item": f"{self._settings.scene.value}-{self._settings.seed}/{index}"}
            if self._with_truth:
                headers["truth"] = truth_json(frame.truth)
            yield Picture(
                encode_pixels(frame.pixels_HW, self._content_type),
                self._content_type,
                self._settings.platform,
                self._settings.band,
                self._settings.bit_depth,
                layout_of(frame.pixels_HW, self._content_type),
                headers,
                frame.truth,
            )


def truth_json(truth: FrameTruth) -> str:
    """Boxes, labels and tracks as one compact JSON array (header `truth`)."""
    targets = [
        {"track": target.track_id, "label": target.label, "box_xyxy_px": target.box_xyxy_px, "snr": round(target.snr, 1)}
        for target in truth.targets
    ]
    return json.dumps(targets, separators=(",", ":"))


def synthetic_source(
    plans: Sequence[SyntheticSettings], name: str | None, content_type: ContentType, *, with_truth: bool = False
) -> FrameSource:
    """Several synthetic cameras as one source.

    Args:
        plans: settings of each, see `plan_cameras`.
        name: sensor id; numbered when there are several; None for ids by platform, scene and band.
        content_type: codec of the messages.
        with_truth: see `CameraSequence`.
    """
    names = camera_names(plans, name)
    return FrameSource([CameraSequence(plan, text, content_type, with_truth=with_truth) for plan, text in zip(plans, names, strict=True)])


def camera_names(plans: Sequence[SyntheticSettings], name: str | None) -> list[str]:
    """Sensor ids: as given (numbered when several), else by platform, scene and band."""
    if name is not None:
        return [name] if len(plans) == 1 else [f"{name}-{number}" for number in range(1, len(plans) + 1)]
    plain = [f"{plan.platform.value}-{plan.scene.value}-{plan.band.value}" for plan in plans]
    return [text if plain.count(text) == 1 else f"{text}-{plain[: number + 1].count(text)}" for number, text in enumerate(plain)]
