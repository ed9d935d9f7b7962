"""Small deterministic networks: real `Model`s whose right answer a test can say, and that fail on demand.

They see the normalised frame as it is (raw output = input), so a pixel above `LEVEL` standard deviations is a target.
`TROUBLE` steers all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from contracts.outputs import Classification, Detections
from models import zoo
from models.card import ModelCard, write_card
from models.interface import InputSpec, MetadataBatch, Model, Task
from models.segmentation.base import SegmentationModel
from models.transforms import PREPROCESS_VERSION
from models.weights import save_weights

LEVEL = 4.0
POISON_COUNT = 65535


@dataclass
class Trouble:
    """What goes wrong, and what was seen.

    Attributes:
        capacity: items that fit into memory together.
        sick: every call fails.
        poison: an item with a pixel this many scales above the mean fails the batch; None for no poison.
        not_a_number: as `poison`, but the output of that item becomes NaN.
        batches: size of every batch.
        metadata: of every batch.
        threads: torch's thread count in the computing thread.
    """

    capacity: int = 1_000_000
    sick: bool = False
    poison: float | None = None
    not_a_number: float | None = None
    batches: list[int] = field(default_factory=list)
    metadata: list[MetadataBatch] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def strike(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """Pass the pixels on, or fail."""
        self.batches.append(len(pixels_BCHW))
        self.metadata.append(metadata)
        self.threads.add(torch.get_num_threads())
        peaks_B = pixels_BCHW.flatten(1).amax(1)
        if self.sick:
            raise RuntimeError("device lost")
        if len(pixels_BCHW) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.poison is not None and bool((peaks_B > self.poison).any()):
            raise ValueError("this item is poison")
        if self.not_a_number is not None:
            return torch.where((peaks_B > self.not_a_number)[:, None, None, None], torch.nan, pixels_BCHW)
        return pixels_BCHW


TROUBLE = Trouble()


class FakeDetector(Model[Detections]):
    """One box per blob of bright pixels, scored by its peak."""

    name = "fake_detector"
    task = Task.DETECTION
    input_spec = InputSpec(size_multiple_px=16)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.threshold = LEVEL

    def configure(self, postprocess: Mapping[str, float]) -> None:
        if set(postprocess) - {"threshold"}:
            raise ValueError(f"unknown values {sorted(postprocess)}")
        self.threshold = postprocess.get("threshold", LEVEL)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        return TROUBLE.strike(pixels_BCHW, metadata) * self.gain

    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Detections]:
        assert isinstance(raw, Tensor)
        return [self._one(item[0, :height, :width].numpy()) for item, (height, width) in zip(raw, sizes_px, strict=True)]

    def _one(self, pixels_HW: np.ndarray[Any, np.dtype[np.float32]]) -> Detections:
        num, labels_HW, stats_N5, _ = cv2.connectedComponentsWithStats((pixels_HW > self.threshold).astype(np.uint8), connectivity=8)
        boxes = stats_N5[1:, :4].astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        peaks = np.array([pixels_HW[labels_HW == label].max() for label in range(1, num)], np.float32)
        order = np.argsort(-peaks, kind="stable")
        return Detections(boxes[order], (peaks / (1 + peaks))[order])


class FakeSegmenter(SegmentationModel):
    """Logit of a pixel: how far it stands above `LEVEL`."""

    name = "fake_segmenter"

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        return (TROUBLE.strike(pixels_BCHW, metadata) - LEVEL) * self.gain


class FakeClassifier(Model[Classification]):
    """Class `bright` by the mean of the crop."""

    name = "fake_classifier"
    task = Task.CLASSIFICATION
    input_spec = InputSpec(size_multiple_px=16, fixed_size_px=16)
    class_names = ("bright", "dark")

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def configure(self, postprocess: Mapping[str, float]) -> None:
        if postprocess:
            raise ValueError(f"unknown values {sorted(postprocess)}")

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        means_B = TROUBLE.strike(pixels_BCHW, metadata).mean((1, 2, 3)) * self.gain
        return torch.stack([means_B, -means_B], 1)

    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Classification]:
        assert isinstance(raw, Tensor)
        return [Classification(self.class_names, row[None].numpy()) for row in raw.softmax(1)]


FAKES: tuple[type[Model[Any]], ...] = (FakeDetector, FakeSegmenter, FakeClassifier)


def write_weights(name: str, folder: Path, seed: int = 0) -> Path:
    """Random but fixed weights of a registered network, with a card, as training leaves them."""
    torch.manual_seed(seed)
    model = zoo.create_model(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + seed / 100)
    path = folder / f"{name}-{seed}.safetensors"
    card = ModelCard(
        name=name,
        task=str(model.task),
        paper="none",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gmacs=1,
        input_px=256,
        classes=model.class_names,
        data="none",
        data_licence="none",
        recipe={},
        postprocess={},
        preprocess_version=PREPROCESS_VERSION,
        digest=save_weights(model, path),
    )
    write_card(card, path.with_suffix(".json"))
    return path
