"""Convolutions whose branches are kernels: the same answers and gradients however they run."""

from __future__ import annotations

import pytest
import torch

from models.layers.dirac import DiracConv
from models.layers.norms import freeze_norms

SHAPES = [(4, 4, 1, 1), (4, 4, 1, 3), (3, 5, 1, 2), (4, 6, 2, 1)]


def learnt(inputs: int, outputs: int, stride: int, dilation: int) -> DiracConv:
    """With statistics, gains and offsets that are not those it starts with."""
    torch.manual_seed(3)
    layer = DiracConv(inputs, outputs, stride=stride, dilation=dilation).double()
    for name, value in [*layer.named_parameters(), *layer.named_buffers()]:
        if value.is_floating_point():
            value.data.copy_(torch.rand_like(value) + 0.5 if name.endswith(("gain", "norm.weight", "var")) else torch.randn_like(value))
    return layer


@pytest.mark.parametrize(("inputs", "outputs", "stride", "dilation"), SHAPES)
def test_it_is_the_sum_of_kernel_point_and_shortcut(inputs: int, outputs: int, stride: int, dilation: int) -> None:
    layer = learnt(inputs, outputs, stride, dilation).eval()
    pixels = torch.randn(2, inputs, 9, 11, dtype=torch.float64)
    total = layer.kernel(pixels) + layer.centre(pixels[:, :, ::stride, ::stride])
    if layer.gain is not None:
        total = total + layer.gain[:, None, None] * pixels
    expected = torch.relu(layer.norm(total))
    torch.testing.assert_close(layer(pixels), expected)
    torch.testing.assert_close(torch.relu(layer.fused()(pixels)), expected)
    assert (layer.gain is not None) == (inputs == outputs and stride == 1)


@pytest.mark.parametrize(("inputs", "outputs", "stride", "dilation"), SHAPES)
def test_training_normalises_by_the_batch_and_moves_the_statistics(inputs: int, outputs: int, stride: int, dilation: int) -> None:
    layer = learnt(inputs, outputs, stride, dilation).train()
    before = layer.norm.running_mean.clone() if layer.norm.running_mean is not None else None
    with torch.no_grad():
        layer.norm.weight.fill_(1)
        layer.norm.bias.fill_(0)
    answer = layer(torch.randn(8, inputs, 24, 24, dtype=torch.float64))
    # A standard normal value, cut off at 0, has a mean of 0.4 and a square of a half.
    assert answer.square().mean().item() == pytest.approx(0.5, abs=0.05)
    assert before is not None
    assert layer.norm.running_mean is not None
    assert not torch.equal(before, layer.norm.running_mean)


def test_with_frozen_norms_the_one_convolution_learns_every_branch() -> None:
    layer = learnt(4, 4, 1, 2).train()
    pixels = torch.randn(2, 4, 9, 11, dtype=torch.float64)
    expected = layer.eval()(pixels).detach()
    freeze_norms(layer.train())
    answer = layer(pixels)
    torch.testing.assert_close(answer, expected)
    answer.square().sum().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in layer.parameters())
