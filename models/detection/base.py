"""Base class of all detectors: settings, boxes out of raw maps, and the loss it learns from.

How boxes become targets of raw outputs differs from family to family, so the loss belongs to the network (`training_loss`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from contracts.outputs import Detections
from models.boxes import strongest_boxes
from models.interface import InputSpec, Model, Task
from models.thresholds import DetectionPostprocess


@dataclass(frozen=True, slots=True, eq=False)
class BoxTruth:
    """Truth of one training crop, on the device of the network.

    Attributes:
        boxes_M4: `(M, 4)` float32, the targets, pixel edges of the crop.
        ignored_K4: `(K, 4)` float32, regions of which nobody knows what is there.
        loose_M: `(M,)` bool, targets whose place is known and whose size is not: their box is drawn around more than them.
        class_M: `(M,)` int64, index of the class in `DetectionModel.class_names`, -1 where it is not known.
    """

    boxes_M4: Tensor
    ignored_K4: Tensor
    loose_M: Tensor = None  # type: ignore[assignment]  # set below
    class_M: Tensor = None  # type: ignore[assignment]  # likewise

    def __post_init__(self) -> None:
        """Targets are of known size and unknown class, unless it is said otherwise."""
        num, device = len(self.boxes_M4), self.boxes_M4.device
        for name, usual in (
            ("loose_M", torch.zeros(num, dtype=torch.bool, device=device)),
            ("class_M", torch.full((num,), -1, device=device)),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual)

    def without_loose(self) -> BoxTruth:
        """The same for a network that learns sizes from all targets: of loose ones it knows nothing."""
        kept_M = ~self.loose_M
        return replace(
            self,
            boxes_M4=self.boxes_M4[kept_M],
            ignored_K4=torch.cat([self.ignored_K4, self.boxes_M4[self.loose_M]]),
            loose_M=self.loose_M[kept_M],
            class_M=self.class_M[kept_M],
        )


class DetectionModel(Model[Detections]):
    """A network whose raw output can be read as scored boxes.

    Attributes:
        takes_loose: True where its loss asks `BoxTruth.loose_M`; others never see a loose target.
    """

    takes_loose: bool = False

    task = Task.DETECTION
    input_spec = InputSpec(size_multiple_px=16)

    def __init__(self) -> None:
        """Start with the default postprocessing."""
        super().__init__()
        self.settings = DetectionPostprocess()

    def configure(self, postprocess: Mapping[str, float]) -> None:
        """Take thresholds from a card."""
        self.settings = DetectionPostprocess.model_validate(dict(postprocess))

    @abstractmethod
    def scored_boxes(self, raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Raw output to scores `(B, N)` in [0, 1] and boxes `(B, N, 4)` in pixel edges, float32, of every place that may hold a target."""

    @abstractmethod
    def training_loss(self, raw: Tensor | tuple[Tensor, ...], truths: Sequence[BoxTruth]) -> Tensor:
        """Loss of a batch.

        Args:
            raw: what `forward` returned in training mode, float32.
            truths: one for each of the B crops, on the same device.

        Returns:
            Scalar with gradient, also where no crop has a target.
        """

    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Detections]:
        """Decode, drop weak and doubled boxes, cut at the border of each item."""
        scores_BN, boxes_BN4 = self.scored_boxes(raw)
        chosen = self.settings
        return [
            Detections(
                *strongest_boxes(
                    boxes_BN4[item],
                    scores_BN[item],
                    size_px,
                    min_score=chosen.score_threshold,
                    max_iou=chosen.nms_iou,
                    max_num=chosen.max_per_frame,
                )
            )
            for item, size_px in enumerate(sizes_px)
        ]
