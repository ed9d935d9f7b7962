"""One fold: a TorchTrainer of Ray Train whose processes run the one `fit`, with a checkpoint each epoch."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from contracts.errors import IrstreamError, StopPipeline
from models.weights import digest_of, load_weights, save_weights
from models.zoo import create_model
from training.data.labelled_frame import sample_of_row
from training.data.samples import Role, Sample
from training.distributed.fold_task import FoldTask
from training.distributed.own_folder import own_folder
from training.distributed.predictions import PREDICTIONS, predicted_rows
from training.distributed.storage import Storage
from training.distributed.team import Team, seed_everything
from training.distributed.team_training import READ_CPUS, TeamTraining
from training.fit import Machine, fit
from training.loop.checkpoint import FILE
from training.loop.loop import LoopReport
from training.loop.settings import LoopSettings, Progress
from training.tasks.known import task_of

WEIGHTS, RESULT = "weights.safetensors", "result.json"
_PREDICTIONS = "predictions-{}.parquet"
_NEVER_S = 1e9
_ROWS = 64
# A process less beside each fold: nothing of ours asks Ray Train whether a machine will go, a checkpoint each epoch is ready for that.
_SETTINGS = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRequest:
    """One fold of a training.

    Attributes:
        training: that it is a fold of.
        fold: number.
        parts: Parquet files of the data sets.
        names: images of each part of the fold.
        crops: in one pass over the training images.
        pixel_bytes: of the decoded training images.
        storage: folder or URL of the whole training.
        max_failures: starts anew after a process died, before the fold gives up.
        board: actor that is told of progress (`training.distributed.board`), or None.
    """

    training: TeamTraining
    fold: int
    parts: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    crops: int
    pixel_bytes: int
    storage: str
    max_failures: int = 3
    board: Any = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Of the fold's folder in the storage."""
        return f"fold-{self.fold}"

    @property
    def curve_file(self) -> str:
        """In the storage: loss and validation after each epoch."""
        return f"{self.name}-curve.json"

    @property
    def error_file(self) -> str:
        """In the storage: the error that ended the fold."""
        return f"{self.name}-error.json"


