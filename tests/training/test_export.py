"""From a checkpoint to weights that load: thresholds, digest, card and figures fit together."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from models.weights import digest_of
from models.zoo import create_model, list_models, list_trained, load_model
from training import export as export_module
from training import pictures as pictures_module
from training import train as train_module
from training.datasets import BOX_SETS, SYNTHETIC
from training.export import export
from training.train import RECIPES, train_network

pytestmark = pytest.mark.usefixtures("made_data")


def test_every_network_has_a_recipe() -> None:
    assert set(RECIPES) == set(list_models())


@pytest.mark.parametrize("name", list_trained())
def test_a_trained_network_becomes_weights_that_load(name: str, tmp_path: Path) -> None:
    _, report = train_network(name, 1.0, tmp_path / "run", max_steps=1)
    assert report.steps == 1
    weights = tmp_path / "out" / f"{name}.safetensors"
    card = export(name, tmp_path / "run" / "checkpoint.pt", weights)
    model, read = load_model(name, weights)
    assert read == card
    assert card.digest == digest_of(weights)
    assert card.recipe["steps"] == 1
    assert all(value >= 0 for measurement in card.measured for value in measurement.values.values())
    assert {measurement.data.split()[0] for measurement in card.measured} <= {*BOX_SETS, SYNTHETIC}
    # Half precision keeps three digits.
    average = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["average"]
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, average[key], atol=1e-3, rtol=1e-3)


def test_commands_train_export_and_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder, weights = tmp_path / "run", tmp_path / "acm.safetensors"
    monkeypatch.setattr(sys, "argv", ["train", "acm", "--minutes", "0.0001", "--folder", str(folder), "--threads", "1"])
    train_module.main()
    assert "acm: " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["export", "acm", "--checkpoint", str(folder / "checkpoint.pt"), "--weights", str(weights)])
    export_module.main()
    exported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    monkeypatch.setattr(sys, "argv", ["export", "acm", "--weights", str(weights), "--measure"])
    export_module.main()
    measured = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert measured == exported
    splits = ("nudt-sirst test", "irstd-1k test", "sirst-v2 test", "synthetic unseen scenes")
    assert [line["data"] for line in measured] == [f"{split} (2 images)" for split in splits]


@pytest.mark.parametrize(
    ("module", "arguments", "text"),
    [
        pytest.param(train_module, ["acm", "--minutes", "0", "--folder", "run"], "expected a data set, got no index", id="train"),
        pytest.param(export_module, ["acm", "--measure"], "expected a data set, got no index", id="measure"),
        pytest.param(export_module, ["acm", "--checkpoint", "none.pt"], "none.pt: expected a checkpoint, got no such file", id="export"),
        pytest.param(pictures_module, ["images"], "expected a data set, got no index", id="pictures"),
    ],
)
def test_a_mistake_is_a_message_and_no_traceback(
    module: ModuleType,
    arguments: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRSTREAM_DATA", "nowhere")
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert text in told


def test_the_same_checkpoint_gives_the_same_file(tmp_path: Path) -> None:
    state = {"average": create_model("basic_cnn").state_dict(), "steps": 1, "spent_s": 1353.0}
    torch.save(state, tmp_path / "checkpoint.pt")
    first = export("basic_cnn", tmp_path / "checkpoint.pt", tmp_path / "one.safetensors")
    second = export("basic_cnn", tmp_path / "checkpoint.pt", tmp_path / "two.safetensors")
    assert first.digest == second.digest
    assert first.recipe["command"] == "python -m training.train basic_cnn --minutes 22.6"
