"""Values of postprocessing by task: names, ranges and defaults. Importing this loads no torch, so that settings are checked at once."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from models.scores import ScoreMap


class SegmentationPostprocess(BaseModel):
    """Thresholds and score map: from a probability map to regions; chosen on validation images and kept in the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_area_px: int = Field(default=1, ge=1)
    score_slope: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    score_offset: float = Field(default=0.0, allow_inf_nan=False)

    @property
    def score_map(self) -> ScoreMap:
        """Score of a region."""
        return ScoreMap(self.score_slope, self.score_offset)


class DetectionPostprocess(BaseModel):
    """Thresholds that turn raw maps into boxes; the score threshold is chosen on validation images and kept in the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score_threshold: float = Field(default=0.3, gt=0, lt=1)
    nms_iou: float = Field(default=0.3, gt=0, lt=1)
    max_per_frame: int = Field(default=100, ge=1)


class ClassificationPostprocess(BaseModel):
    """Values of a classifier that are chosen on held-out images.

    Attributes:
        temperature: logits are divided by it before the softmax: above 1, scores are less sure. Best classes stay as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)


BY_TASK: Mapping[str, type[BaseModel]] = {
    "detection": DetectionPostprocess,
    "segmentation": SegmentationPostprocess,
    "classification": ClassificationPostprocess,
}
"""Task to its values, for networks that do not bring values of their own."""
