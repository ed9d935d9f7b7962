"""One training for the networks of every task, on one machine: it goes on where it was, and ends with the best weights it has seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from contracts.errors import SettingsError
from models.devices import fastest_dtype
from models.heads import learn_head_alone
from models.weights import digest_of, load_weights
from models.zoo import AnyModel, create_model
from training.data.batches import Batch, BatchSource
from training.loop.checkpoint import alone_in, progress_of, require_writable
from training.loop.cuda_graph import HeldBatches
from training.loop.loop import LoopReport, processor_clock, train
from training.loop.norms import calibrate_norms
from training.loop.prefetch import prefetched
from training.loop.settings import LoopSettings, Progress
from training.recipes import TrainingPlan
from training.tasks.base import TrainingTask
from training.tasks.known import task_of

_RANDOM = "random weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Device and processes of a training.

    Attributes:
        device: where to compute.
        workers: processes that make crops ahead; 0 makes them in turn with learning. The crops are the same.
    """

    device: str = "cpu"
    workers: int = 0


def fit_network(
    name: str,
    plan: TrainingPlan,
    folder: Path,
    machine: Machine | None = None,
    *,
    start: Path | None = None,
    begin: Callable[[Progress, LoopSettings], None] = lambda progress, loop: None,
    report: Callable[[Progress, int], None] = lambda progress, steps: None,
) -> tuple[nn.Module, LoopReport]:
    """Train a registered network; the same call again continues after a kill.

    Args:
        name: registered name.
        plan: recipe (of the network's task), loop and epochs.
        folder: for checkpoints.
        machine: None: the CPU.
        start: weights to begin with; None begins with random ones, from the seed of the recipe.
        begin: gets how far it is already, and the whole, before images are decoded.
        report: gets the progress about once a second, and the number of steps of the whole.

    Returns:
        The best network in evaluation mode, and what was done.

    Raises:
        SettingsError: no such network, weights of another one, data that are not there, a folder that cannot be written, in which
            another process trains, or with a checkpoint that cannot be gone on from.
        StopPipeline: the loss or its gradient is not finite.
    """
    torch.manual_seed(plan.recipe.seed)
    model = create_model(name)
    if not model.learns:
        raise SettingsError(
            expected="a network that learns",
            got=f"{name}, a filter without parameters",
            where="network to train",
            action=f"Use it as it is (irstream evaluate {name} DATASET); irstream models export {name} chooses its threshold anew.",
        )
    if start is not None:
        load_weights(model, start)
    begins = _RANDOM if start is None else digest_of(start)
    return fit(task_of(model, plan.recipe), model, plan, folder, machine, begins=begins, begin=begin, report=report)


def fit(
    task: TrainingTask,
    model: AnyModel,
    plan: TrainingPlan,
    folder: Path,
    machine: Machine | None = None,
    *,
    begins: str = _RANDOM,
    begin: Callable[[Progress, LoopSettings], None] = lambda progress, loop: None,
    report: Callable[[Progress, int], None] = lambda progress, steps: None,
    saved: Callable[[Progress], None] = lambda progress: None,
) -> tuple[nn.Module, LoopReport]:
    """Train a network that is already made, see `fit_network`.

    A run that goes on from its checkpoint takes the same steps as one that was never stopped, bit for bit on a CPU where steps are
    counted: batches depend on their number, and torch's state of chance is in the checkpoint.

    Args:
        task: of the network, with the recipe of the plan.
        model: trained in place.
        plan: see there.
        folder: see there.
        machine: see there.
        begins: what the weights are that it begins with; a checkpoint of a training that began with others is refused.
        begin: see there.
        report: see there.
        saved: gets the progress after each checkpoint in the folder.
    """
    on = machine or Machine()
    task.prepare(model, from_random=begins == _RANDOM)
    if plan.loop.learns == "head":
        learn_head_alone(model)
    task.look_at_held_out()
    loop, identity = plan.loop_for(task.epoch_size), dict(plan.identity(model.name, task.epoch_size)) | {"start": begins}
    validator = task.validator() if loop.validate_every_steps else None
    require_writable(folder)
    with alone_in(folder):
        done = progress_of(folder, identity)
        loop.require_ahead(done, folder)
        begin(done, loop)
        source = task.source(loop.max_steps)
        model.to(on.device).to(memory_format=torch.channels_last)
        loss_of, refill = _step_of(task, _drawn(source, done.steps, on), on.device)
        return train(
            model,
            loss_of,
            loop,
            folder,
            processor_clock if on.device == "cpu" else time.monotonic,
            refill=refill,
            validator=validator,
            calibrate=lambda network: calibrate_norms(network, source.calibration(loop.calibration_batches)),
            report=lambda progress: report(progress, _steps_of(loop, progress)),
            saved=saved,
            identity=identity,
        )


def _drawn(source: BatchSource, start: int, machine: Machine) -> Iterator[Batch]:
    if machine.workers:
        return prefetched(source, machine.workers, start, pinned=machine.device != "cpu")
    return source.batches(start)


def _step_of(task: TrainingTask, drawn: Iterator[Batch], device: str) -> tuple[Callable[[nn.Module], Tensor], Callable[[], None] | None]:
    """Function that gives the loss of the next batch, and, where passes are recorded, one that puts that batch in its place."""
    if device != "cpu" and task.records_passes:
        held = HeldBatches(drawn, device)
        return lambda model: task.loss(model, held.batch()), held.refill
    return lambda model: task.loss(model, next(drawn).to(device, non_blocking=True)), None


def _steps_of(loop: LoopSettings, progress: Progress) -> int:
    """Steps of the whole; where time is limited, as many as there will be at this speed."""
    share = loop.progress(progress)
    return loop.max_steps or (round(progress.steps / share) if share > 0 else progress.steps)


def best_precision(device: str) -> str:
    """`bfloat16` where it is clearly faster on this device, else `float32`."""
    return "bfloat16" if fastest_dtype(device) is torch.bfloat16 else "float32"
