"""The detector actor: boxes of targets for every frame of a block."""

from __future__ import annotations

from collections.abc import Sequence

from actors.frame_actor import FrameActor, FramePart
from actors.loading import LoadedModel, RawOutput
from actors.tiling import merge_detections
from contracts.outputs import Detections
from models.interface import Task
from models.regions import boxes_shown


class DetectorActor(FrameActor[Detections, Detections]):
    """`run(block)` answers with one `Detections` per frame (`actors.reply.DetectorReply`)."""

    task = Task.DETECTION

    def _finish(self, loaded: LoadedModel, raw: RawOutput, parts: Sequence[FramePart]) -> Sequence[Detections]:
        found: list[Detections] = loaded.inference.model.postprocess(raw, [part.size_px for part in parts])
        return found

    def _join(self, loaded: LoadedModel, parts: Sequence[FramePart], results: Sequence[Detections]) -> Detections:
        found = results[0] if parts[0].is_whole else merge_detections([part.tile for part in parts], results)
        void_HW = parts[0].frame.void_HW
        if void_HW is None or not len(found):
            return found
        shown_N = boxes_shown(found.boxes_xyxy_px, void_HW)
        return Detections(found.boxes_xyxy_px[shown_N], found.scores[shown_N])
