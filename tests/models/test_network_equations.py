"""What the networks of the papers compute, in elementary operations: each attention, and which layer reads what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.layers.attention import AttentiveBlock, ChannelAttention, SpatialGate
from models.segmentation.acm import AsymmetricModulation
from models.segmentation.rdian import DirectionAttention
from models.segmentation.uiunet import InteractiveCrossAttention
from models.zoo import create_model
from tests.models.elementary import (
    Passed,
    convolved,
    convolved_and_normed,
    halved,
    layers_of,
    noise,
    normed,
    recorded,
    relu,
    resized,
    sigmoid,
    stirred,
)

LEVELS = 5


@pytest.fixture(autouse=True)
def _same_weights_each_time() -> None:
    torch.manual_seed(0)


def channel_gates(x_BCHW: Tensor, module: nn.Module) -> Tensor:
    """CBAM, eq. 2: `sigmoid(W1 relu(W0 mean) + W1 relu(W0 max))` over pixels."""
    narrow, wide = layers_of(module, nn.Conv2d)
    pooled = (x_BCHW.mean((2, 3), keepdim=True), x_BCHW.flatten(2).max(2).values[..., None, None])
    means, maxima = (convolved(relu(convolved(each, narrow)), wide) for each in pooled)
    return sigmoid(means + maxima)


def pixel_gates(x_BCHW: Tensor, module: nn.Module) -> Tensor:
    """CBAM, eq. 3: `sigmoid(Conv([mean, max]))` over channels, with a norm where there is one."""
    (mix,) = layers_of(module, nn.Conv2d)
    maps_B1HW = convolved(torch.stack([x_BCHW.mean(1), x_BCHW.max(1).values], 1), mix)
    for norm in layers_of(module, nn.BatchNorm2d):
        maps_B1HW = normed(maps_B1HW, norm)
    return sigmoid(maps_B1HW)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_cbam_gates_channels_by_mean_and_maximum(bias: bool) -> None:
    module, x = stirred(ChannelAttention(32, 8, bias=bias).double()), noise(2, 32, 5, 7) * 3
    assert_close(module(x), x * channel_gates(x, module))


@pytest.mark.parametrize(("kernel", "norm"), [(7, False), (7, True), (3, False)])
@torch.no_grad()
def test_cbam_gates_pixels_by_mean_and_maximum(kernel: int, norm: bool) -> None:
    module, x = stirred(SpatialGate(kernel, norm=norm).double()), noise(2, 6, 9, 8) * 3
    assert_close(module(x), pixel_gates(x, module))


@pytest.mark.parametrize("inputs", [16, 24])
@torch.no_grad()
def test_a_block_of_dnanet_gates_channels_then_pixels_beside_its_shortcut(inputs: int) -> None:
    module, x = stirred(AttentiveBlock(inputs, 16).double()), noise(2, inputs, 6, 7)
    channel, spatial = layers_of(module, ChannelAttention, SpatialGate)
    convolutions = layers_of(module, nn.Conv2d)
    norms = layers_of(module, nn.BatchNorm2d)
    body = normed(convolved(relu(normed(convolved(x, convolutions[0]), norms[0])), convolutions[1]), norms[1])
    body = body * channel_gates(body, channel)
    body = body * pixel_gates(body, spatial)
    shortcut = x if inputs == 16 else normed(convolved(x, convolutions[-1]), norms[-1])
    assert_close(module(x.clone()), relu(body + shortcut))


@torch.no_grad()
def test_acm_gates_channels_from_above_and_pixels_from_below() -> None:
    """Paper eq. 7: the deep map's mean gates channels of the shallow one, whose pixels gate the deep one; twice each."""
    module = AsymmetricModulation(16).double()
    stirred(module)
    deep, shallow = noise(2, 16, 6, 7), noise(2, 16, 6, 7, seed=2)
    from_above = sigmoid(convolved_and_normed(deep.mean((2, 3), keepdim=True), module.channel_gate))
    from_below = sigmoid(convolved_and_normed(shallow, module.pixel_gate))
    mixed = 2 * shallow * from_above + 2 * deep * from_below
    assert_close(module(deep.clone(), shallow.clone()), relu(convolved_and_normed(mixed, module.post)))


