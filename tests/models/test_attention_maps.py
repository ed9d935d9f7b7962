"""What is drawn of attention is what the network computed, and looking changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluation.attention_picture import TILE_PX, attention_row
from evaluation.drawing import WORDS_PX
from models.attention_maps import attention_maps, has_attention
from models.classification.base import ClassificationModel
from models.classification.wren import Wren
from models.interface import MetadataBatch
from models.layers.adaptive_attention import AdaptiveAttention
from models.zoo import create_model


def test_gates_and_maps_are_those_of_the_pass() -> None:
    torch.manual_seed(0)
    model, crops = Wren().eval(), torch.randn(3, 1, 48, 48)
    scores, stages = attention_maps(model, crops)
    with torch.inference_mode():
        plain = model.scores(model(crops, MetadataBatch.unknown((48, 48), 3)))
        before = model.features[:4](crops)
        attention = model.features[4]
        assert isinstance(attention, AdaptiveAttention)
        after = attention(before)
    np.testing.assert_allclose(scores, plain.numpy(), rtol=1e-5)
    assert [each.name for each in stages] == ["attention 1", "fusion 1", "attention 2"]
    first = stages[0]
    assert first.gates_BC is not None
    np.testing.assert_allclose(first.gates_BC[:, :, None, None] * before.numpy(), after.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.map_BHW, after.abs().mean(1).numpy(), rtol=1e-4, atol=1e-6)
    assert stages[1].gates_BC is None
    assert not any(module._forward_hooks for module in model.modules()), "nothing stays behind"


def test_a_network_without_attention_has_none() -> None:
    model = create_model("basic_cnn")
    assert isinstance(model, ClassificationModel)
    assert not has_attention(model)
    with pytest.raises(ValueError, match="adaptive attention, got basic_cnn"):
        attention_maps(model, torch.zeros(1, 1, 48, 48))


def test_a_row_shows_the_crop_the_maps_and_the_gates() -> None:
    spot = np.zeros((6, 6), np.float32)
    spot[5, 5] = 1
    row = attention_row(
        np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32),
        "car 0.90",
        [("attention 1", spot, np.array([1.0, 0.0], np.float32))],
    )
    assert row.shape == (TILE_PX, 3 * TILE_PX, 3)
    heat, gates = row[:, TILE_PX : 2 * TILE_PX].astype(int), row[WORDS_PX + 1 :, 2 * TILE_PX :]
    red = heat[:, :, 0] - heat[:, :, 2]
    assert red[-10, -10] > 60 > -60 > red[TILE_PX // 2, 10], "red where the map is high, blue where it is low"
    assert gates[:, TILE_PX // 2 + 2 :].any(2).all(), "a gate of 1 fills its column"
    assert not gates[:, : TILE_PX // 2 - 2].any(), "rising: the closed one comes first"
