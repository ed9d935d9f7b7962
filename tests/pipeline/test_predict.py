"""Frames of files through the networks of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.frame import ContentType
from contracts.limits import InputLimits
from contracts.result import FrameResult
from pipeline.inference.rules import SensorRules
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.pictures import Picture
from pipeline.predict import Answered, Predictor
from pipeline.settings import StreamSettings
from pipeline.tracks.settings import TrackSettings
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.runtime.memory_stream import frames


@dataclass(frozen=True)
class Pictures:
    """Four times the same picture, with one target."""

    name: str
    fps: float | None
    num_pictures: int = 4

    def pictures(self) -> Iterator[Picture]:
        yield from [Picture(frames(1)[0].value or b"", ContentType.PNG)] * self.num_pictures


def test_photos_beside_a_clip_have_no_tracks_and_the_clip_has_its_own_rate() -> None:
    source = FrameSource([Pictures("photos", None), Pictures("slow", 2.0), Pictures("fast", 50.0)])
    with asyncio.Runner() as runner:
        predictor = Predictor(runner, RuleNetworks().handles(), StreamSettings(), SensorRules(), InputLimits(), TrackSettings())
        results = [each.outcome for each in predictor.run(source) if isinstance(each, Answered)]
    tracks: dict[str, list[tuple[str | None, float]]] = {name: [] for name in source.sensors}
    for each in results:
        assert isinstance(each, FrameResult)
        tracks[each.sensor_id] += [(found.track_id, round(found.track_age_s or 0.0, 3)) for found in each.detections]
    assert tracks["photos"] == [(None, 0.0)] * 4
    assert tracks["slow"] == [("archive:slow/0/0#0", 0.5 * n) for n in range(4)]
    assert tracks["fast"] == [("archive:fast/0/0#0", 0.02 * n) for n in range(4)]
