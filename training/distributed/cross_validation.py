"""All folds of a training, side by side as resources allow; a fold that is done stays done, one that was stopped goes on."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import IrstreamError, SettingsError
from models.interface import Task
from models.weights import digest_of
from models.zoo import create_model, task_named
from training.data.findings import FORMAT as FINDINGS
from training.data.folds import PARTS, Folds, learnable_rows
from training.data.parquet_set import parts_of, require_parquet_set
from training.distributed.board import start_board
from training.distributed.fold_trainer import RESULT, WEIGHTS, FoldRequest, train_fold
from training.distributed.storage import Storage
from training.distributed.team_training import TeamTraining
from training.tasks.known import task_of

PREDICTIONS_FILE, RUN_FILE = "out_of_fold.parquet", "run.json"
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """A training in folds.

    Attributes:
        training: of each fold; the data sets of its plan are those in `folders`.
        folders: data sets in Parquet.
        folds: of these.
        out: folder or URL.
        side_by_side: folds at a time.
    """

    training: TeamTraining
    folders: tuple[Path, ...]
    folds: Folds
    out: str
    side_by_side: int = 1

    def identity(self) -> dict[str, Any]:
        """Settings that make it this training and no other."""
        model, plan, start = self.training.model, self.training.plan, self.training.start
        length = {"epochs": plan.epochs, "start": None if start is None else digest_of(start)}
        return length | {
            "model": model,
            "folds": self.folds.digest,
            "plan": json.loads(json.dumps(dict(plan.identity(model, 0)))),
        }


def cross_validate(
    run: CrossValidation, show: Callable[[Mapping[int, Mapping[str, Any]]], None] = lambda folds: None
) -> list[dict[str, Any]]:
    """Train all folds; the same call goes on where it was stopped.

    Ray has to be there (`deploy.cluster.session`).

    Args:
        run: the training.
        show: gets progress by fold, twice a second: `state` (waiting, training, measuring, done, failed), `steps`, `of`,
            `steps_an_epoch`, `loss`, `best`.

    Returns:
        By fold: `fold`, `figures` (on the images it did not learn from), `train`, `validation` and `test` (numbers of images), `steps`,
        `best_step`, `took_s`, `settings`, `curve` (after each epoch `step`, `loss`, `validation`).

    Raises:
        SettingsError: another training is in the folder.
        StopPipeline: a fold failed; the others have ended.
    """
    import ray

    storage = Storage(run.out)
    begin(run)
    done = {fold: result for fold in range(run.folds.num) if (result := _done(storage, fold)) is not None}
    told: dict[int, dict[str, Any]] = {fold: {"state": "waiting", "steps": 0, "of": 0} for fold in range(run.folds.num)}
    waiting = [fold for fold in range(run.folds.num) if fold not in done]
    if waiting:
        board, rows = start_board(), learnable_rows(run.folders)
        # A fold's own process does nothing but wait; when its machine dies it begins again elsewhere, from the checkpoint.
        # It ends with the fold: its signal handler, Ray's, would keep the fold's controller and readers for ever.
        remote = ray.remote(num_cpus=0, max_retries=2, max_calls=1)(train_fold)
        running: dict[Any, int] = {}
        failed: list[IrstreamError] = []
        while waiting or running:
            while waiting and len(running) < run.side_by_side:
                fold = waiting.pop(0)
                running[remote.remote(_request(run, storage, fold, rows, board))] = fold
            ready, _ = ray.wait(list(running), timeout=_POLL_S)
            told |= ray.get(board.folds.remote())
            for reference in ready:
                fold = running.pop(reference)
                try:
                    done[fold] = _collect(storage, run, fold, ray.get(reference))
                except ray.exceptions.RayTaskError as error:
                    failed.append(_ours(error))
                    told[fold] = {**told[fold], "state": "failed"}
            show({**told, **{fold: {**told[fold], **_shown(done[fold])} for fold in done}})
        ray.kill(board)
        if failed:
            raise failed[0]
    show({fold: {**told[fold], **_shown(done[fold])} for fold in done})
    return [done[fold] for fold in sorted(done)]


def _shown(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": "done",
        "steps": result["steps"],
        "of": result["steps"],
        "steps_an_epoch": result["steps_an_epoch"],
        "loss": result["last_loss"],
        "best": result["best_score"],
        "figures": result["figures"],
    }


def _ours(error: Any) -> IrstreamError:
    """The error that a fold raised on purpose; any other goes on up.

    Raises:
        RayTaskError: it is none of ours.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, IrstreamError):
        return cause
    raise error