def assert_read(at: dict[str, Passed], readers: dict[str, tuple[str, ...]]) -> None:
    """Each layer reads what others wrote, in this order."""
    for reader, writers in readers.items():
        for given, writer in zip(at[reader].inputs, writers, strict=True):
            assert_close(given, at[writer].output, msg=f"{reader} does not read {writer}")


ENCODER = {"stage1": ("stem",), "stage2": ("stage1",), "stage3": ("stage2",), "up2": ("stage3",), "fuse2": ("up2", "stage2")}


def test_acm_fuses_upsampled_with_shallow_maps() -> None:
    at = recorded(stirred(create_model("acm")), 32, 48)
    assert_read(at, ENCODER | {"refine2": ("fuse2",), "up1": ("refine2",), "fuse1": ("up1", "stage1"), "refine1": ("fuse1",)})
    assert_read(at, {"head": ("refine1",)})
    assert_close(at["all"].output, resized(at["head"].output, 32, 48))


def test_alcnet_fuses_upsampled_with_shallow_maps_and_goes_on_to_half_the_size() -> None:
    at = recorded(stirred(create_model("alcnet")), 32, 48)
    assert_read(at, ENCODER | {"up1": ("fuse2",), "fuse1": ("up1", "stage1"), "up0": ("fuse1",), "head": ("up0",)})
    assert_close(at["all"].output, resized(at["head"].output, 32, 48))


@torch.no_grad()
def test_uiunet_gates_the_shallow_map_by_the_deep_one_and_that_by_what_is_left() -> None:
    """The published code, fusion.py: one sigmoid a gate, two maps out, one convolution behind both."""
    module = InteractiveCrossAttention(16).double()
    stirred(module)
    deep, shallow = noise(2, 16, 6, 7), noise(2, 16, 6, 7, seed=2)
    high = relu(convolved_and_normed(deep, module.high))
    gated = shallow * sigmoid(convolved_and_normed(high.mean((2, 3), keepdim=True), module.channel_gate))
    narrow, spatial = module.pixel_gate
    from_below = pixel_gates(relu(convolved_and_normed(gated, narrow)), spatial)
    answers = module(deep.clone(), shallow.clone())
    for answer, mixed in zip(answers, (2 * gated, 2 * high * from_below), strict=True):
        assert_close(answer, relu(convolved_and_normed(mixed, module.post)))


def test_uiunets_decoder_reads_what_the_cross_attention_made_of_two_levels() -> None:
    model = create_model("uiunet").eval()
    at = recorded(model, 32, 64)
    encoded = [at[f"encoder.{level}"].output for level in range(6)]
    decoded = [*(at[f"decoder.{level}"].output for level in range(5)), encoded[5]]
    for level in range(5):
        assert_close(at[f"encoder.{level + 1}"].input, halved(encoded[level]))
        deep, shallow = resized(decoded[level + 1], *encoded[level].shape[2:]), encoded[level]
        if level > 0:
            cross = at[f"cross.{level - 1}"]
            assert_close(cross.inputs, (deep, shallow))
            shallow, deep = cross.outputs
        assert_close(at[f"decoder.{level}"].input, torch.cat([deep, shallow], 1))
    for level in range(6):
        assert_close(at[f"sides.{level}"].input, decoded[level])
    sides = [resized(at[f"sides.{level}"].output, 32, 64) for level in range(6)]
    assert_close(at["fuse"].input, torch.cat(sides, 1))
    with torch.no_grad():
        assert_close(at["all"].output, convolved(at["fuse"].input, model.get_submodule("fuse")))


def direction_gates(pixels_B1HW: Tensor) -> Tensor:
    """Differences to two opposite pixels two steps away, multiplied and summed over four directions; outside is 0."""
    height, width = pixels_B1HW.shape[-2:]
    wide = pixels_B1HW.new_zeros(len(pixels_B1HW), 1, height + 4, width + 4)
    wide[..., 2:-2, 2:-2] = pixels_B1HW

    def difference(row: int, column: int) -> Tensor:
        return pixels_B1HW - wide[..., 2 + row : 2 + row + height, 2 + column : 2 + column + width]

    products = [difference(row, column) * difference(-row, -column) for row, column in ((-2, -2), (-2, 0), (-2, 2), (0, 2))]
    return sigmoid(torch.stack(products).sum(0))


