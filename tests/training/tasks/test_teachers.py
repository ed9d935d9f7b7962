"""A network learns from others: the losses, the mean of several, what is refused, and that the answers come nearer."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from contracts.errors import SettingsError
from deploy.cli.main import main
from models.interface import MetadataBatch, Task
from models.losses.distillation import class_distillation_loss, mask_distillation_loss
from models.weights import WEIGHTS_FOLDER
from models.zoo import AnyModel, create_model, load_model
from training.data.batches import Batch
from training.recipes import TrainingPlan, plan_named
from training.tasks.known import task_of
from training.tasks.teachers import Teachers, teachers_named

pytestmark = pytest.mark.usefixtures("made_data")


def taught_plan(student: AnyModel, *names: str, share: float = 1.0, sets: tuple[str, ...] = ("sirst-v2",)) -> TrainingPlan:
    plan = plan_named("ours", sets, 1, student.task)
    recipe = plan.recipe.with_numbers(batch_size=2)
    recipe = recipe.with_crop(32) if student.task == Task.SEGMENTATION else recipe
    return replace(plan, recipe=recipe.with_teachers(teachers_named(names), share))


def batch_of(pixels_B1HW: torch.Tensor) -> Batch:
    return Batch(pixels_B1HW, (), MetadataBatch.unknown((64, 64), len(pixels_B1HW)))


def test_losses_by_hand() -> None:
    logits_B1HW = torch.tensor([[[[0.0, 3.0], [-2.0, 1.0]]]])
    assert mask_distillation_loss(logits_B1HW, logits_B1HW) == pytest.approx(0, abs=1e-6)
    # A student at 1/2 against a teacher at 3/4: ln 2 less the entropy of 3/4, times 20.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    one = mask_distillation_loss(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), math.log(3)))
    assert one == pytest.approx(20 * (math.log(2) - entropy), rel=1e-5)
    student_BK, teacher_BK = torch.tensor([[0.0, 0.0]]), torch.tensor([[2 * math.log(3), 0.0]])
    assert class_distillation_loss(teacher_BK, teacher_BK) == pytest.approx(0, abs=1e-6)
    # At temperature 2 the teacher says 3/4.
    assert class_distillation_loss(student_BK, teacher_BK) == pytest.approx(4 * (math.log(2) - entropy), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sets"), [("acm", ("sirst-v2",)), ("basic_cnn", ("hit-uav", "sirst-v2"))])
def test_a_student_comes_nearer_to_its_teacher(name: str, sets: tuple[str, ...]) -> None:
    torch.manual_seed(1)
    network = create_model(name)
    plan = taught_plan(network, name, sets=sets)
    task = task_of(network, plan.recipe)
    batch = next(iter(islice(task.source(10).batches(), 1)))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = task.loss(network, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    shipped = task_of(network, plan.recipe).loss(load_model(name)[0], batch)
    assert shipped.item() == pytest.approx(0, abs=1e-4), "with the whole share, the truth counts for nothing"
    truth = task_of(network, taught_plan(network, name, share=0.0, sets=sets).recipe)
    untaught = task_of(network, taught_plan(network, sets=sets, share=0.5).recipe)
    network.eval()
    assert torch.equal(truth.loss(network, batch), untaught.loss(network, batch))


def test_several_teachers_answer_with_the_mean_of_their_logits_whatever_the_sides_of_the_crop() -> None:
    names = ("acm", "kestrel")
    pixels_B1HW = torch.randn(2, 1, 50, 43, generator=torch.Generator().manual_seed(3))
    alone = [Teachers(teachers_named([name]), create_model("acm")).logits(batch_of(pixels_B1HW)) for name in names]
    both = Teachers(teachers_named(names), create_model("acm")).logits(batch_of(pixels_B1HW))
    assert both.shape == pixels_B1HW.shape
    assert not torch.equal(alone[0], alone[1])
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)
    assert not both.requires_grad


def test_a_run_in_folds_teaches_with_all_of_its_networks(tmp_path: Path) -> None:
    for fold, name in enumerate(("acm", "kestrel")):
        folder = tmp_path / f"fold-{fold}"
        folder.mkdir()
        for suffix in (".safetensors", ".json"):
            (folder / f"weights{suffix}").write_bytes((WEIGHTS_FOLDER / f"{name}{suffix}").read_bytes())
    found = teachers_named([str(tmp_path)])
    assert [teacher.digest for teacher in found] == [load_model(name)[1].digest for name in ("acm", "kestrel")]
    assert teachers_named([str(tmp_path / "fold-1")]) == found[1:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acm", "--teacher", "basic_cnn"], "--teacher"),
        (["acm", "--teacher", "top_hat"], "--teacher"),
        (["acm", "--teacher", "nothing_of_that_name"], "nothing_of_that_name"),
        (["acm", "--teacher", "kestrel", "--folds", "2", "--data", "{made}"], "folds"),
        (["acm", "--teacher-share", "0.3"], "--teacher-share"),
        (["fcos_light", "--teacher", "fcos_light"], "--teacher"),
    ],
)
def test_wrong_teachers_are_refused_before_anything_is_learnt(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", *(part.replace("{made}", str(tmp_path)) for part in arguments), "--out", str(tmp_path / "run"), "--epochs", "1"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_weights_that_were_exchanged_do_not_teach(tmp_path: Path) -> None:
    for suffix in (".safetensors", ".json"):
        (tmp_path / f"weights{suffix}").write_bytes((WEIGHTS_FOLDER / f"acm{suffix}").read_bytes())
    (teacher,) = teachers_named([str(tmp_path)])
    with pytest.raises(SettingsError, match="teacher"):
        Teachers([replace(teacher, digest="0" * 64)], create_model("acm"))
