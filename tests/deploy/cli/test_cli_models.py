"""`irstream models`: cards for people and for programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deploy.cli.main import main
from models.card import read_card
from models.weights import WEIGHTS_FOLDER
from models.zoo import list_models, list_trained


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_list_has_a_line_for_each_network(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {line.split()[0]: line.split() for line in told(capsys, "list").splitlines() if line}
    assert set(list_models()) < set(lines)
    for name in list_models():
        digest, *figures = lines[name][3:]
        if name in list_trained():
            card = read_card(WEIGHTS_FOLDER / f"{name}.json")
            assert card.digest.startswith(digest)
            assert lines[name][1:3] == [f"{card.parameters:,}", f"{card.gmacs:.3f}"]
            assert f"{next(iter(card.measured[0].values.values())):.6g}," in figures
        else:
            assert (digest, figures) == ("-", [])


@pytest.mark.parametrize("name", list_trained())
def test_a_card_for_people_has_all_that_the_one_for_programs_has(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, card = told(capsys, "show", name), json.loads(told(capsys, "show", name, "--json"))
    whole = " ".join(text.split())
    for fact in ("name", "task", "paper", "data", "data_licence", "digest"):
        assert " ".join(str(card[fact]).split()) in whole
    for value in (*card["recipe"].values(), *card["classes"]):
        assert str(value) in whole
    for measured in card["measured"]:
        assert measured["data"] in text
        assert f"again: {measured['command']}" in text
        assert all(f"{figure} {value:.6g}" in text for figure, value in measured["values"].items())
        for row in measured["confusion"] or ():
            assert not any(row) or " ".join(map(str, row)) in whole


@pytest.mark.slow
@pytest.mark.parametrize(("name", "command"), [("dnanet", "irstream train dnanet"), ("sgem_unet_plain", "irstream train sgem_unet_plain")])
def test_without_weights_it_says_how_to_get_some(name: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"none ship; {command} makes some" in told(capsys, "show", name)
    card = json.loads(told(capsys, "show", name, "--json"))
    assert (card["name"], card["digest"], card["recipe"]) == (name, None, {"command": command})
    assert json.loads(told(capsys, "list", "--json"))[name] == card


def test_the_folder_of_a_run_has_a_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for end in ("safetensors", "json"):
        shutil.copy(WEIGHTS_FOLDER / f"basic_cnn.{end}", tmp_path / f"weights.{end}")
    shipped = json.loads(told(capsys, "show", "basic_cnn", "--json"))
    assert json.loads(told(capsys, "show", str(tmp_path), "--json")) == shipped
    assert json.loads(told(capsys, "show", str(tmp_path / "weights.safetensors"), "--json")) == shipped
