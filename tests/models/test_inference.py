"""Ways to compute that change the last digits only: folded, channels last, bfloat16, compiled; and the mean over flips."""

from __future__ import annotations

import shutil
from functools import lru_cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.segmentation import SegmentationMetrics
from models.card import Measurement
from models.devices import MAX_IOU_CHANGE
from models.inference import InferenceModel, prepare
from models.interface import MetadataBatch
from models.normalisation import measure
from models.segmentation.base import SegmentationModel
from models.transforms import normalise
from models.zoo import AnyModel, create_model, load_model

SIDE_PX = 96


def shipped(name: str = "acm") -> SegmentationModel:
    network, _ = load_model(name)
    assert isinstance(network, SegmentationModel)
    return network


@lru_cache
def frames(num: int) -> tuple[torch.Tensor, NDArray[np.bool_]]:
    """Normalised frames `(num, 1, SIDE, SIDE)` with four spots of light each, dim to bright, and where they are."""
    rng = np.random.default_rng(5)
    rows_HW, columns_HW = np.mgrid[:SIDE_PX, :SIDE_PX]
    pixels, truths = [], []
    for _ in range(num):
        counts_HW = rng.normal(90, 3, (SIDE_PX, SIDE_PX)) + 0.2 * columns_HW
        truth_HW = np.zeros((SIDE_PX, SIDE_PX), bool)
        for row, column in (rng.uniform(8, 40, (4, 2)) + np.array([(0, 0), (0, 48), (48, 0), (48, 48)])).tolist():
            light_HW = np.exp(-((rows_HW - row) ** 2 + (columns_HW - column) ** 2) / 6)
            counts_HW += rng.uniform(15, 80) * light_HW
            truth_HW |= light_HW > 0.3
        eight_bit = counts_HW.clip(0, 255).astype(np.uint8)
        pixels.append(normalise(eight_bit, measure(eight_bit, 8)))
        truths.append(truth_HW)
    return torch.from_numpy(np.stack(pixels)[:, None]), np.stack(truths)


def unknown(num: int) -> MetadataBatch:
    return MetadataBatch.unknown((SIDE_PX, SIDE_PX), num)


def iou_of(model: InferenceModel, num: int = 160) -> float:
    network = model.model
    assert isinstance(network, SegmentationModel)
    metrics = SegmentationMetrics()
    pixels_B1HW, truths_BHW = frames(num)
    for first in range(0, num, 16):
        maps_BHW = network.probabilities(model.forward(pixels_B1HW[first : first + 16], unknown(16))).cpu().numpy()
        for map_HW, truth_HW in zip(maps_BHW, truths_BHW[first : first + 16], strict=True):
            metrics.update(map_HW > network.settings.threshold, truth_HW)
    return metrics.compute().iou


@lru_cache
def iou_as_trained(name: str) -> float:
    return iou_of(as_trained(shipped(name)))


def as_trained(network: AnyModel) -> InferenceModel:
    """Neither folded nor channels last."""
    return InferenceModel(network.eval(), torch.device("cpu"), torch.float32, network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("acm", torch.float32),
        ("kestrel", torch.float32),
        ("kestrel", torch.bfloat16),
        ("kestrel_adaptive", torch.float32),
        ("kestrel_wide", torch.float32),
    ],
)
def test_what_is_prepared_finds_the_same_pixels(name: str, dtype: torch.dtype) -> None:
    plain = iou_as_trained(name)
    assert 0.2 < plain < 0.95, "frames on which pixels are close to the threshold"
    assert iou_of(prepare(shipped(name), dtype=dtype)) == pytest.approx(plain, abs=MAX_IOU_CHANGE)


def test_a_card_has_the_largest_change_of_bfloat16_where_all_is_measured() -> None:
    card = load_model("acm")[1]
    values = ({"iou": 0.5, "iou_bfloat16": 0.5004}, {"iou": 0.7, "iou_bfloat16": 0.699}, {"iou": 0.4})
    measured = tuple(Measurement(data=f"set {number}", command="none", values=each) for number, each in enumerate(values))
    assert card.model_copy(update={"measured": measured[:2]}).bfloat16_iou_change == pytest.approx(0.001)
    assert card.model_copy(update={"measured": measured}).bfloat16_iou_change is None
    assert card.model_copy(update={"measured": ()}).bfloat16_iou_change is None


class TwoLayers(SegmentationModel):
    """Small, because compiling takes seconds a layer."""

    paper = "none"

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, pixels_B1HW: torch.Tensor, metadata: MetadataBatch) -> torch.Tensor:
        return self.layers(pixels_B1HW)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: apt install g++")
def test_compiled_once_for_batches_and_frames_of_any_size() -> None:
    network = TwoLayers().eval()
    compiled, folded = prepare(network, compiled=True), prepare(network)
    pixels_B1HW, _ = frames(5)
    torch._dynamo.utils.counters.clear()
    for num in (1, 2, 5, 3):
        for side_px in (64, 80, SIDE_PX):
            pixels, metadata = pixels_B1HW[:num, :, :side_px, :], MetadataBatch.unknown((side_px, SIDE_PX), num)
            torch.testing.assert_close(compiled.forward(pixels, metadata), folded.forward(pixels, metadata), atol=1e-4, rtol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3, "one frame, several frames, and a square batch"


def test_flips_are_the_mean_of_the_four_turned_back() -> None:
    network = shipped()
    pixels_B1HW, _ = frames(2)
    one_way = prepare(network)
    by_hand = torch.zeros(2, 1, SIDE_PX, SIDE_PX)
    for dims in ((), (2,), (3,), (2, 3)):
        raw = one_way.forward(torch.flip(pixels_B1HW, dims), unknown(2))
        assert isinstance(raw, torch.Tensor)
        by_hand += torch.flip(raw, dims) / 4
    mean = prepare(network, flips=True).forward(pixels_B1HW, unknown(2))
    torch.testing.assert_close(mean, by_hand, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(by_hand, one_way.forward(pixels_B1HW, unknown(2)), atol=1e-2)  # type: ignore[arg-type]


def test_flips_are_for_segmenters() -> None:
    with pytest.raises(TypeError, match="a segmenter"):
        prepare(create_model("basic_cnn"), flips=True)
