"""Base class of all segmenters: probability maps and the regions in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from contracts.outputs import Segmentation
from models.interface import InputSpec, Model, Task
from models.regions import regions_of
from models.thresholds import SegmentationPostprocess

# Targets are about a thousandth of all pixels: starting there spares the first epochs of learning "everything is background".
HEAD_BIAS = -4.0


class SegmentationModel(Model[Segmentation]):
    """A network whose raw output is one logit a pixel, `(B, 1, H, W)`."""

    task = Task.SEGMENTATION
    input_spec = InputSpec(size_multiple_px=16)

    def __init__(self) -> None:
        """Start with the default postprocessing."""
        super().__init__()
        self.settings = SegmentationPostprocess()

    def configure(self, postprocess: Mapping[str, float]) -> None:
        """Take thresholds from a card."""
        self.settings = SegmentationPostprocess.model_validate(dict(postprocess))

    def probabilities(self, raw: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Raw output to probabilities `(B, H, W)`, float32."""
        logits_B1HW = raw if isinstance(raw, Tensor) else raw[0]
        return logits_B1HW[:, 0].float().sigmoid()

    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Segmentation]:
        """Logits to the regions of each item; padding is cut off first."""
        maps_BHW = self.probabilities(raw).cpu().numpy()
        how = self.settings
        return [
            regions_of(map_HW[:height_px, :width_px], how.threshold, how.min_area_px, score_map=how.score_map)
            for map_HW, (height_px, width_px) in zip(maps_BHW, sizes_px, strict=True)
        ]
