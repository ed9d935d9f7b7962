"""Statistics of batch norms, taken from batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import InputSpec, MetadataBatch
from models.segmentation.base import SegmentationModel
from training.data.batches import Batch
from training.loop.norms import calibrate_norms


class Small(SegmentationModel):
    """One convolution with its norm, and a side that it wants to be a multiple of four."""

    name = "small"
    paper = "none"
    input_spec = InputSpec(size_multiple_px=4)

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.drop = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.1)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        assert not any(side % 4 for side in pixels_BCHW.shape[2:])
        return self.drop(self.norm(self.convolution(pixels_BCHW)))[:, :1]  # type: ignore[no-any-return]


def made_batch(seed: int, side_px: int = 16) -> Batch:
    pixels = 3 + 2 * torch.randn(4, 1, side_px, side_px, generator=torch.Generator().manual_seed(seed))
    return Batch(pixels, (), MetadataBatch.unknown((side_px, side_px), 4))


def test_norms_get_the_statistics_of_the_batches_they_are_calibrated_on() -> None:
    network = Small().eval()
    batches = [made_batch(seed) for seed in range(3)]
    chance, weights = torch.get_rng_state(), [each.clone() for each in network.parameters()]
    calibrate_norms(network, iter(batches))
    assert_statistics(network, [batch.pixels_B1HW for batch in batches])
    assert network.norm.momentum == 0.1
    assert not network.training
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(one, other) for one, other in zip(weights, network.parameters(), strict=True))


def test_crops_are_padded_as_in_training() -> None:
    network = Small().eval()
    batch = made_batch(0, 18)
    calibrate_norms(network, [batch])
    assert_statistics(network, [functional.pad(batch.pixels_B1HW, (0, 2, 0, 2))])


def assert_statistics(network: Small, pixels: list[Tensor]) -> None:
    maps = [network.convolution(each) for each in pixels]
    expected = torch.stack([each.mean((0, 2, 3)) for each in maps]).mean(0)
    variance = torch.stack([each.transpose(0, 1).flatten(1).var(1) for each in maps]).mean(0)
    torch.testing.assert_close(network.norm.running_mean, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.norm.running_var, variance, rtol=1e-4, atol=1e-5)
