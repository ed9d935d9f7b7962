"""Weights of a run become those that ship."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from models.card import read_card, write_card
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.registry.ship import ship


def a_run(folder: Path, name: str = "acm") -> Path:
    """As `irstream train` leaves it."""
    folder.mkdir()
    for suffix in ("safetensors", "json"):
        shutil.copy(WEIGHTS_FOLDER / f"{name}.{suffix}", folder / f"weights.{suffix}")
    return folder


def test_what_ships_loads_and_says_how_to_measure_it_again(tmp_path: Path) -> None:
    card = ship(a_run(tmp_path / "run"), tmp_path)
    network, read = load_model("acm", tmp_path / "acm.safetensors")
    assert read == card
    assert network.name == "acm"
    _, before = load_model("acm")
    assert card.digest == before.digest
    assert [each.values for each in card.measured] == [each.values for each in before.measured]
    assert [each.command for each in card.measured][:2] == ["irstream evaluate acm nudt-sirst", "irstream evaluate acm irstd-1k"]


def test_weights_of_one_set_ship_beside_the_general_ones(tmp_path: Path) -> None:
    card = ship(a_run(tmp_path / "run"), tmp_path, alone="nudt-sirst")
    assert not (tmp_path / "acm.safetensors").exists()
    assert load_model("acm", tmp_path / "nudt-sirst" / "acm.safetensors")[1] == card
    assert card.measured[0].command == "irstream evaluate models/weights/nudt-sirst/acm.safetensors nudt-sirst"


def test_figures_of_chosen_data_sets_are_measured_on_them_again(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", "fcos_light")
    assert {each.command for each in ship(run, tmp_path).measured} == {"irstream models measure fcos_light"}
    card = read_card(run / "weights.json").model_copy(update={"data": "hit-uav, drone-ir (training splits)"})
    write_card(card, run / "weights.json")
    assert {each.command for each in ship(run, tmp_path).measured} == {"irstream models measure fcos_light --data hit-uav --data drone-ir"}


def test_a_folder_with_blanks_is_named_whole(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    card = read_card(run / "weights.json")
    measured = card.measured[0].model_copy(update={"data": "my test set test (3 images)"})
    write_card(card.model_copy(update={"measured": (measured,)}), run / "weights.json")
    assert ship(run, tmp_path).measured[0].command == "irstream evaluate acm 'my test set'"


def test_weights_of_another_card_do_not_ship(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    (run / "weights.safetensors").write_bytes((WEIGHTS_FOLDER / "unet_light.safetensors").read_bytes())
    with pytest.raises(SettingsError):
        ship(run, tmp_path)
    assert not (tmp_path / "acm.safetensors").exists()
