"""The segmenter actor: regions of targets for every frame of a block."""

from __future__ import annotations

from collections.abc import Sequence

from actors.frame_actor import FrameActor, FramePart
from actors.loading import LoadedModel, RawOutput
from actors.tiling import stitch
from contracts.frame import Frame
from contracts.outputs import Float32, Segmentation
from models.interface import Task
from models.regions import regions_of
from models.segmentation.base import SegmentationModel


class SegmenterActor(FrameActor[Segmentation | Float32, Segmentation]):
    """`run(block)` answers with one `Segmentation` per frame (`actors.reply.SegmenterReply`).

    A whole frame comes out of its batch as regions. A tile comes out as the probabilities of its cell: a region may lie
    across a seam, so regions are looked for on the stitched map.
    """

    task = Task.SEGMENTATION

    def _finish(self, loaded: LoadedModel, raw: RawOutput, parts: Sequence[FramePart]) -> Sequence[Segmentation | Float32]:
        network = _network(loaded)
        maps_BHW = network.probabilities(raw).cpu().numpy()
        results: list[Segmentation | Float32] = []
        for map_HW, part in zip(maps_BHW, parts, strict=True):
            if part.is_whole:
                results.append(_regions(network, map_HW[: part.tile.height_px, : part.tile.width_px], part.frame))
            else:
                # A copy: a view would keep the maps of the whole batch alive until the last tile of the frame is there.
                results.append(map_HW[part.tile.y.own, part.tile.x.own].copy())
        return results

    def _join(self, loaded: LoadedModel, parts: Sequence[FramePart], results: Sequence[Segmentation | Float32]) -> Segmentation:
        if isinstance(results[0], Segmentation):
            return results[0]
        cells = [cell for cell in results if not isinstance(cell, Segmentation)]
        return _regions(_network(loaded), stitch([part.tile for part in parts], cells), parts[0].frame)


def _regions(network: SegmentationModel, probability_HW: Float32, frame: Frame) -> Segmentation:
    how = network.settings
    pixels_HW, void_HW = frame.pixels_HW, frame.void_HW
    return regions_of(probability_HW, how.threshold, how.min_area_px, pixels_HW=pixels_HW, void_HW=void_HW, score_map=how.score_map)


def _network(loaded: LoadedModel) -> SegmentationModel:
    network = loaded.inference.model
    if not isinstance(network, SegmentationModel):
        raise TypeError(f"expected a SegmentationModel (its maps can be stitched), got {type(network).__name__}")
    return network
