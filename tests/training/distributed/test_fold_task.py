"""The task of a fold: the one `fit` learns from streams of images, and each task answers and is measured image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.zoo import create_model, task_named
from tests.training.toy_networks import TOYS
from training.data.importing import import_set
from training.data.labelled_frame import sample_of_row
from training.data.parquet_set import iterate_rows
from training.data.reading import Defaults
from training.data.samples import Role, Sample, read_samples
from training.distributed.fold_task import FoldTask
from training.distributed.predictions import PREDICTIONS, predicted_rows
from training.distributed.team import Team
from training.fit import fit
from training.recipes import TrainingPlan, plan_named
from training.tasks.base import TrainingTask
from training.tasks.known import task_of

SETS = {"toy_segmenter": ("nudt", "nudt-sirst"), "toy_detector": ("nudt", "nudt-sirst"), "toy_classifier": ("hituav", "hit-uav")}


@pytest.fixture
def folder(made_root: Path, made_data: None, toy: str, tmp_path: Path) -> Path:
    kind, name = SETS[toy]
    import_set(kind, made_root / name, tmp_path / "set", Defaults(dataset=name, licence="ours"))
    return tmp_path / "set"


def inner_task(toy: str, model: torch.nn.Module) -> tuple[TrainingTask, TrainingPlan]:
    plan = plan_named("ours", (SETS[toy][1],), 2, task_named(toy))
    recipe = plan.recipe.with_numbers(batch_size=4)
    recipe = recipe if toy == "toy_classifier" else recipe.with_crop(32)
    return task_of(model, recipe), replace(plan, recipe=recipe, validate_every_epochs=1.0)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("toy", TOYS)
def test_a_network_of_each_task_learns_from_a_stream_and_goes_on(toy: str, folder: Path, tmp_path: Path) -> None:
    def stream() -> Iterator[Sample]:
        return (sample_of_row(row) for row in iterate_rows(folder))

    def learn(place: Path, dies: bool = False) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        model = create_model(toy)
        inner, plan = inner_task(toy, model)
        crops = sum(inner.crops_in(sample.labels) for sample in stream())
        task = FoldTask(inner, stream, stream, crops=crops, team=Team(), window_bytes=8 * 64 * 64 * 4)
        every = task.batches_an_epoch
        plan = replace(plan, loop=replace(plan.loop, checkpoint_s=1e9, checkpoint_every_steps=every))

        def saved(progress: object) -> None:
            if dies:
                raise KeyboardInterrupt

        network, report = fit(task, model, plan, place, saved=saved)
        assert report.steps == 2 * every
        assert report.best_step % every == 0
        return network.state_dict()

    whole = learn(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "killed", dies=True)
    rest = learn(tmp_path / "killed")
    assert all(torch.equal(whole[name], rest[name]) for name in whole), "the same steps, bit for bit"


@pytest.mark.slow
@pytest.mark.parametrize("toy", TOYS)
def test_answers_image_by_image_give_the_figures_of_the_evaluation(toy: str, folder: Path) -> None:
    torch.manual_seed(3)
    model = create_model(toy).eval()
    task, _ = inner_task(toy, model)
    model.configure(task.chosen_on(model, (sample_of_row(row) for row in iterate_rows(folder))))
    rows = list(predicted_rows(2, iterate_rows(folder), task.answers(model)))
    rows = pa.Table.from_pylist(rows, PREDICTIONS).to_pylist()
    figures = task.figures(model, rows)
    measured = {}
    for role in (Role.TRAIN, Role.SELECT, Role.TEST):
        for each in task.measure(model, role):
            measured[role] = each.values
    names = {"iou": "iou", "pd": "pd", "ap50": "ap50", "accuracy": "accuracy", "macro_f1": "macro_f1"}
    known = [name for name in figures if name in names]
    assert task.headline in known
    assert {row["fold"] for row in rows} == {2}
    assert len(rows) == len(read_samples((SETS[toy][1],), Role.TRAIN) + read_samples((SETS[toy][1],), Role.SELECT)) + len(
        read_samples((SETS[toy][1],), Role.TEST)
    )
    for name in known:
        values = [measured[role][name] for role in measured if name in measured[role]]
        assert min(values) - 1e-3 <= figures[name] <= max(values) + 1e-3 or np.isnan(figures[name])
    outcomes, answers = task.outcomes(model, rows), sum(len(row["found_scores"]) for row in rows)
    assert len(outcomes.scores_N) == len(outcomes.hits_N) <= answers
    if outcomes.confusion_KK is None:
        assert outcomes.found is not None
        assert outcomes.found.num_targets == sum(len(row["boxes"]) for row in rows)
    else:
        assert outcomes.confusion_KK.sum() == answers
        assert np.trace(outcomes.confusion_KK) == outcomes.hits_N.sum()
    scores = [task.image_score(dict(row["figures"])) for row in rows]
    assert all(np.isnan(score) or 0 <= score <= 1 for score in scores)
    with torch.no_grad():
        assert task.quality(model, (sample_of_row(row) for row in iterate_rows(folder))) >= 0
