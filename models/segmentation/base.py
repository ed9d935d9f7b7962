"""Base class of all segmenters: probability maps and the regions in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from contracts.outputs import Segmentation
from models.interface import InputSpec, Model, Task
from models.regions import regions_of

# Targets are about a thousandth of all pixels: starting there spares the first epochs of learning "everything is background".
HEAD_BIAS = -4.0


class SegmentationPostprocess(BaseModel):
    """Thresholds that turn a probability map into regions; chosen on validation images and kept in the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_area_px: int = Field(default=1, ge=1)


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
        return [
            regions_of(map_HW[:height_px, :width_px], self.settings.threshold, self.settings.min_area_px)
            for map_HW, (height_px, width_px) in zip(maps_BHW, sizes_px, strict=True)
        ]
