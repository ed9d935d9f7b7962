"""A training in folds through real Ray: a process dies in the middle, its fold goes on from the last epoch, all images are predicted."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from contracts.errors import SettingsError
from models.segmentation.base import SegmentationModel
from models.zoo import create_model
from tests.training.made_sets import write_made_sets
from training.data.folds import FoldSettings, make_folds
from training.data.importing import import_set
from training.data.reading import Defaults
from training.distributed.cross_validation import CrossValidation, cross_validate, join_predictions
from training.distributed.team_training import TeamTraining
from training.recipes import plan_named
from training.tasks.known import task_of

EPOCHS = 3


def made_run(folder: Path) -> CrossValidation:
    """One split of the made set, a light network, two processes."""
    write_made_sets(folder)
    data = folder / "parquet"
    import_set("nudt", folder / "nudt-sirst", data, Defaults(dataset="nudt-sirst", licence="ours"))
    plan = plan_named("ours", ("nudt-sirst",), EPOCHS)
    plan = replace(plan, recipe=plan.recipe.with_crop(32).with_numbers(batch_size=4), validate_every_epochs=1.0)
    folds = make_folds([data], FoldSettings(num=1, validation=0.25, allow_leaks=True))
    training = TeamTraining(model="acm", plan=plan, workers=2)
    return CrossValidation(training=training, folders=(data,), folds=folds, out=str(folder / "run"))


def names_of_actors() -> set[str]:
    """Classes of the actors that live in this Ray."""
    titles: list[str] = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # or one that has just ended
            titles += process.cmdline()[:1]
    return {title.partition(".")[0].removeprefix("ray::") for title in titles if title.startswith("ray::")}


def ends(done: Callable[[], bool]) -> bool:
    """Whether it comes true in a while: processes take a moment to end."""
    deadline = time.monotonic() + 60
    while not done() and time.monotonic() < deadline:
        time.sleep(0.2)
    return done()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_process_that_dies_costs_no_epoch_and_every_image_is_predicted_once(tmp_path: Path) -> None:
    run, begun, killed = made_run(tmp_path), list[int](), list[int]()

    def kill(folds: Mapping[int, Mapping[str, Any]]) -> None:
        told = folds[0]
        if told["state"] == "training" and told.get("first_step") not in (None, *begun):
            begun.append(int(told["first_step"]))
        if told["state"] == "training" and not killed and told["steps"] > told["steps_an_epoch"]:
            killed.append(told["steps"])
            os.kill(told["pid"], signal.SIGKILL)

    (result,) = cross_validate(run, kill)
    assert ends(lambda: names_of_actors() & {"TrainController", "SplitCoordinator", "DatasetManager", "Board", "RayTrainWorker"} == set())
    epoch = result["steps_an_epoch"]
    assert killed
    assert begun[0] == 0
    assert begun[-1] % epoch == 0
    assert begun[-1] >= epoch, "it began anew from an epoch's end, not from the start"
    assert result["steps"] == EPOCHS * epoch == EPOCHS * -(-result["train"] // 8)
    table = join_predictions(run.out, 1)
    assert table["sample_id"].to_pylist() == run.folds.names(0, "test")
    network = create_model("acm")
    assert isinstance(network, SegmentationModel)
    network.configure(result["settings"])
    figures = task_of(network, run.training.plan.recipe).figures(network, table.to_pylist())
    assert {name: None if math.isnan(value) else value for name, value in figures.items()} == pytest.approx(result["figures"])
    assert cross_validate(run) == [result], "what is done stays done"
    with pytest.raises(SettingsError, match="the same epochs"):
        cross_validate(replace(run, training=replace(run.training, plan=run.training.plan.with_epochs(5))))
    assert json.loads((tmp_path / "run" / "fold-0.json").read_text())["figures"]["iou"] == result["figures"]["iou"]