def begin(run: CrossValidation) -> None:
    """Make the folder of a training its own.

    Raises:
        SettingsError: another training is in it, or a data set teaches networks of another task only.
    """
    _refuse_findings(run)
    storage = Storage(run.out)
    before = storage.read(RUN_FILE)
    now = run.identity()
    if before is not None:
        there = json.loads(before)["identity"]
        # Settings that are newer than what is there say nothing, as in checkpoints.
        known = {**now, "plan": {name: value for name, value in now["plan"].items() if name in there.get("plan", {})}}
        before_plan = {name: value for name, value in there.get("plan", {}).items() if name in now["plan"]}
        differing = [name for name, value in known.items() if (before_plan if name == "plan" else there.get(name)) != value]
        if differing:
            raise SettingsError(
                expected=f"the same {', '.join(differing)} as the training that is there",
                got="others",
                where=storage.place,
                action="Name another `folder` for this training, or give the same command to go on with that one.",
            )
        return
    storage.write(RUN_FILE, json.dumps({"identity": now, "folders": [str(folder) for folder in run.folders]}, indent=1).encode())


def _refuse_findings(run: CrossValidation) -> None:
    task = task_named(run.training.model)
    findings = [folder for folder in run.folders if require_parquet_set(folder).get("format") == FINDINGS]
    if findings and task is not Task.CLASSIFICATION:
        raise SettingsError(
            expected=f"data sets that teach a network of {task}",
            got=f"{findings[0]}, made by irstream dataset findings for classifiers: it holds what was found, and false alarms",
            where="`data sets`",
            action="Name the data set that it was made of.",
        )


def _done(storage: Storage, fold: int) -> dict[str, Any] | None:
    content = storage.read(f"fold-{fold}.json")
    return None if content is None else dict(json.loads(content))


def _request(run: CrossValidation, storage: Storage, fold: int, rows: Sequence[Mapping[str, Any]], board: Any) -> FoldRequest:
    names: dict[str, tuple[str, ...]] = {part: tuple(run.folds.names(fold, part)) for part in PARTS}
    learnt = set(names["train"])
    task = task_of(create_model(run.training.model), run.training.plan.recipe)
    start = run.training.start
    return FoldRequest(
        training=replace(run.training, start=None if start is None else start.resolve()),
        fold=fold,
        parts=tuple(str(part.resolve()) for folder in run.folders for part in parts_of(folder)),
        names=names,
        crops=sum(task.crops_in(row["labels"]) for row in rows if row["sample_id"] in learnt),
        pixel_bytes=sum(task.bytes_of(row["width_px"], row["height_px"], row["bit_depth"]) for row in rows if row["sample_id"] in learnt),
        storage=storage.place,
        board=board,
    )


def _collect(storage: Storage, run: CrossValidation, fold: int, folder: str) -> dict[str, Any]:
    """Weights, predictions and figures of a fold that has ended, from its last checkpoint; `fold-N.json` comes last."""
    result = json.loads(storage.read(f"{folder}/{RESULT}") or b"{}")
    parts = [name for name in storage.names(folder) if name.endswith(".parquet")]
    table = pa.concat_tables([pq.read_table(io.BytesIO(storage.read(name) or b"")) for name in parts]).sort_by("sample_id")
    wanted = run.folds.names(fold, "test")
    if table["sample_id"].to_pylist() != wanted:
        raise AssertionError(f"expected predictions of {len(wanted)} test images of fold {fold}, got {len(table)}")
    model = create_model(run.training.model)
    model.configure(result["settings"])
    counted = task_of(model, run.training.plan.recipe).figures(model, table.to_pylist())
    # JSON has no NaN: null where nothing was there to count.
    figures = {name: value if math.isfinite(value) else None for name, value in counted.items()}
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.write(f"fold-{fold}.parquet", buffer.getvalue())
    storage.write(f"fold-{fold}.safetensors", storage.read(f"{folder}/{WEIGHTS}") or b"")
    sizes: dict[str, Any] = {part: len(run.folds.names(fold, part)) for part in PARTS}
    curve = json.loads(storage.read(f"fold-{fold}-curve.json") or b"[]")
    done: dict[str, Any] = result | {"fold": fold, "figures": figures, **sizes, "curve": curve}
    storage.write(f"fold-{fold}.json", json.dumps(done, indent=1).encode())
    return done


def join_predictions(out: str, num: int) -> pa.Table:
    """Write the predictions of all folds into one file of the folder; the table, by fold and name."""
    storage = Storage(out)
    table = pa.concat_tables([pq.read_table(io.BytesIO(storage.read(f"fold-{fold}.parquet") or b"")) for fold in range(num)])
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    storage.write(PREDICTIONS_FILE, buffer.getvalue())
    return table
