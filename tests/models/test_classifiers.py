"""Classifiers without weights: sizes of the paper's network, its ablations and baselines; attention and fusion by its equations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest
import torch

from models.classification.aamsf import Aamsf, AamsfNoAttention, AamsfNoFusion, AamsfOneScale, AamsfPlain
from models.classification.standard import DenseNet121, ResNet18, ResNet50, Vgg16
from models.cost import gmacs, num_parameters, sketch
from models.inference import prepare
from models.interface import MetadataBatch, Task
from models.layers.adaptive_attention import RATES, AdaptiveAttention, MultiScaleFusion
from models.zoo import AnyModel, create_model, list_models

METADATA = MetadataBatch.unknown((224, 224))
TEN_CLASSES = {
    Aamsf: (6_648_810, 3.190),
    AamsfNoAttention: (6_624_618, 3.190),
    AamsfNoFusion: (2_774_058, 1.456),
    AamsfPlain: (2_749_866, 1.456),
    AamsfOneScale: (6_648_810, 3.190),
    # As counted with torchvision's own classes.
    ResNet18: (11_181_642, 1.814),
    ResNet50: (23_528_522, 4.087),
    DenseNet121: (6_964_106, 2.833),
    Vgg16: (134_301_514, 15.466),
}


@pytest.mark.parametrize("kind", TEN_CLASSES, ids=lambda kind: kind.name)
def test_networks_have_the_size_of_the_paper_or_of_the_reconstruction(kind: type[Aamsf]) -> None:
    with torch.device("meta"):
        model = kind(num_classes=10)
        assert (num_parameters(model), round(gmacs(model, 224), 3)) == TEN_CLASSES[kind]


def test_the_papers_basic_cnn_is_ours_on_larger_crops() -> None:
    small, large = sketch("basic_cnn"), sketch("basic_cnn_224")
    assert (round(large.gmacs, 2), round(large.parameters / 1e6, 2)) == (1.63, 0.88) == (1.63, round(small.parameters / 1e6, 2))


def test_our_light_one_costs_less_than_the_basic_cnn() -> None:
    assert sketch("wren").gmacs < sketch("basic_cnn").gmacs / 2
    assert sketch("wren").parameters < sketch("basic_cnn").parameters / 2


def test_attention_is_the_papers_equation() -> None:
    torch.manual_seed(0)
    layer, x = AdaptiveAttention(32, reduction=16), torch.randn(2, 32, 5, 7)
    first, second = (parameter.detach() for parameter in layer.parameters())
    assert (first.shape, second.shape) == ((2, 32), (32, 2))
    for item in range(2):
        z = x[item].flatten(1).sum(1) / 35
        gates = 1 / (1 + torch.exp(-(second @ (first @ z).clamp(min=0))))
        torch.testing.assert_close(layer(x)[item], x[item] * gates[:, None, None])


@pytest.mark.parametrize(("rates", "reach_px"), [(RATES, {0, 1, 2, 3, 5}), ((1, 1, 1, 1), {0, 1})])
def test_fusion_sees_as_far_as_its_dilations(rates: tuple[int, ...], reach_px: set[int]) -> None:
    torch.manual_seed(0)
    layer = MultiScaleFusion(8, rates).eval()
    dot = torch.zeros(1, 8, 15, 15)
    dot[..., 7, 7] = 1
    changed = (layer(dot) - layer(dot * 0)).abs().amax((0, 1))
    places = torch.nonzero(changed > 1e-7) - 7
    assert set(places.abs().flatten().tolist()) == reach_px
    assert layer.state_dict()["mix.0.weight"].shape == (8, 16, 1, 1)


@pytest.mark.parametrize("name", ["aamsf", "resnet18", "wren"])
def test_a_classifier_answers_with_a_share_for_each_class_and_folds(name: str) -> None:
    torch.manual_seed(0)
    model: AnyModel = create_model(name).eval()
    side_px = model.input_spec.fixed_size_px
    assert side_px is not None
    crops = torch.randn(2, 1, side_px, side_px)
    with torch.inference_mode():
        raw = cast(torch.Tensor, model(crops, METADATA))
        folded = prepare(model).forward(crops, METADATA)
    torch.testing.assert_close(raw, folded, atol=2e-3, rtol=1e-3)
    first, second = model.postprocess(raw, [(side_px, side_px)] * 2)
    assert first.class_names[-1] == "clutter"
    assert len(first.class_names) == 9 == first.scores.shape[1]
    assert first.scores.sum() == pytest.approx(1) == second.scores.sum()


def test_grey_is_the_same_as_three_equal_channels() -> None:
    model, crops = create_model("aamsf").eval(), torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(crops, METADATA), model(crops.repeat(1, 3, 1, 1), METADATA))


def test_the_page_says_the_size_of_every_classifier() -> None:
    page = (Path(__file__).parents[2] / "docs/classifiers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d.]+) \|", page, re.MULTILINE)
    names = [name for name in list_models(Task.CLASSIFICATION) if not name.startswith("toy_")]
    assert sorted(rows) == sorted((name, f"{sketch(name).parameters:,}", f"{sketch(name).gmacs:.3f}") for name in names)