@torch.no_grad()
def test_rdian_looks_both_ways_in_four_directions() -> None:
    pixels = noise(2, 1, 9, 11)
    assert_close(DirectionAttention().double()(pixels), direction_gates(pixels))


@torch.no_grad()
def test_rdian_a_bright_pixel_stands_out_against_all_eight_neighbours() -> None:
    pixels = torch.zeros(1, 1, 9, 9, dtype=torch.double)
    pixels[..., 4, 4] = 2
    module = DirectionAttention().double()
    differences = module.differences(pixels)
    assert (differences[..., 4, 4] == 2).all()
    assert differences.sum() == 0
    gates = module(pixels)
    assert_close(gates[0, 0, 4, 4], sigmoid(torch.tensor(4 * 2.0 * 2.0, dtype=torch.double)))
    assert (gates == 0.5).sum() == 80


def test_rdian_adds_what_its_directions_gate_and_joins_four_fields() -> None:
    at = recorded(stirred(create_model("rdian")), 32, 48)
    full = at["at_full"].output
    assert_close(at["at_half"].input, full + full * direction_gates(at["all"].input))
    for field in range(4):
        assert_close(at[f"fields.{field}"].input, at["at_half"].output)
    assert_close(at["join"].input, torch.cat([at[f"fields.{field}"].output for field in range(4)], 1))
    assert_close(at["head"].input, relu(resized(at["join"].output, 32, 48) + at["skip"].output))
    assert_read(at, {"skip": ("at_full",)})
    assert_close(at["all"].output, at["head"].output)


@pytest.mark.parametrize("training", [True, False])
def test_mshnets_answer_is_the_fusion_of_four_masks(training: bool) -> None:
    """In training the masks follow, as they are: at 1, 1/2, 1/4 and 1/8 of the size."""
    model = stirred(create_model("mshnet")).train(training)
    at = recorded(model, 32, 48)
    skips = [at[f"encoder.{level}"].output for level in range(LEVELS)]
    decoded = [*(at[f"decoder.{level}"].output for level in range(4)), skips[4]]
    for level, skip in enumerate(skips[:4]):
        assert_close(at[f"encoder.{level + 1}"].input, halved(skip))
        deep = resized(decoded[level + 1], *skip.shape[2:], corners=True)
        assert_close(at[f"decoder.{level}"].input, torch.cat([skip, deep], 1))
    with torch.no_grad():
        masks = [convolved(decoded[level], model.get_submodule(f"heads.{level}")) for level in range(4)]
        fused = convolved(torch.cat([resized(mask, 32, 48, corners=True) for mask in masks], 1), model.get_submodule("fuse"))
    assert_close(at["all"].outputs, (fused, *masks) if training else (fused,))


NODES = [(level, column) for level in range(LEVELS) for column in range(LEVELS - level)]


@pytest.mark.parametrize("training", [True, False])
def test_every_node_of_dnanet_sees_all_before_it_and_those_above_and_below(training: bool) -> None:
    """Paper eq. 2 to 4; the last column is fused, the heads before it learn too."""
    model = stirred(create_model("dnanet")).train(training)
    at = recorded(model, 32, 48)
    x = {(level, column): at[f"nodes.{level}_{column}"].output for level, column in NODES}
    for level, column in NODES:
        size = (32 >> level, 48 >> level)
        if column == 0:
            expected = [at["all"].input if level == 0 else halved(x[level - 1, 0])]
        else:
            expected = [x[level, before] for before in range(column)]
            expected.append(resized(x[level + 1, column - 1], *size, corners=True))
            expected += [resized(x[level - 1, column], *size, corners=True)] if level else []
        assert_close(at[f"nodes.{level}_{column}"].input, torch.cat(expected, 1), msg=f"node {level}, {column}")
    with torch.no_grad():
        laterals = [convolved(x[level, 4 - level], model.get_submodule(f"laterals.{level - 1}")) for level in (4, 3, 2, 1)]
        assert_close(at["fuse"].input, torch.cat([*(resized(each, 32, 48, corners=True) for each in laterals), x[0, 4]], 1))
        ends = [at["fuse"].output, x[0, 1], x[0, 2], x[0, 3]]
        heads = [convolved(end, model.get_submodule(f"heads.{head}")) for end, head in zip(ends, (3, 0, 1, 2), strict=True)]
    assert_close(at["all"].outputs, tuple(heads) if training else (heads[0],))
