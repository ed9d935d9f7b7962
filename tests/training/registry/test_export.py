"""From a checkpoint to weights that load: thresholds, digest, card and figures fit together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contracts.errors import SettingsError
from deploy.cli.main import main
from models.card import Measurement, read_card, write_card
from models.devices import fastest_dtype
from models.inference import InferenceModel, prepare
from models.interface import Task
from models.segmentation.base import SegmentationModel
from models.weights import WEIGHTS_FOLDER, digest_of
from models.zoo import create_model, list_learning, list_trained, load_model, task_named
from training.data.catalogue import BOX_SETS, SYNTHETIC
from training.data.samples import Role, Sample, read_samples
from training.fit import fit_network
from training.recipes import plan_named
from training.registry.export import Provenance, export
from training.tasks.known import task_of
from training.tasks.measuring import measure_segmentation, probability_maps

pytestmark = [pytest.mark.usefixtures("made_data"), pytest.mark.slow]


def test_a_filter_needs_no_training_and_its_card_says_so(tmp_path: Path) -> None:
    plan = plan_named("ours", ("nudt-sirst",), task=task_named("rx"))
    weights = tmp_path / "rx.safetensors"
    card = export("rx", tmp_path / "no checkpoint", weights, Provenance("made here", plan.source, plan.recipe))
    assert load_model("rx", weights)[1] == card
    assert (card.parameters, card.gmacs, card.learnt_from, card.recipe["steps"]) == (0, 0, (), 0)
    assert card.data == "nothing (threshold: held-out images of nudt-sirst)"
    assert [each.data for each in card.measured] == ["nudt-sirst test (2 images)"]
    with pytest.raises(SettingsError, match=r"a network that learns.*got rx, a filter"):
        fit_network("rx", plan, tmp_path / "run")


@pytest.mark.parametrize("name", [name for name in list_trained() if name in list_learning()])
def test_a_trained_network_becomes_weights_that_load(name: str, tmp_path: Path) -> None:
    provenance = trained(name, tmp_path / "run")
    weights = tmp_path / "out" / f"{name}.safetensors"
    card = export(name, tmp_path / "run" / "checkpoint.pt", weights, provenance)
    model, read = load_model(name, weights)
    assert read == card
    assert card.digest == digest_of(weights)
    assert card.recipe["steps"] == 1
    assert all(value >= 0 for measurement in card.measured for value in measurement.values.values())
    assert {measurement.data.split()[0] for measurement in card.measured} <= {*BOX_SETS, SYNTHETIC}
    # Half precision keeps three digits.
    result = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["result"]
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, result[key], atol=1e-3, rtol=1e-3)


def trained(name: str, folder: Path, steps: int = 1) -> Provenance:
    """A run of so many steps of four crops by the default recipe; a segmenter's are as small as they can be."""
    plan = plan_named("ours", task=task_named(name))
    recipe = plan.recipe.with_numbers(batch_size=4)
    if task_named(name) is Task.SEGMENTATION:
        recipe = recipe.with_crop(32)
    task = task_of(create_model(name), recipe)
    plan = replace(plan, recipe=recipe, epochs=steps * 4 / task.epoch_size)
    assert fit_network(name, plan, folder)[1].steps == steps
    return Provenance("made here", plan.source, recipe)


def test_weights_and_card_are_replaced_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.safetensors"
    provenance = trained("acm", tmp_path / "run")
    before = export("acm", tmp_path / "run" / "checkpoint.pt", weights, provenance)
    trained("acm", tmp_path / "run", 2)
    loaded = []

    def fails(*arguments: object, **named: object) -> None:
        loaded.append(load_model("acm", weights)[1])
        raise OSError("no space left")

    monkeypatch.setattr("training.tasks.segmentation.measure_segmentation", fails)
    with pytest.raises(OSError, match="no space left"):
        export("acm", tmp_path / "run" / "checkpoint.pt", weights, provenance)
    assert loaded == [before], "whoever loads them while others are measured"
    assert load_model("acm", weights)[1] == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "weights.safetensors", "weights.json"}


def irstream(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_commands_export_and_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained("acm", tmp_path)
    weights = str(tmp_path / "weights.safetensors")
    assert irstream("models", "export", "acm", "--checkpoint", str(tmp_path / "checkpoint.pt"), "--json") == 0
    exported = json.loads(capsys.readouterr().out)
    assert irstream("models", "measure", "acm", "--weights", weights, "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured == exported
    assert ("iou_bfloat16" in measured[0]) is (fastest_dtype("cpu") is torch.bfloat16)
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
    assert irstream("models", "measure", "acm", "--weights", str(weights), "--write", "--json") == 0
    printed = json.loads(capsys.readouterr().out)[0]
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


def test_figures_of_other_images_are_not_written_into_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert irstream("models", "measure", "acm", "--write", "--role", "select") == 2
    assert "images to measure on (--role): expected test images, where figures are written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["measure", "acm"], "expected a data set, got no index", id="measure"),
        pytest.param(["export", "acm", "--checkpoint", "none.pt"], "none.pt: expected a checkpoint, got no such file", id="export"),
        pytest.param(["pictures", "images"], "expected a data set, got no index", id="pictures"),
        pytest.param(["pictures", "images", "--task", "boxes"], "expected one of segmentation, detection, classification", id="task"),
        pytest.param(["augmentation", "file.png"], "expected a data set, got no index", id="augmentation"),
        pytest.param(["average", "nowhere", "--out", "mean"], "got no such file", id="average"),
        pytest.param(["ship", "nowhere"], "got no such file", id="ship"),
        pytest.param(["compare", "nowhere"], "got no such file", id="compare"),
    ],
)
def test_a_mistake_is_a_message_and_no_traceback(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRSTREAM_DATA", "nowhere")
    assert irstream("models", *arguments) == 2
    assert text in " ".join(capsys.readouterr().err.split())


def test_a_stopped_training_is_exported_with_the_norms_it_would_have_ended_with(tmp_path: Path) -> None:
    provenance = trained("acm", tmp_path, 2)
    file = tmp_path / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    result, average = state["result"], state["average"]
    assert any(not torch.equal(result[key], average[key]) for key in result)
    for batches, expected in ((state["calibration_batches"], result), (0, average)):
        torch.save(state | {"result": None, "calibration_batches": batches}, file)
        export("acm", file, tmp_path / "weights.safetensors", provenance)
        network, _ = load_model("acm", tmp_path / "weights.safetensors")
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                torch.testing.assert_close(tensor, expected[key], atol=2e-3, rtol=2e-3, msg=key)


def test_the_same_checkpoint_gives_the_same_file(tmp_path: Path) -> None:
    provenance = trained("basic_cnn", tmp_path)
    first, second = (
        export("basic_cnn", tmp_path / "checkpoint.pt", tmp_path / f"{name}.safetensors", provenance) for name in ("one", "two")
    )
    assert first.digest == second.digest
    assert first.recipe["command"] == "made here"
    assert first.measured[0].command == f"irstream models measure basic_cnn --weights {tmp_path / 'one.safetensors'}"