def train_fold(request: FoldRequest) -> str:
    """Train one fold to its end, from its last checkpoint where there is one.

    Args:
        request: the fold.

    Returns:
        Path of the folder, in the storage, with weights, predictions and `RESULT`.

    Raises:
        StopPipeline: the loss is not finite, a setting is wrong, or processes died too often.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    training, gpus = request.training, request.training.gpus_per_worker
    trainer = TorchTrainer(
        learn,
        train_loop_config={"request": request},
        torch_config=TorchConfig(backend="nccl" if gpus >= 1 else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=training.workers, use_gpu=gpus > 0, resources_per_worker=training.resources_per_worker
        ),
        run_config=ray.train.RunConfig(
            name=request.name,
            storage_path=request.storage,
            failure_config=ray.train.FailureConfig(max_failures=request.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
        datasets={part: _dataset(request, part) for part in request.names},
        dataset_config=ray.train.DataConfig(datasets_to_split=["train"], execution_options=_in_order()),
    )
    storage = Storage(request.storage)
    storage.delete(request.error_file)
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise stopped_by(request) or StopPipeline(
            expected="a fold that ends",
            got=f"{type(error).__name__}: {_first_line(error)}",
            where=f"fold {request.fold}",
            action=f"Its processes died {request.max_failures + 1} times. The same command goes on from the last checkpoint.",
        ) from error
    if (stop := stopped_by(request)) is not None:
        raise stop
    return str(result.checkpoint.path)


def stopped_by(request: FoldRequest) -> StopPipeline | None:
    """The error on purpose that a process of a fold ended with; None: there was none."""
    said = Storage(request.storage).read(request.error_file)
    return None if said is None else StopPipeline(**json.loads(said))


def _first_line(error: Exception) -> str:
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)[:300]


def _in_order() -> Any:
    from ray.data import ExecutionOptions

    return ExecutionOptions(preserve_order=True)


def _dataset(request: FoldRequest, part: str) -> Any:
    """Rows of a part, read from Parquet as they are asked for."""
    import ray.data
    from ray.data.expressions import col

    # The newer reader lists files in a task that reserves a whole CPU, which processes that learn may not leave.
    ray.data.DataContext.get_current().use_datasource_v2 = False
    # One reader of bytes keeps up with many that decode; equal settings let Ray read and filter in one task.
    rows = ray.data.read_parquet(list(request.parts), num_cpus=READ_CPUS, concurrency=1, partitioning=None)
    return rows.filter(expr=col("sample_id").is_in(list(request.names[part])), num_cpus=READ_CPUS, concurrency=1)


def learn(config: dict[str, Any]) -> None:
    """Work of one process. An error on purpose ends the fold; anything else is a death, after which it starts anew.

    Raises:
        IrstreamError: on purpose, by any of the processes: only when one fails does Ray end the others, which wait for it.
    """
    request: FoldRequest = config["request"]
    if stopped_by(request) is not None:
        return  # Ray starts the processes anew after every error: that one would come again
    try:
        with own_folder("irstream-fold-") as folder:
            _FoldProcess(request, folder).run()
    except IrstreamError as error:
        parts = {name: str(getattr(error, name, "")) for name in ("expected", "got", "where", "action")}
        said = parts | {"where": f"fold {request.fold}, {parts['where']}"}
        Storage(request.storage).write(request.error_file, json.dumps(said).encode())
        raise


class _FoldProcess:
    def __init__(self, request: FoldRequest, folder: Path) -> None:
        import ray.train

        self._request, self._training, self._folder, self._team = request, request.training, folder, Team()
        self._device = str(ray.train.torch.get_device()) if self._training.gpus_per_worker else "cpu"
        self._reported, self._first = -1, 0
        torch.set_num_threads(self._training.threads)

    def run(self) -> None:
        training, team = self._training, self._team
        seed_everything(training.plan.recipe.seed, team.rank)
        model = create_model(training.model)
        if training.start is not None:
            load_weights(model, training.start)
        inner = task_of(model, training.plan.recipe)
        self._task = task = FoldTask(
            inner,
            partial(self._samples, "train", Role.TRAIN),
            partial(self._samples, "validation", Role.SELECT),
            crops=self._request.crops,
            team=team,
            keep=self._request.pixel_bytes <= training.window_bytes,
            window_bytes=training.window_bytes,
        )
        every, loop = task.batches_an_epoch, training.plan.loop
        # What the first process hands on counts; the others need no statistics of their own.
        batches = 0 if team.rank else loop.calibration_batches
        loop = replace(loop, checkpoint_s=_NEVER_S, checkpoint_every_steps=every, calibration_batches=batches)
        plan = replace(training.plan, loop=loop)
        self._take_checkpoint()
        begun_s = time.monotonic()
        network, report = fit(
            task,
            model,
            plan,
            self._folder / "run",
            Machine(device=self._device),
            begin=partial(self._begin, every),
            report=lambda progress, steps: self._tell("training", progress, None, every, steps),
            saved=self._keep,
            **({} if training.start is None else {"begins": digest_of(training.start)}),
        )
        self._finish(task, network, report, time.monotonic() - begun_s)

    def _begin(self, every: int, progress: Progress, loop: LoopSettings) -> None:
        self._first = progress.steps
        self._tell("training", progress, loop, every)

    def _samples(self, part: str, role: Role) -> Iterator[Sample]:
        return (sample_of_row(row, role) for row in self._rows(part))

    def _rows(self, part: str) -> Iterator[dict[str, Any]]:
        import ray.train

        for batch in ray.train.get_dataset_shard(part).iter_batches(batch_size=_ROWS, batch_format="pyarrow", prefetch_batches=1):
            yield from batch.to_pylist()

    def _own(self, part: str) -> Iterator[dict[str, Any]]:
        """Every row whose turn is this process's: a split of Ray's would leave the last few out."""
        return islice(self._rows(part), self._team.rank, None, self._team.size)

    def _take_checkpoint(self) -> None:
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return
        (self._folder / "run").mkdir()
        with checkpoint.as_directory() as there:
            (self._folder / "run" / FILE).write_bytes((Path(there) / FILE).read_bytes())

    def _keep(self, progress: Progress) -> None:
        """Hand the checkpoint of an epoch to the storage; all processes come here at the same step."""
        import ray.train

        if progress.steps == self._reported:
            return
        self._reported = progress.steps
        figures = {"steps": progress.steps, "loss": progress.loss, "best": progress.best_score, "best_step": progress.best_step}
        if self._team.rank:
            ray.train.report(figures)
            return
        self._note(progress)
        with tempfile.TemporaryDirectory(dir=self._folder) as aside:
            os.link(self._folder / "run" / FILE, Path(aside) / FILE)
            ray.train.report(figures, ray.train.Checkpoint.from_directory(aside))

    def _note(self, progress: Progress) -> None:
        """Write a point of the learning curve."""
        storage = Storage(self._request.storage)
        score = self._task.last_quality if progress.validated_step == progress.steps else None
        points = with_point(json.loads(storage.read(self._request.curve_file) or b"[]"), progress.steps, progress.loss, score)
        storage.write(self._request.curve_file, json.dumps(points).encode())

    def _finish(self, task: FoldTask, network: torch.nn.Module, report: LoopReport, took_s: float) -> None:
        """Choose thresholds, answer on this process's share of the test images, hand all of it on."""
        import ray.train

        request, model = self._request, create_model(self._training.model)
        weights = self._team.from_first({name: tensor.cpu() for name, tensor in network.state_dict().items()})
        model.load_state_dict(weights)
        model = model.to(self._device).eval()
        self._tell("measuring", Progress(steps=report.steps, loss=report.last_loss), None, task.batches_an_epoch, report.steps)
        model.configure(task.choose(model, device=self._device))
        with tempfile.TemporaryDirectory(dir=self._folder) as aside:
            out = Path(aside)
            with pq.ParquetWriter(out / _PREDICTIONS.format(self._team.rank), PREDICTIONS) as writer:
                for rows in _chunks(predicted_rows(request.fold, self._own("test"), task.answers(model, device=self._device))):
                    writer.write_table(pa.Table.from_pylist(rows, PREDICTIONS))
            if self._team.rank == 0:
                os.link(self._folder / "run" / FILE, out / FILE)
                save_weights(model.to("cpu"), out / WEIGHTS)
                settings: Any = model.settings
                result = asdict(report) | {"took_s": took_s, "settings": settings.model_dump(), "steps_an_epoch": task.batches_an_epoch}
                (out / RESULT).write_text(json.dumps(result))
            ray.train.report({"steps": report.steps}, ray.train.Checkpoint.from_directory(out))

    def _tell(self, state: str, progress: Progress, loop: LoopSettings | None, every: int, steps: int | None = None) -> None:
        if self._request.board is None or self._team.rank:
            return
        whole = steps or (loop.max_steps if loop else None) or 0
        score = progress.best_score if math.isfinite(progress.best_score) else None
        loss = progress.loss if math.isfinite(progress.loss) else None
        told: dict[str, Any] = {"state": state, "steps": progress.steps, "of": whole, "steps_an_epoch": every, "loss": loss, "best": score}
        told |= {"first_step": self._first, "pid": os.getpid()}
        self._request.board.tell.remote(self._request.fold, told)


def with_point(points: Sequence[Mapping[str, Any]], step: int, loss: float, validation: float | None) -> list[dict[str, Any]]:
    """A learning curve with one more point; those of a start that went further and died are left out.

    Args:
        points: so far.
        step: of the new point.
        loss: running mean.
        validation: score; None where this process has not asked: what an earlier one heard at this very step stays.
    """
    heard = next((each["validation"] for each in points if each["step"] == step), None)
    before = [dict(each) for each in points if each["step"] < step]
    return [*before, {"step": step, "loss": loss, "validation": heard if validation is None else validation}]


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
