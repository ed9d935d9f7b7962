"""Attention of the classifier of the settings on the detections of a frame."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.settings import ModelActorSettings
from contracts.errors import SettingsError
from contracts.frame import ContentType, Frame, FrameMeta, Normalisation
from contracts.position import KafkaPosition
from deploy.predicting.attention import MOST_CROPS, attention_of_frame
from evaluation.attention_picture import TILE_PX
from models.card import read_card, write_card
from models.classification.wren import Wren
from models.weights import WEIGHTS_FOLDER, digest_of, save_weights
from tests.outcomes import detection

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def wren(tmp_path: Path) -> ModelActorSettings:
    torch.manual_seed(0)
    path = tmp_path / "wren.safetensors"
    save_weights(Wren(), path)
    card = read_card(WEIGHTS_FOLDER / "basic_cnn.json")
    write_card(card.model_copy(update={"name": "wren", "classes": Wren.class_names, "digest": digest_of(path)}), path.with_suffix(".json"))
    return ModelActorSettings(model="wren", weights=str(path))


def frame() -> Frame:
    meta = FrameMeta(sensor_id="cam", frame_id="f", captured_at=NOW, content_type=ContentType.PNG)
    pixels_HW = np.random.default_rng(0).integers(0, 255, (64, 96), np.uint8)
    return Frame(KafkaPosition("frames", 0, 0), meta, pixels_HW, 8, Normalisation(100.0, 20.0), NOW)


def test_a_row_a_detection_the_best_first_and_ten_at_most(wren: ModelActorSettings) -> None:
    weak, sure = replace(detection(0.2), x_min_px=40.0, x_max_px=50.0), detection(0.9)
    both = attention_of_frame(frame(), [weak, sure], wren)
    # The crop, two attentions with their gates, one fusion.
    assert both.shape == (2 * TILE_PX, 6 * TILE_PX, 3)
    crops, alone = both[:, :TILE_PX], attention_of_frame(frame(), [sure], wren)[:, :TILE_PX]
    assert np.array_equal(crops[:TILE_PX], alone)
    assert not np.array_equal(crops[TILE_PX:], alone)
    assert len(attention_of_frame(frame(), [sure] * 13, wren)) == MOST_CROPS * TILE_PX


def test_nothing_to_draw_is_said(wren: ModelActorSettings) -> None:
    with pytest.raises(SettingsError, match="a frame with detections"):
        attention_of_frame(frame(), [], wren)
    with pytest.raises(SettingsError, match="adaptive attention, such as aamsf or wren, got basic_cnn"):
        attention_of_frame(frame(), [detection()], ModelActorSettings(model="basic_cnn"))
