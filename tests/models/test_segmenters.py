"""Segmenters from papers: published sizes, heads in training, any frame size."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.cost import gmacs, num_parameters, sketch
from models.inference import prepare
from models.interface import MetadataBatch, Task
from models.layers.reparam import RepConv
from models.segmentation.sgem_unet import SgemUNet
from models.transforms import padded_size
from models.zoo import create_model, list_learning

NAMES = list_learning(Task.SEGMENTATION)
_LARGE = ("dnanet", "uiunet")
HEADS = {
    "dnanet": 4,
    "uiunet": 7,
    "mshnet": 5,
    "kestrel": 3,
    "kestrel_adaptive": 3,
    "kestrel_fine": 3,
    "kestrel_large": 3,
    "kestrel_light": 3,
    "kestrel_wide": 3,
    "merlin": 4,
}


def with_slow_ones(names: Iterable[str]) -> list[ParameterSet]:
    """Names for `parametrize`; those of millions of parameters are marked slow."""
    return [pytest.param(name, marks=pytest.mark.slow if name in _LARGE else ()) for name in names]


@dataclass(frozen=True)
class Published:
    """Parameters, and multiply-adds (1e9) for one channel of 256 x 256, counted in the code of each paper."""

    parameters: int
    gmacs: float


PUBLISHED = {
    "acm": Published(397_823, 0.343),
    "alcnet": Published(519_889 - 92_928, 0.295),  # less two stages that are never executed
    "dnanet": Published(4_696_568, 13.909),
    "uiunet": Published(50_540_309, 54.222),
    "rdian": Published(216_758, 3.690),
    "mshnet": Published(4_065_481, 5.999),
}
SGEM_PARAMETERS = {"sgem_unet": 8_687_500, "sgem_unet_a": 8_654_700, "sgem_unet_plain": 8_637_300, "sgem_unet_gap": 8_489_900}


@pytest.mark.parametrize("name", with_slow_ones(PUBLISHED))
def test_networks_have_their_published_size(name: str) -> None:
    plan = sketch(name)
    assert plan.parameters == PUBLISHED[name].parameters
    assert plan.gmacs == pytest.approx(PUBLISHED[name].gmacs, rel=0.005)


@pytest.mark.slow
def test_the_pages_say_the_size_of_every_segmenter() -> None:
    root = Path(__file__).parents[2]
    names = ("docs/networks.md", "docs/paper-networks.md", "benchmarks/2026-11-segmenters.md")
    pages = [(root / name).read_text(encoding="utf-8") for name in names]
    said = re.findall(r"^\| `(\w+)` \|.* ([\d,]*,\d{3}) \| ([\d.]+)(?: at 256²)? \|", "\n".join(pages), re.MULTILINE)
    segmenters = [row for row in said if row[0] in NAMES]
    for name, parameters, gigas in segmenters:
        assert int(parameters.replace(",", "")) == sketch(name).parameters
        assert gigas == f"{sketch(name).gmacs:.3f}"
    assert {name for name, *_ in segmenters} == set(NAMES)


@pytest.mark.parametrize("name", ["acm", "kestrel", "sgem_unet_plain", "fcos_light", "basic_cnn", "merlin", "top_hat"])
def test_a_sketch_counts_what_the_network_itself_does(name: str) -> None:
    """Torch's own counter counts while a network that is ready for inference computes; ours has shapes only."""
    model = create_model(name).eval()
    side_px = model.input_spec.fixed_size_px or 64
    inference = prepare(model)
    with FlopCounterMode(display=False) as counter:
        inference.forward(torch.zeros(1, 1, side_px, side_px), MetadataBatch.unknown((side_px, side_px)))
    assert round(gmacs(model, side_px) * 2e9) == counter.get_total_flops()
    assert sketch(name).parameters == num_parameters(model)
    if model.input_spec.fixed_size_px or name == "acm":
        assert sketch(name).gmacs == pytest.approx(gmacs(model, sketch(name).input_px), abs=1e-6), "with weights or without"


