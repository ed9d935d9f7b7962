"""SGEM U-Net: the three equations of its paper in elementary operations, and what each ablation leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.cost import sketch
from models.interface import Task
from models.segmentation.sgem_unet import SemanticGapElimination
from models.zoo import create_model, list_models
from tests.models.elementary import convolved, halved, noise, recorded, resized, stirred

# Its vectors are as long as E3 and D1 of a 256 x 256 image have pixels.
E3_SIDE, D1_SIDE = 64, 32


@dataclass(frozen=True)
class Variant:
    """What the decoder has at its third level, and parameters with one input channel."""

    parameters: int
    module: bool = True
    third_skip: bool = False
    softmax: bool = True
    residual: bool = True


VARIANTS = {
    "sgem_unet": Variant(8_686_916),
    "sgem_unet_a": Variant(8_654_116),
    "sgem_unet_plain": Variant(8_636_769, module=False, third_skip=True),
    "sgem_unet_gap": Variant(8_489_313, module=False),
    "sgem_unet_and_skip": Variant(8_834_372, third_skip=True),
    "sgem_unet_no_softmax": Variant(8_686_916, softmax=False),
    "sgem_unet_no_residual": Variant(8_686_915, residual=False),
}


def vector(map_BCHW: Tensor, point: nn.Module, line: nn.Module, side: int) -> Tensor:
    """`Linear(flat(Conv1x1(map)))`, eq. 1 and 2."""
    point_of, line_of = point.state_dict(), line.state_dict()
    one_BHW = torch.einsum("bchw,c->bhw", map_BCHW, point_of["weight"][0, :, 0, 0]) + point_of["bias"]
    vector_BL: Tensor = torch.einsum("bp,lp->bl", resized(one_BHW, side, side).flatten(1), line_of["weight"]) + line_of["bias"]
    return vector_BL


def bridged(module: SemanticGapElimination, e3_BCHW: Tensor, d1_BCHW: Tensor, *, softmax: bool, residual: bool) -> Tensor:
    """Eq. 3, and D1 plus what the matrix makes of its rows."""
    query_BQ, key_BK = vector(e3_BCHW, module.query, module.query_line, E3_SIDE), vector(d1_BCHW, module.key, module.key_line, D1_SIDE)
    correlation_BQK = query_BQ[:, :, None] * key_BK[:, None, :]
    weight_C, bias_C = module.spread.weight.flatten(), module.spread.bias
    assert bias_C is not None
    spread_BCQK = correlation_BQK[:, None] * weight_C[:, None, None] + bias_C[:, None, None]
    height = d1_BCHW.shape[2]
    matrix_BCHH = resized(spread_BCQK, height, height)
    if softmax:
        shares_BCHH = (matrix_BCHH - matrix_BCHH.amax(3, keepdim=True)).exp()
        matrix_BCHH = shares_BCHH / shares_BCHH.sum(3, keepdim=True)
    product_BCHW = torch.einsum("bcij,bcjw->bciw", matrix_BCHH, d1_BCHW)
    return d1_BCHW + module.state_dict()["gain"] * product_BCHW if residual else product_BCHW


def eager(module: SemanticGapElimination) -> SemanticGapElimination:
    """With a gain, and correlations far from equal, as after training."""
    with torch.no_grad():
        for layer in (module.query_line, module.key_line, module.spread):
            layer.weight.mul_(4)
        if module.gain is not None:
            module.gain.fill_(0.7)
    return module


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize(
    ("e3_size", "d1_size", "key_length"),
    [((64, 64), (32, 32), 32), ((64, 64), (32, 32), 64), ((32, 48), (16, 24), 64)],
    ids=["32 by 32 positions", "32 by 64 positions", "another image size"],
)
def test_the_module_computes_the_papers_equations(
    e3_size: tuple[int, int], d1_size: tuple[int, int], key_length: int, softmax: bool, residual: bool
) -> None:
    torch.manual_seed(0)
    module = eager(SemanticGapElimination(3, 5, key_length, softmax=softmax, residual=residual).double())
    e3, d1 = noise(2, 3, *e3_size), noise(2, 5, *d1_size, seed=2)
    with torch.no_grad():
        answer = module(e3, d1)
        assert_close(answer, bridged(module, e3, d1, softmax=softmax, residual=residual))
    assert not torch.allclose(answer, d1, atol=0.1)


def test_each_row_of_the_matrix_shares_out_one() -> None:
    """Rows of a map that are all alike stay what they are, times one and the gain."""
    torch.manual_seed(0)
    module = eager(SemanticGapElimination(3, 5, 64).double())
    row = noise(1, 5, 1, 32).expand(1, 5, 32, 32)
    assert_close(module(noise(1, 3, 64, 64), row), 1.7 * row)


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_passes_on_what_its_name_says(name: str) -> None:
    torch.manual_seed(0)
    variant, model = VARIANTS[name], stirred(create_model(name))
    bridges = [eager(module) for module in model.modules() if isinstance(module, SemanticGapElimination)]
    assert len(bridges) == variant.module
    at = recorded(model, 32, 48)
    e1, e2, e3, e4, e5 = (at[f"encoder.{level}"].output for level in range(5))
    for shallow, deep in enumerate((e1, e2, e3, e4)):
        assert_close(at[f"encoder.{shallow + 1}"].input, halved(deep))

    assert_close(at["ups.3"].input, resized(e5, *e4.shape[2:]))
    assert_close(at["decoder.3"].input, torch.cat([e4, at["ups.3"].output], 1))
    d1 = at["decoder.3"].output
    if variant.module:
        with torch.no_grad():
            d1 = bridged(bridges[0], e3, d1, softmax=variant.softmax, residual=variant.residual)
    assert_close(at["ups.2"].input, resized(d1, *e3.shape[2:]))
    assert_close(at["decoder.2"].input, torch.cat([e3, at["ups.2"].output], 1) if variant.third_skip else at["ups.2"].output)
    for level, skip in ((1, e2), (0, e1)):
        assert_close(at[f"ups.{level}"].input, resized(at[f"decoder.{level + 1}"].output, *skip.shape[2:]))
        assert_close(at[f"decoder.{level}"].input, torch.cat([skip, at[f"ups.{level}"].output], 1))
    with torch.no_grad():
        assert_close(at["all"].output, convolved(at["decoder.0"].output, model.get_submodule("head")))


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_has_exactly_its_parameters(name: str) -> None:
    assert sketch(name).parameters == VARIANTS[name].parameters


def test_every_variant_is_here() -> None:
    assert set(VARIANTS) == {name for name in list_models(Task.SEGMENTATION) if name.startswith("sgem_unet")}


def test_parameters_are_those_of_the_reconstruction() -> None:
    """Counted there in millions with three input channels: 9 weights more for each of 32 maps and two channels."""
    millions = {name: round((VARIANTS[name].parameters + 2 * 9 * 32) / 1e6, 4) for name in VARIANTS}
    assert millions["sgem_unet"] == 8.6875
    assert millions["sgem_unet_a"] == 8.6547
    assert millions["sgem_unet_plain"] == 8.6373
    assert millions["sgem_unet_gap"] == 8.4899


def test_parameters_of_the_ablations_differ_by_what_they_leave_out() -> None:
    skip = 9 * 128 * 128
    module = (128 + 1) + (256 + 1) + (4096 + 1) * 32 + (1024 + 1) * 64 + 2 * 256 + 1
    gap = VARIANTS["sgem_unet_gap"].parameters
    assert VARIANTS["sgem_unet"].parameters == gap + module
    assert VARIANTS["sgem_unet_a"].parameters == gap + module - (1024 + 1) * 32
    assert VARIANTS["sgem_unet_plain"].parameters == gap + skip
    assert VARIANTS["sgem_unet_and_skip"].parameters == gap + skip + module
    assert VARIANTS["sgem_unet_no_softmax"].parameters == gap + module
    assert VARIANTS["sgem_unet_no_residual"].parameters == gap + module - 1
