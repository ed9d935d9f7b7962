"""Folded networks say what the others say, and both ends compute in float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models.folding import fold_batch_norms
from models.inference import prepare
from models.interface import MetadataBatch
from models.layers.blocks import ResidualBlock
from models.layers.reparam import RepConv
from tests.models.test_inference import TwoLayers


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), id="neighbours"),
        pytest.param(lambda: ResidualBlock(4, 4), id="residual block"),
        pytest.param(lambda: nn.Sequential(RepConv(4, 4)), id="branches"),
    ],
)
def test_a_folded_network_has_no_batch_norm_and_the_same_outputs(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(3)
    network = build()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
            module.running_mean = torch.rand(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    network.eval()
    x_BCHW = torch.rand(2, 4, 16, 16)
    with torch.inference_mode():
        plain = network(x_BCHW)
        folded = fold_batch_norms(network)
        torch.testing.assert_close(folded(x_BCHW), plain, atol=1e-5, rtol=1e-4)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]


def test_a_network_in_training_is_not_folded() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        fold_batch_norms(TwoLayers().train())


def test_in_bfloat16_the_ends_stay_exact() -> None:
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)]
    network = TwoLayers().eval()
    network.layers = nn.Sequential(*layers)
    model = prepare(network, dtype=torch.bfloat16)
    computed: list[torch.dtype] = []
    for module in model.model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: computed.append(output.dtype))
    pixels = 10 + torch.rand(1, 1, 32, 32) / 100  # next to each other in bfloat16: all one number
    raw = model.forward(pixels, MetadataBatch.unknown((32, 32)))
    assert computed == [torch.float32, torch.bfloat16, torch.float32]
    assert isinstance(raw, torch.Tensor)
    assert raw.dtype is torch.float32
    assert float(raw[..., 4:-4, 4:-4].std()) > 0
    assert all(type(module) is nn.Conv2d for module in prepare(network).model.layers)  # type: ignore[union-attr]
