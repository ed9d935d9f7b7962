"""One training for every task: a registered toy network of each is trained, stopped, gone on with, exported and measured."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contracts.frame import Band, Platform
from contracts.outputs import Classification, Detections, Segmentation
from deploy.cli.main import main
from models import zoo
from models.interface import BANDS, PLATFORMS, MetadataBatch, Task
from models.weights import load_weights, save_weights
from models.zoo import AnyModel, create_model, list_models, load_model, task_named
from tests.processes import irstream
from tests.training.killed import die_at_a_checkpoint
from training.data.samples import Sample
from training.fit import fit_network
from training.loop.checkpoint import steps_done
from training.loop.norms import calibrate_norms
from training.recipes import plan_named
from training.registry.measure import measure_weights
from training.tasks.base import TrainingTask
from training.tasks.known import task_of

pytestmark = pytest.mark.usefixtures("made_data")
DATA = {"toy_segmenter": ("sirst-v2",), "toy_detector": ("sirst-v2", "hit-uav"), "toy_classifier": ("hit-uav", "sirst-v2")}
TOYS = tuple(DATA)
STEPS = 16


@pytest.fixture(scope="module", autouse=True)
def _toys_are_known_here_only() -> Iterator[None]:
    list_models()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "_registry", dict(vars(zoo)["_registry"]))
        import_module("tests.training.toy_networks")
        yield


def options(name: str, folder: Path, epochs: float) -> list[str]:
    data = [part for each in DATA[name] for part in ("--data", each)]
    return ["train", name, *data, "--batch-size", "4", "--epochs", f"{epochs}", "--checkpoint-s", "0", "--out", str(folder), "--json"]


def epochs_of(name: str, steps: int) -> float:
    return steps * 4 / toy_task(name).epoch_size


def toy_task(name: str) -> TrainingTask:
    return task_of(create_model(name), plan_named("ours", DATA[name], task=task_named(name)).recipe)


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert ended.value.code in (0, None), told.err
    return json.loads(told.out)


def checkpoint(folder: Path) -> dict[str, Any]:
    return dict(torch.load(folder / "checkpoint.pt", weights_only=True))


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list | tuple):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(each, f"{name}/{key}")
    else:
        yield name, value


def assert_same_state(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Weights, average, optimiser, result, loss and chance; not how long it took."""
    first, second = (dict(flat({key: value for key, value in state.items() if key != "spent_s"})) for state in (one, other))
    assert first.keys() == second.keys()
    tensors = 0
    for name, value in first.items():
        if isinstance(value, Tensor):
            tensors += 1
            assert torch.equal(value, second[name]), name
        else:
            assert value == second[name], name
    assert tensors > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, ()) for name in TOYS),
        ("toy_segmenter", ("--validate-every", "1.7")),
        ("toy_segmenter", ("--recipe", "stranger", "--crop-px", "48")),
    ],
)
def test_a_killed_training_ends_as_one_that_was_not_bit_for_bit(
    name: str, more: tuple[str, ...], tmp_path: Path, made_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = epochs_of(name, STEPS)
    killed, variables = tmp_path / "killed", {"IRSTREAM_DATA": str(made_root), "OMP_NUM_THREADS": "1"}
    ended = irstream(*options(name, killed, epochs), *more, cwd=tmp_path, first=die_at_a_checkpoint, **variables)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    done = steps_done(killed)
    assert 0 < done < STEPS, "killed in the middle"
    again = run([*options(name, killed, epochs), *more], capsys)
    whole = run([*options(name, tmp_path / "whole", epochs), *more], capsys)
    assert again["steps"] == whole["steps"] == STEPS
    assert_same_state(checkpoint(killed), checkpoint(tmp_path / "whole"))
    assert again["card"]["digest"] == whole["card"]["digest"]
    assert again["card"]["postprocess"] == whole["card"]["postprocess"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TOYS)
def test_a_registered_network_is_trained_exported_loaded_and_measured(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*options(name, tmp_path, epochs_of(name, 6)), "--task", str(task_named(name)), "--validate-every", "0.1"]
    told = run(arguments, capsys)
    network, card = load_model(name, told["weights"])
    assert card.model_dump(mode="json") == told["card"]
    assert card.task == task_named(name)
    assert card.classes == network.class_names
    assert card.recipe["best_step"] in range(1, 7), "held-out images were asked"
    assert {each.data.split()[0] for each in card.measured} <= set(DATA[name])
    assert card.measured
    again = measure_weights(name, Path(told["weights"]), sets=DATA[name])
    assert [each.values for each in again] == [each.values for each in card.measured]
    commands = {each.command for each in card.measured if each.command.startswith("irstream models measure")}
    for command in commands:
        shown = run([*shlex.split(command)[1:], "--json"], capsys)
        assert shown == [{"data": each.data} | each.values for each in card.measured]
    assert commands or card.task == "segmentation"
    size = network.input_spec.fixed_size_px or 32
    with torch.inference_mode():
        raw = network(torch.zeros(1, 1, size, size), MetadataBatch.unknown((size, size)))
        assert isinstance(network.postprocess(raw, [(size, size)])[0], Detections | Segmentation | Classification)


@pytest.mark.parametrize("name", TOYS)
def test_metadata_of_the_index_is_learnt_from_and_measured_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Platform.AIR, Band.MWIR)
    task = toy_task(name)
    model = create_model(name)
    batches = list(islice(task.source().batches(), 8))
    for batch in batches:
        task.loss(model, batch)
    platforms, bands, sizes = (torch.cat(each) for each in zip(*(seen.tensors for seen in taken(model)), strict=True))
    assert set(platforms.tolist()) == {PLATFORMS.index(Platform.AIR), PLATFORMS.index(Platform.UNKNOWN)}
    assert set(bands.tolist()) == {BANDS.index(Band.MWIR), BANDS.index(Band.UNKNOWN)}
    assert (sizes == 64).all(), "the size of the frame, not that of the crop"
    seen: list[MetadataBatch] = []

    from tests.training.toy_networks import Known

    def note(known: Known, x_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        seen.append(metadata)
        return x_BCHW

    monkeypatch.setattr(Known, "forward", note)
    task.measure(model.eval())
    assert seen
    assert all((each.platform_B == PLATFORMS.index(Platform.AIR)).all() for each in seen)
    assert all((each.band_B == BANDS.index(Band.MWIR)).all() for each in seen)
    assert all((each.size_px_B2 == 64).all() for each in seen)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", TOYS)
def test_a_share_of_the_crops_hides_its_metadata(name: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Platform.SPACE, Band.SWIR)
    recipe = plan_named("ours", DATA[name], task=task_named(name)).recipe.with_numbers(batch_size=100, unknown_share=share)
    batch = next(task_of(create_model(name), recipe).source().batches())
    for values, unknown in (
        (batch.metadata.platform_B, PLATFORMS.index(Platform.UNKNOWN)),
        (batch.metadata.band_B, BANDS.index(Band.UNKNOWN)),
    ):
        assert float((values == unknown).float().mean()) == pytest.approx(share, abs=0.2 * (0 < share < 1))


def known(monkeypatch: pytest.MonkeyPatch, platform: Platform, band: Band) -> None:
    """All images are of one platform and band."""
    monkeypatch.setattr("training.tasks.base.read_samples", with_metadata(platform, band))
    monkeypatch.setattr("training.tasks.measuring.read_samples", with_metadata(platform, band))


def with_metadata(platform: Platform, band: Band) -> Any:
    from training.data.samples import read_samples

    def read(*arguments: Any, **named: Any) -> list[Sample]:
        return [replace(sample, platform=platform, band=band) for sample in read_samples(*arguments, **named)]

    return read


def taken(model: AnyModel) -> list[MetadataBatch]:
    from tests.training.toy_networks import Known

    assert isinstance(model.known, Known)
    return model.known.seen


@pytest.mark.parametrize("name", TOYS)
def test_a_batch_depends_on_its_number_and_the_seed_alone(name: str) -> None:
    task = toy_task(name)
    whole = list(islice(task.source().batches(), 7))
    for start, stride in ((0, 1), (3, 1), (1, 2)):
        for number, batch in zip(range(start, 7, stride), toy_task(name).source().batches(start, stride), strict=False):
            for got, expected in zip(batch.tensors, whole[number].tensors, strict=True):
                assert torch.equal(got, expected), (number, start, stride)
    other = task_of(create_model(name), task.recipe.with_numbers(seed=1)).source()
    assert not torch.equal(next(other.batches()).pixels_B1HW, whole[0].pixels_B1HW)
    assert not torch.equal(next(task.source().calibration(1)).pixels_B1HW, whole[0].pixels_B1HW)


@pytest.mark.parametrize("name", TOYS)
def test_crops_need_not_be_multiples_of_what_the_network_wants(name: str, tmp_path: Path) -> None:
    plan = plan_named("ours", DATA[name], task=task_named(name))
    recipe = plan.recipe.with_numbers(batch_size=4)
    if task_named(name) is not Task.CLASSIFICATION:
        recipe = recipe.with_crop(38)
    epochs = epochs_of(name, 4)
    plan = replace(plan, recipe=recipe, epochs=epochs, validate_every_epochs=epochs / 2)
    _, report = fit_network(name, plan, tmp_path)
    assert report.steps == 4
    assert report.best_step in (2, 4), "held-out images were asked"


@pytest.mark.parametrize("starts", [True, False], ids=["from weights", "from random"])
def test_first_weights_of_the_recipe_are_those_of_a_training_from_random_ones(starts: bool, tmp_path: Path) -> None:
    plan = plan_named("aamsf_paper", DATA["toy_classifier"], task=Task.CLASSIFICATION)
    plan = replace(plan, epochs=1e-3, loop=replace(plan.loop, max_lr=0.0))
    begun = create_model("toy_classifier")
    save_weights(begun, tmp_path / "begun.safetensors")
    load_weights(begun, tmp_path / "begun.safetensors")  # as they are stored, in half precision
    network, report = fit_network("toy_classifier", plan, tmp_path / "run", start=tmp_path / "begun.safetensors" if starts else None)
    assert report.steps == 1
    same = [torch.equal(tensor, begun.state_dict()[name]) for name, tensor in network.named_parameters()]
    assert all(same) is starts
    assert bool(network.get_parameter("head.bias").any()) is starts, "He's begin at zero, torch's own do not"


@pytest.mark.slow
def test_averaged_weights_come_out_with_statistics_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([*options("toy_segmenter", tmp_path, epochs_of("toy_segmenter", 5)), "--unknown-share", "1"], capsys)
    state = checkpoint(tmp_path)
    task = toy_task("toy_segmenter")
    network = create_model("toy_segmenter")
    network.load_state_dict(state["average"])
    source = task_of(network, task.recipe.with_numbers(batch_size=4, unknown_share=1.0)).source()
    calibrate_norms(network.eval(), source.calibration(state["calibration_batches"]))
    assert state["calibration_batches"] == 5, "no more than it has steps"
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(state["result"][name], tensor, atol=1e-4, rtol=1e-3, msg=name)
    assert not torch.equal(state["result"]["body.1.running_mean"], state["average"]["body.1.running_mean"])
