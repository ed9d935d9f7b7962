"""From a checkpoint to weights that load: thresholds, digest, card and figures fit together."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.card import Measurement, read_card, write_card
from models.devices import fastest_dtype
from models.inference import InferenceModel, prepare
from models.segmentation.base import SegmentationModel
from models.weights import WEIGHTS_FOLDER, digest_of
from models.zoo import create_model, list_models, list_trained, load_model
from training import train as train_module
from training.data.catalogue import BOX_SETS, SYNTHETIC
from training.data.samples import Role, Sample, read_samples
from training.registry import export as export_module
from training.registry.export import export
from training.report import pictures as pictures_module
from training.tasks.measuring import measure_segmentation, probability_maps
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


def test_weights_and_card_are_replaced_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.safetensors"
    for steps in (1, 2):
        train_network("acm", 1.0, tmp_path / "run", max_steps=steps)
        if steps == 1:
            before = export("acm", tmp_path / "run" / "checkpoint.pt", weights)
    loaded = []

    def fails(*arguments: object, **named: object) -> None:
        loaded.append(load_model("acm", weights)[1])
        raise OSError("no space left")

    monkeypatch.setattr("training.registry.export.measurements", fails)
    with pytest.raises(OSError, match="no space left"):
        export("acm", tmp_path / "run" / "checkpoint.pt", weights)
    assert loaded == [before], "whoever loads them while others are measured"
    assert load_model("acm", weights)[1] == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "weights.safetensors", "weights.json"}


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
    half = "iou_bfloat16" in measured[0]
    assert half is (fastest_dtype("cpu") is torch.bfloat16)
    splits = ("nudt-sirst test", "irstd-1k test", "sirst-v2 test", "synthetic unseen scenes")
    assert [line["data"] for line in measured] == [f"{split} (2 images)" for split in splits]


@pytest.mark.parametrize("fastest", [torch.float32, torch.bfloat16])
def test_measured_figures_replace_those_of_the_card(
    fastest: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.tasks.measuring.fastest_dtype", lambda device: fastest)
    weights = tmp_path / "acm.safetensors"
    for suffix in (".safetensors", ".json"):
        shutil.copyfile(WEIGHTS_FOLDER / f"acm{suffix}", weights.with_suffix(suffix))
    other = Measurement(data="nudt-sirst test (2 images)", command="kept", values={"iou": 2.0})
    write_card(read_card(weights.with_suffix(".json")).model_copy(update={"measured": (other,)}), weights.with_suffix(".json"))
    monkeypatch.setattr(sys, "argv", ["export", "acm", "--weights", str(weights), "--measure", "--write"])
    export_module.main()
    printed = json.loads(capsys.readouterr().out.splitlines()[0])
    (after,) = read_card(weights.with_suffix(".json")).measured
    assert (after.data, after.command) == (other.data, "kept")
    assert {"data": after.data} | after.values == printed
    assert 0 <= after.values["iou"] < 1
    assert ("iou_bfloat16" in after.values) is (fastest is torch.bfloat16)
    if fastest is torch.bfloat16:
        assert after.values["iou_bfloat16"] == pytest.approx(after.values["iou"], abs=0.1)


def test_the_iou_in_bfloat16_is_that_of_the_network_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tasks.measuring.fastest_dtype", lambda device: torch.bfloat16)
    network, _ = load_model("acm")
    assert isinstance(network, SegmentationModel)
    (first, *others) = read_samples(("nudt-sirst",), Role.TEST)
    maps = {dtype: dict(probabilities(prepare(network, dtype=dtype), [first, *others])) for dtype in (torch.float32, torch.bfloat16)}
    # A threshold between the two answers for one pixel, so that they differ.
    plain_HW, half_HW = (maps[dtype][first.image_id] for dtype in (torch.float32, torch.bfloat16))
    row, column = np.unravel_index(np.abs(plain_HW - half_HW).argmax(), plain_HW.shape)
    network.configure({"threshold": float(plain_HW[row, column] + half_HW[row, column]) / 2, "min_area_px": 1})
    (measured,) = measure_segmentation(network, Role.TEST, "", ("nudt-sirst",))
    for name, dtype in (("iou", torch.float32), ("iou_bfloat16", torch.bfloat16)):
        answers = [(maps[dtype][each.image_id] > network.settings.threshold, each.mask_HW > 0) for each in (first, *others)]
        iou = sum((answer & truth).sum() for answer, truth in answers) / sum((answer | truth).sum() for answer, truth in answers)
        assert measured.values[name] == pytest.approx(iou, abs=1e-4)
    assert measured.values["iou"] != measured.values["iou_bfloat16"]


def probabilities(model: InferenceModel, samples: Sequence[Sample]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for sample, map_HW in probability_maps(model, samples):
        yield sample.image_id, map_HW


def test_figures_of_other_images_are_not_written_into_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in (["--write"], ["--write", "--measure", "--role", "select"]):
        monkeypatch.setattr(sys, "argv", ["export", "acm", *options])
        with pytest.raises(SystemExit):
            export_module.main()


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
