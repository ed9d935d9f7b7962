"""One training loop for all tasks: schedules and optimisers by name, averaged weights, early stop, checkpoints that resume.

The budget is seconds of a clock or a number of steps: a schedule that ends when the time ends wastes neither.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from contracts.errors import SettingsError
from training.checkpoint import Checkpoint, Progress
from training.optimisers import make_optimiser
from training.schedules import schedule_named

_MAX_GRADIENT_NORM = 5.0
_TELL_S = 1.0
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How long and how fast.

    Attributes:
        budget_s: seconds of training, evaluation and start not counted; infinite where steps are counted.
        max_steps: stop after so many steps; the schedule then runs over steps.
        max_lr: factor of the schedule.
        schedule: name of one of `training.schedules.SCHEDULES`.
        optimiser: name of one of `training.optimisers.OPTIMISERS`.
        weight_decay: on convolution kernels only.
        precision: number format of the forward pass; losses and weights stay float32.
        average_decay: of the exponential moving average of weights; what ships is the average. 0: no averaging.
        checkpoint_s: seconds between checkpoints.
        judge_steps: the judge is asked after so many steps; 0 never.
        patience: the training ends when so many judgements in a row brought nothing better; 0 never.
    """

    budget_s: float = math.inf
    max_steps: int | None = None
    max_lr: float = 3e-3
    schedule: str = "one_cycle"
    optimiser: str = "adamw"
    weight_decay: float = 0.02
    precision: Precision = "float32"
    average_decay: float = 0.995
    checkpoint_s: float = 120.0
    judge_steps: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        """Refuse a training without an end.

        Raises:
            SettingsError: neither time nor steps are limited.
        """
        if math.isinf(self.budget_s) and self.max_steps is None:
            raise SettingsError(expected="an end", got="neither budget_s nor max_steps", where="training", action="Set one of them.")

    def progress(self, done: Progress) -> float:
        """How much of the whole is done, in [0, 1]."""
        return done.spent_s / self.budget_s if self.max_steps is None else done.steps / self.max_steps

    def is_over(self, done: Progress) -> bool:
        """Whether time, steps or patience are used up."""
        out_of_steps = self.max_steps is not None and done.steps >= self.max_steps
        out_of_patience = self.patience > 0 and done.worse >= self.patience
        return done.spent_s >= self.budget_s or out_of_steps or out_of_patience


@dataclass(frozen=True, slots=True)
class LoopReport:
    """What a run did.

    Attributes:
        steps: optimiser steps.
        elapsed_s: seconds of training.
        last_loss: mean over the last part.
        best_score: of the judge; None without one.
        best_step: when that was.
    """

    steps: int
    elapsed_s: float
    last_loss: float
    best_score: float | None = None
    best_step: int = 0


def processor_clock() -> float:
    """Processor seconds of this process a thread: a shared machine's clock says little."""
    return time.process_time() / torch.get_num_threads()


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module], Tensor],
    settings: LoopSettings,
    folder: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    judge: Callable[[nn.Module], float] | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> tuple[nn.Module, LoopReport]:
    """Train until the budget is used up; continue from `folder/checkpoint.pt` if there is one.

    Args:
        model: trained in place, on the device it is on.
        loss_of: draws a batch and returns its loss, a scalar with gradient.
        settings: how long and how fast.
        folder: for the checkpoint and `log.jsonl`; None keeps nothing.
        clock: seconds.
        judge: how good an averaged model is on images that choose; higher is better. The best one is returned.
        tell: gets the progress about once a second.

    Returns:
        The averaged model in evaluation mode, and what was done.

    Raises:
        FloatingPointError: the loss is not finite; raised before the step, so the checkpoint stays good.
        SettingsError: no such schedule or optimiser.
    """
    schedule = schedule_named(settings.schedule)
    optimiser = make_optimiser(settings.optimiser, model, settings.max_lr, settings.weight_decay)
    kept = Checkpoint(model, deepcopy(model).requires_grad_(False), optimiser)
    done = Progress() if folder is None else kept.resume(folder)
    device = next(model.parameters()).device.type
    start, saved_s, told_s = clock() - done.spent_s, done.spent_s, -math.inf
    while True:
        done.spent_s = clock() - start
        if settings.is_over(done):
            break
        rate = settings.max_lr * schedule(settings.progress(done))
        model.train()
        with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            loss = loss_of(model)
        _step(kept, loss, rate, done, settings.average_decay)
        if time.monotonic() - told_s > _TELL_S:
            told_s = time.monotonic()
            tell(done)
        if judge is not None and settings.judge_steps and done.steps % settings.judge_steps == 0:
            before = clock()
            _judge(kept, judge, done)
            start += clock() - before
        if folder is not None and done.spent_s - saved_s > settings.checkpoint_s:
            saved_s = done.spent_s
            _save(kept, folder, done, rate)
    if folder is not None:
        _save(kept, folder, done, 0.0)
    tell(done)
    if kept.best is not None:
        kept.average.load_state_dict(kept.best)
    score = None if kept.best is None else done.best_score
    return kept.average.eval(), LoopReport(done.steps, done.spent_s, done.loss, score, done.best_step)


def _step(kept: Checkpoint, loss: Tensor, rate: float, done: Progress, average_decay: float) -> None:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"loss is {value} at step {done.steps}; the last checkpoint is intact")
    for group in kept.optimiser.param_groups:
        group["lr"] = rate
    kept.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(kept.model.parameters(), _MAX_GRADIENT_NORM)
    kept.optimiser.step()
    done.steps += 1
    _update_average(kept.average, kept.model, min(average_decay, (1 + done.steps) / (10 + done.steps)))
    done.loss = value if math.isnan(done.loss) else 0.98 * done.loss + 0.02 * value


def _judge(kept: Checkpoint, judge: Callable[[nn.Module], float], done: Progress) -> None:
    score = judge(kept.average.eval())
    if score > done.best_score:
        done.best_score, done.best_step, done.worse = score, done.steps, 0
        kept.best = {name: tensor.clone() for name, tensor in kept.average.state_dict().items()}
    else:
        done.worse += 1


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mean, current in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(current, 1 - decay)
        else:
            mean.copy_(current)


def _save(kept: Checkpoint, folder: Path, done: Progress, rate: float) -> None:
    kept.save(folder, done)
    line = {"steps": done.steps, "spent_s": round(done.spent_s, 1), "lr": rate, "loss": round(done.loss, 5)}
    if kept.best is not None:
        line |= {"best_score": round(done.best_score, 5), "best_step": done.best_step}
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
