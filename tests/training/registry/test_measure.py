"""Figures of a card, measured again: those of other images stay."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from models.card import Measurement, ModelCard, read_card, write_card
from models.weights import WEIGHTS_FOLDER
from training.registry.measure import measure_weights, remeasured


def figures(data: str, iou: float, command: str = "kept") -> Measurement:
    return Measurement(data=data, command=command, values={"iou": iou})


def card_with(*measured: Measurement) -> ModelCard:
    return read_card(WEIGHTS_FOLDER / "acm.json").model_copy(update={"measured": measured})


def test_only_what_was_measured_again_is_replaced() -> None:
    card = card_with(figures("one test (2 images)", 0.1), figures("two test (2 images)", 0.2), figures("three test (9 images)", 0.3))
    after = remeasured(card, [figures("two test (2 images)", 0.8, "new"), figures("three test (2 images)", 0.9)])
    assert after.measured == (card.measured[0], figures("two test (2 images)", 0.8), card.measured[2])


def test_the_change_by_bfloat16_stays_where_this_machine_cannot_measure_it() -> None:
    with_half = figures("one test (2 images)", 0.5).model_copy(update={"values": {"iou": 0.5, "iou_bfloat16": 0.5004}})
    once = remeasured(card_with(with_half), [figures("one test (2 images)", 0.7)])
    twice = remeasured(once, [figures("one test (2 images)", 0.8)])
    for after, iou in ((once, 0.7), (twice, 0.8)):
        assert after.measured[0].values == {"iou": iou, "iou_beside_bfloat16": 0.5, "iou_bfloat16": 0.5004}
        assert after.bfloat16_iou_change == pytest.approx(0.0004)
    assert remeasured(twice, [with_half]).measured == (with_half,)


def test_a_card_without_figures_of_these_images_is_not_written() -> None:
    with pytest.raises(SettingsError, match=r"figures of: one test \(2 images\), got two test"):
        remeasured(card_with(figures("one test (2 images)", 0.1)), [figures("two test (2 images)", 0.8)])


@pytest.mark.usefixtures("made_data")
def test_measuring_one_set_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    weights = tmp_path / "acm.safetensors"
    shutil.copyfile(WEIGHTS_FOLDER / "acm.safetensors", weights)
    before = card_with(figures("nudt-sirst test (2 images)", 2.0), figures("irstd-1k test (2 images)", 3.0))
    write_card(before, weights.with_suffix(".json"))
    (measured,) = measure_weights("acm", weights, sets=("nudt-sirst",), write=True)
    after = read_card(weights.with_suffix(".json"))
    assert after.measured == (measured.model_copy(update={"command": "kept"}), before.measured[1])
    assert after.measured[0].values["iou"] <= 1


@pytest.mark.usefixtures("made_data")
def test_images_without_masks_are_refused_where_a_segmenter_is_measured() -> None:
    with pytest.raises(SettingsError, match="expected images with masks to measure on, got none of role test in hit-uav"):
        measure_weights("acm", sets=("hit-uav",))
