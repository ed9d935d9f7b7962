"""The detector actor: boxes of targets for every frame of a block."""

from __future__ import annotations

from collections.abc import Sequence

from actors.frame_actor import FrameActor, FramePart
from actors.loading import LoadedModel, RawOutput
from actors.tiling import merge_detections
from contracts.outputs import Detections
from models.interface import Task


class DetectorActor(FrameActor[Detections, Detections]):
    """`run(block)` answers with one `Detections` per frame (`actors.reply.DetectorReply`)."""

    task = Task.DETECTION

    def _finish(self, loaded: LoadedModel, raw: RawOutput, parts: Sequence[FramePart]) -> Sequence[Detections]:
        found: list[Detections] = loaded.inference.model.postprocess(raw, [part.size_px for part in parts])
        return found

    def _join(self, loaded: LoadedModel, parts: Sequence[FramePart], results: Sequence[Detections]) -> Detections:
        return results[0] if parts[0].is_whole else merge_detections([part.tile for part in parts], results)
