"""`irstream train`: weights with their card, going on after a kill, recipes by name."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from contracts.errors import SettingsError
from deploy.cli.main import main
from models.card import read_card
from models.segmentation.base import SegmentationModel
from models.weights import WEIGHTS_FOLDER, digest_of
from models.zoo import load_model
from tests.processes import running
from tests.waiting import GUARD_S, wait_until
from training.data.samples import Role, read_samples
from training.loop.checkpoint import steps_done
from training.recipes import plan_named
from training.tasks.measuring import measure_segmentation
from training.tasks.segmentation import segmentation_validator

pytestmark = [pytest.mark.usefixtures("made_data"), pytest.mark.slow]
QUICK = ("--data", "nudt-sirst", "--crop-px", "32", "--batch-size", "4")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_weights_with_their_card_come_out(workers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--epochs", "1", "--precision", "float32", "--workers", workers)
    assert run("acm", *QUICK, *options, "--out", str(tmp_path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    steps = math.ceil(len(read_samples(("nudt-sirst",), Role.TRAIN)) / 4)
    assert told["steps"] == steps == steps_done(tmp_path)
    network, card = load_model("acm", told["weights"])
    assert network.name == "acm"
    assert card.recipe["details"] == "ours (docs/networks.md); changed as the command says; 1 epoch, float32"
    assert set(card.recipe) == {"command", "details", "steps", "processor_minutes"}
    assert card.data == "nudt-sirst (training splits)"
    assert card.measured[0].command == f"irstream evaluate {told['weights']} nudt-sirst"
    assert [each.data for each in card.measured] == ["nudt-sirst test (2 images)"]


def test_a_set_that_is_refused_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("acm", "--data", "mar-dct-ir", "--epochs", "1", "--out", str(tmp_path)) == 2
    told = capsys.readouterr().err
    assert "no training may see it" in told
    assert "recipe ours" not in told


def test_a_training_may_begin_with_weights_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("acm", *QUICK, "--epochs", "1", "--lr", "0", "--ema", "0", "--json")
    assert run(*options, "--start", "shipped", "--out", str(tmp_path / "a")) == 0
    told = json.loads(capsys.readouterr().out)
    shipped, learnt = (dict(load_model("acm", weights)[0].named_parameters()) for weights in (None, told["weights"]))
    assert all(torch.equal(shipped[name], learnt[name]) for name in shipped), "a learning rate of 0 keeps what it began with"
    assert run(*options, "--start", str(tmp_path / "a"), "--out", str(tmp_path / "b")) == 0
    details, before = json.loads(capsys.readouterr().out)["card"]["recipe"]["details"], told["card"]["recipe"]
    assert (
        f"begun with weights {told['card']['digest'][:12]} ({before['command']}, {before['steps']:,} steps: {before['details']}); "
        in details
    )
    assert "irstream train acm" in details.split("begun with weights")[2], "from the first weights on"
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(WEIGHTS_FOLDER / "acm.safetensors", other / "weights.safetensors")
    shutil.copy(tmp_path / "a" / "weights.json", other)
    assert run(*options, "--start", str(other), "--out", str(tmp_path / "d")) == 0
    assert f"begun with weights {digest_of(other / 'weights.safetensors')[:12]}; " in capsys.readouterr().out, (
        "a card of other weights says nothing"
    )
    assert run(*options, "--out", str(tmp_path / "b")) == 2
    assert re.search(r"expected weights to begin with \(--start\) [0-9a-f]{64} as.*got.*random weights", capsys.readouterr().err)
    assert run("rdian", *QUICK, "--epochs", "1", "--start", str(tmp_path / "a"), "--out", str(tmp_path / "c")) == 2
    assert "expected the tensors of Rdian" in capsys.readouterr().err
    assert run("rdian", *QUICK, "--epochs", "1", "--start", "shipped", "--out", str(tmp_path / "c")) == 2
    assert "(--start shipped): expected a network whose weights ship (irstream models list), got rdian" in capsys.readouterr().err
    assert run("nobody", *QUICK, "--epochs", "1", "--start", "shipped", "--out", str(tmp_path / "c")) == 2
    assert re.search(r"model name: expected one of .*\bacm, .*got .nobody.", capsys.readouterr().err)


def test_frozen_norms_keep_the_statistics_of_the_weights_to_begin_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("acm", *QUICK, "--epochs", "1", "--ema", "0", "--frozen-norms", "--json", "--out", str(tmp_path))
    assert run(*options) == 2
    assert re.search(
        r"\(--frozen-norms\): expected weights to begin with \(--start\), got none.*Name the weights \(--start\)", capsys.readouterr().err
    )
    assert run(*options, "--start", "shipped") == 0
    shipped, learnt = (load_model("acm", weights)[0] for weights in (None, json.loads(capsys.readouterr().out)["weights"]))
    statistics = dict(learnt.named_buffers())
    assert len(statistics) > 3
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in shipped.named_buffers())
    weights = dict(learnt.named_parameters())
    assert not all(torch.equal(weight, weights[name]) for name, weight in shipped.named_parameters()), "the rest learns"


def test_a_card_says_whether_options_change_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, options, how in (
        ("a", (), "ours (docs/networks.md)"),
        ("b", ("--lr", "1e-3"), "ours (docs/networks.md); changed as the command says"),
    ):
        assert (
            run(
                "acm",
                "--data",
                "nudt-sirst",
                "--epochs",
                "0.5",
                "--precision",
                "float32",
                *options,
                "--out",
                str(tmp_path / folder),
                "--json",
            )
            == 0
        )
        assert json.loads(capsys.readouterr().out)["card"]["recipe"]["details"] == f"{how}; 0.5 epochs, float32"


def test_another_seed_begins_with_other_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("acm", *QUICK, "--epochs", "1", "--lr", "0", "--ema", "0", "--json")
    learnt = []
    for folder, seed in (("a", ()), ("b", ("--seed", "20")), ("c", ("--seed", "21"))):
        assert run(*options, *seed, "--out", str(tmp_path / folder)) == 0
        network, _ = load_model("acm", json.loads(capsys.readouterr().out)["weights"])
        learnt.append(torch.cat([each.flatten() for each in network.parameters()]))
    assert torch.equal(learnt[0], learnt[1]), "20 is the seed of the recipe"
    assert not torch.equal(learnt[1], learnt[2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    run_folder, told = tmp_path / "run", tmp_path / "told"
    command = ["train", "acm", *QUICK, "--out", str(run_folder), "--epochs", "4000", "--checkpoint-s", "0"]
    with running(command, os.environ, told) as process:
        send_when_it_learns(process, run_folder, number)
        process.join(2 * GUARD_S)
        assert process.exitcode == 130, told.read_text()
    assert f"stopped at step {steps_done(run_folder)}; the same command goes on there" in told.read_text()


def send_when_it_learns(process: BaseProcess, folder: Path, number: signal.Signals) -> None:
    wait_until(lambda: steps_done(folder) or not process.is_alive(), "a first checkpoint", 2 * GUARD_S)
    assert process.pid is not None
    assert process.is_alive(), process.exitcode
    os.kill(process.pid, number)


def test_early_stop_validates_on_held_out_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--data", "sirst-v2", *QUICK[2:], "--epochs", "40", "--early-stop", "2", "--validate-every", "0.5", "--lr", "0")
    assert run("acm", *options, "--out", str(tmp_path), "--json") == 0
    # With a learning rate of 0 nothing gets better: one validation that is the best so far, and two that are not.
    validate_steps = round(0.5 * len(read_samples(("sirst-v2",), Role.TRAIN)) / 4)
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 3 * validate_steps
    assert told["card"]["recipe"]["best_step"] == validate_steps
    assert run("acm", *options, "--out", str(tmp_path)) == 0
    assert re.search(rf"\nstopped early: best on held-out images 0\.\d{{4}} at step {validate_steps}\n", capsys.readouterr().out)


def test_a_validation_without_patience_keeps_the_best_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("acm", "--data", "sirst-v2", *QUICK[2:], "--epochs", "2", "--validate-every", "1", "--lr", "0", "--out", str(tmp_path)) == 0
    steps = math.ceil(2 * len(read_samples(("sirst-v2",), Role.TRAIN)) / 4)
    assert steps_done(tmp_path) == steps
    told = capsys.readouterr().out
    assert re.search(rf"\nbest on held-out images 0\.\d{{4}} at step {round(steps / 2)}\n", told), "nothing gets better afterwards"
    assert read_card(tmp_path / "weights.json").recipe["best_step"] == round(steps / 2)


def test_a_validation_without_targets_is_refused(tmp_path: Path, made_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(made_root / "nudt-sirst", folder)
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for line in lines[:3]:
        line |= {"split": "val", "mask": None, "boxes": []}
    (folder / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--data", str(folder), *QUICK[2:], "--epochs", "9", "--out", str(tmp_path / "run"))
    assert run("acm", *options, "--early-stop", "2", "--validate-every", "1") == 2
    assert (
        "(--early-stop, --validate-every) of a segmenter: expected held-out images (split val) with targets, got no image with a mask"
        in (" ".join(capsys.readouterr().err.split()))
    )


def test_a_validation_counts_sets_alike_and_leaves_out_those_without_masks() -> None:
    samples = [sample for name in ("synthetic", "sirst-v2", "hit-uav") for sample in read_samples((name,), Role.SELECT)]
    assert {sample.dataset for sample in samples} == {"synthetic", "sirst-v2", "hit-uav"}
    network, _ = load_model("acm")
    assert isinstance(network, SegmentationModel)
    scores = {}
    for name in ("synthetic", "sirst-v2"):
        network.configure({"threshold": 0.5})
        (measured,) = measure_segmentation(network, Role.SELECT, "", [name])
        scores[name] = (measured.values["iou"] + measured.values["niou"]) / 2
    uneven = samples + [sample for sample in samples if sample.dataset == "synthetic"] * 3
    for chosen in (samples, uneven):
        assert segmentation_validator(chosen)(network) == pytest.approx(sum(scores.values()) / 2, abs=2e-4)


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "acm", *QUICK, "--out", str(tmp_path), "--checkpoint-s", "0", "--epochs", "4000", "--workers", "1"]
    with running(command, os.environ, tmp_path / "told") as process:
        send_when_it_learns(process, tmp_path, signal.SIGSTOP)
        assert run("acm", *QUICK, "--out", str(tmp_path), "--epochs", "4000") == 2
        assert "expected a folder in which nothing else is being trained, got a training that is running" in capsys.readouterr().err
        process.kill()
        process.join()
    steps = steps_done(tmp_path)
    assert steps > 0
    epochs = math.ceil(steps * 4 / len(read_samples(("nudt-sirst",), Role.TRAIN))) + 1
    assert run("acm", *QUICK, "--out", str(tmp_path), "--epochs", str(epochs)) == 0, "the kernel let go, whatever its children do"


@pytest.mark.parametrize("recipe", ["basicirstd", "sgem_paper"])
def test_recipes_of_papers_learn_from_all_training_images_and_choose_nothing(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", "sirst-v2", *QUICK[2:], "--recipe", recipe, "--out", str(tmp_path))
    assert run("acm", *options, "--epochs", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    taught, held_out = (len(read_samples(("sirst-v2",), role)) for role in (Role.TRAIN, Role.SELECT))
    assert told["steps"] == math.ceil((taught + held_out) / 4) > math.ceil(taught / 4)
    assert told["card"]["postprocess"]["threshold"] == 0.5
    assert told["card"]["data"] == "sirst-v2 (training and validation splits)"
    assert "learnt from all training and validation images, threshold not chosen; 1 epoch" in told["card"]["recipe"]["details"]
    assert run("acm", *options, "--epochs", "40", "--early-stop", "2") == 2
    assert "validation (--early-stop, --validate-every): expected a recipe that holds images out, got one" in capsys.readouterr().err


def test_recipes_have_the_steps_of_their_epochs() -> None:
    plan = plan_named("basicirstd", ("nudt-sirst",))
    assert plan.loop_for(663).max_steps == math.ceil(400 * 663 / 16)
    assert plan.loop.schedule == "multi_step"
    assert plan_named("sgem_paper", epochs=2).loop_for(663).max_steps == math.ceil(2 * 663 / 8)
    with pytest.raises(SettingsError, match="recipe for segmentation: expected one of ours, robust, basicirstd, sgem_paper, acm"):
        plan_named("theirs")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("fcos_light", "--loss", "bce"), "loss (--loss): expected nothing: networks of this task have no choice of it, got bce"),
        (("acm", "--task", "detection"), "--task: expected segmentation, the task of acm, got 'detection'"),
        (("acm", "--task", "boxes"), "--task: expected one of detection, segmentation, classification, got 'boxes'"),
        (("basic_cnn", "--crop-px", "64"), "side of the crops (--crop-px): expected nothing"),
        (("acm", "--loss", "iou"), "expected one of soft_iou"),
        (("acm", "--schedule", "linear"), "expected one of one_cycle"),
        (("acm", "--recipe", "mine"), "expected one of ours"),
        (("acm", "--precision", "half"), "expected auto, float32 or bfloat16"),
        (("acm", "--data", "nudt_sirst"), "got 'nudt_sirst'. Did you mean 'nudt-sirst'?"),
        (
            ("acm", "--epochs", "1", "--minutes", "1"),
            "--epochs, --minutes: expected one length of the training, got 1 epoch",
        ),
        (("acm", "--epochs", "0"), "passes over the images (--epochs): expected a number, above 0, got 0"),
        (("acm", "--epochs", "-1"), "passes over the images (--epochs): expected a number, above 0, got -1"),
        (("acm", "--epochs", "nan"), "passes over the images (--epochs): expected a number, above 0, got nan"),
        (("acm", "--epochs", "inf"), "passes over the images (--epochs): expected a number, above 0, got inf"),
        (("acm", "--lr", "nan"), "'--lr': Input should be greater than or equal to 0"),
        (("acm", "--lr", "-1"), "'--lr': Input should be greater than or equal to 0"),
        (("acm", "--lr", "fast"), "'--lr': Input should be a valid number"),
        (
            ("acm", "--early-stop", "1", "--validate-every", "5", "--epochs", "5"),
            "epochs between validations (--validate-every): expected fewer than the 5 epochs",
        ),
        (("acm", "--data", "hit-uav"), "expected at least one image with a mask, got none in hit-uav"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[str, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments, "--out", str(tmp_path)) == 2
    assert text in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_a_data_set_without_training_images_is_refused(
    tmp_path: Path, made_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("nudt-sirst", "drone-ir"):
        shutil.copytree(made_root / name, tmp_path / "sets" / name)
    (tmp_path / "sets" / "drone-ir-clips").mkdir()
    (tmp_path / "sets" / "drone-ir-clips" / "tracks.jsonl").write_text("")
    monkeypatch.setenv("IRSTREAM_DATA", str(tmp_path / "sets"))
    assert run("acm", "--data", "nudt-sirst", "--data", "drone-ir-clips", "--out", str(tmp_path / "run")) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "data sets to learn from (--data): expected training images in every data set, got none in drone-ir-clips" in told


@pytest.mark.parametrize("folder", ["/proc/x", "file"])
def test_a_folder_that_cannot_be_written_is_told_before_training(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run("acm", *QUICK, "--out", str(tmp_path / folder)) == 2
    assert "expected a folder that can be written" in capsys.readouterr().err


def test_another_training_in_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("acm", *QUICK, "--epochs", "0.2", "--out", str(tmp_path)) == 0
    assert run("acm", *QUICK, "--epochs", "0.4", "--out", str(tmp_path), "--lr", "0.5") == 2
    assert "expected peak learning rate (--lr) 0.002 as in the checkpoint, got peak learning rate (--lr) 0.5." in capsys.readouterr().err
    assert run("acm", *QUICK, "--epochs", "0.4", "--out", str(tmp_path), "--checkpoint-s", "3", "--workers", "1") == 0