@pytest.mark.parametrize("name", SGEM_PARAMETERS)
def test_sgem_and_its_ablations_have_the_parameters_of_the_reconstruction(name: str) -> None:
    assert sketch(name).parameters == pytest.approx(SGEM_PARAMETERS[name], rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "gigas"), [("sgem_unet", 15.932), ("sgem_unet_a", 15.930), ("sgem_unet_plain", 16.532), ("sgem_unet_gap", 15.928)]
)
def test_sgem_in_the_papers_own_way_of_counting(name: str, gigas: float) -> None:
    """The paper's 15.92 G count three input channels, four operations an element of a batch norm and eleven one of an upsampling."""
    with torch.device("meta"):
        model = create_model(name).eval()
    counted = gmacs(model)
    elements = {"norm": 0}

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        elements["norm"] += output.numel()

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.zeros(1, 1, 256, 256, device="meta"), MetadataBatch.unknown((256, 256)).to("meta"))
    assert elements["norm"] > 0
    two_more_channels = 2 * 9 * 32 * 256**2
    upsampled = sum(width * (256 >> level) ** 2 for level, width in enumerate((64, 128, 256, 512)))
    total = counted + (4 * elements["norm"] + 11 * upsampled + two_more_channels) / 1e9
    assert total == pytest.approx(gigas, abs=0.01), "matrix products are counted here only"


def images(height_px: int, width_px: int, num: int = 2) -> Tensor:
    torch.manual_seed(5)
    return torch.randn(num, 1, height_px, width_px)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_frame_size_goes_through_by_padding(name: str) -> None:
    model = create_model(name).eval()
    for size in ((33, 70), (96, 64)):
        height_px, width_px = padded_size(*size, model.input_spec.size_multiple_px)
        with torch.inference_mode():
            raw = model(images(height_px, width_px, 1), MetadataBatch.unknown(size))
        assert raw.shape == (1, 1, height_px, width_px)
        assert raw.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", with_slow_ones(NAMES))
def test_in_training_all_heads_answer_and_all_parameters_learn(name: str) -> None:
    model = create_model(name).train()
    raw = model(images(64, 64), MetadataBatch.unknown((64, 64), 2))
    heads = (raw,) if isinstance(raw, Tensor) else raw
    assert len(heads) == HEADS.get(name, 1)
    assert heads[0].shape == (2, 1, 64, 64)
    for head in heads:
        assert 64 % head.shape[-1] == 0
    sum(head.square().mean() for head in heads).backward()  # type: ignore[union-attr]
    still = {key for key, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None}
    assert not still


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kestrel", "kestrel_adaptive", "kestrel_fine", "merlin", "dnanet", "rdian", "sgem_unet"])
def test_folding_keeps_the_answer_and_leaves_no_norm_or_branch(name: str) -> None:
    torch.manual_seed(2)
    model = create_model(name).train()
    for _ in range(3):  # statistics other than those they begin with
        model(images(64, 64, 4) * 2 + 1, MetadataBatch.unknown((64, 64), 4))
    model.eval()
    metadata = MetadataBatch.unknown((64, 64), 2)
    folded = prepare(model, dtype=torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(folded.forward(images(64, 64), metadata), model(images(64, 64), metadata), atol=1e-3, rtol=1e-3)
    assert not [module for module in folded.model.modules() if isinstance(module, torch.nn.BatchNorm2d | RepConv)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("sgem_unet_")])
def test_training_begins_with_hardly_any_target(name: str) -> None:
    """A network that first has to unlearn a full mask has a worse start than the others in an equal schedule."""
    for seed in range(3):
        torch.manual_seed(seed)
        network = create_model(name).train()
        with torch.no_grad():
            raw = network(torch.randn(2, 1, 32, 32), MetadataBatch.unknown((32, 32), 2))
        answer = raw if isinstance(raw, Tensor) else raw[0]
        assert float(answer.sigmoid().mean()) < 0.1, seed


def test_sgem_begins_as_the_network_without_it() -> None:
    """Its gain is learnt from 0."""
    torch.manual_seed(1)
    model = create_model("sgem_unet").eval()
    assert isinstance(model, SgemUNet)
    pixels, metadata = images(64, 96), MetadataBatch.unknown((64, 96), 2)
    with torch.inference_mode():
        before = model(pixels, metadata)
        bridge, model.bridge = model.bridge, None
        assert torch.equal(before, model(pixels, metadata))
        model.bridge = bridge
        assert bridge is not None
        assert bridge.gain is not None
        bridge.gain.fill_(1.0)
        assert not torch.equal(before, model(pixels, metadata))
