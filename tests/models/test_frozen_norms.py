"""Batch norms that keep their statistics, and the branches that are one convolution with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.interface import MetadataBatch
from models.layers.norms import freeze_norms
from models.layers.reparam import RepConv
from models.zoo import create_model


def learnt(inputs: int, outputs: int, stride: int, dilation: int) -> RepConv:
    """With statistics, gains and offsets that are not those it starts with."""
    torch.manual_seed(3)
    layer = RepConv(inputs, outputs, stride=stride, dilation=dilation).double()
    for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
        if value.is_floating_point():
            value.data.copy_(torch.rand_like(value) + 0.5 if name.endswith(("weight", "var")) else torch.randn_like(value))
    return layer


def gradients(layer: RepConv, output: Tensor) -> dict[str, Tensor]:
    layer.zero_grad()
    torch.sin(output).sum().backward()  # type: ignore[no-untyped-call]
    return {name: parameter.grad.clone() for name, parameter in layer.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(("inputs", "outputs", "stride", "dilation"), [(4, 4, 1, 1), (4, 4, 1, 3), (3, 5, 1, 2), (4, 6, 2, 1)])
def test_one_convolution_learns_as_the_branches_do(inputs: int, outputs: int, stride: int, dilation: int) -> None:
    layer = learnt(inputs, outputs, stride, dilation)
    pixels = torch.randn(2, inputs, 9, 11, dtype=torch.float64)
    freeze_norms(layer.train())
    branches = layer.wide(pixels) + layer.point(pixels)
    expected = torch.relu(branches if layer.same is None else branches + layer.same(pixels))
    torch.testing.assert_close(layer(pixels), expected)
    one, three = gradients(layer, layer(pixels)), gradients(layer, expected)
    assert one.keys() == three.keys() == dict(layer.named_parameters()).keys()
    torch.testing.assert_close(one, three)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_every_batch_norm_of_torch_is_frozen_and_nothing_else(kind: type[nn.Module]) -> None:
    norm, other = kind(4), nn.GroupNorm(2, 4)
    freeze_norms(nn.Sequential(norm, other).train())
    assert (norm.training, other.training) == (False, True)


@pytest.mark.parametrize("name", ["kestrel_fine", "kestrel_adaptive", "kestrel_wide", "merlin", "acm"])
def test_statistics_stay_and_train_thaws_them(name: str) -> None:
    network = create_model(name).train()
    freeze_norms(network)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    pixels, metadata = torch.randn(2, 1, 32, 32) + 3, MetadataBatch.unknown((32, 32), 2)
    answers = network(pixels, metadata)
    assert isinstance(answers, tuple) or name == "acm", "heads of the training are there"
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())
    network.train()(pixels, metadata)
    moved = {each.rpartition(".")[2] for each, buffer in network.named_buffers() if not torch.equal(before[each], buffer)}
    assert moved >= {"running_mean", "running_var"} | ({"usual", "variance"} if name in ("kestrel_adaptive", "kestrel_wide") else set())
