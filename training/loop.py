"""One training loop for all tasks: time-budgeted one-cycle AdamW, averaged weights, checkpoints that resume.

The budget is seconds of a clock, not epochs: a schedule that ends when the time ends wastes neither.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

_WARM_UP = 0.08
_END_FACTOR = 0.005
_MAX_GRADIENT_NORM = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How long and how fast.

    Attributes:
        budget_s: seconds of training, evaluation and start not counted.
        max_lr: peak of the one-cycle schedule.
        weight_decay: of AdamW, on convolution kernels only.
        average_decay: of the exponential moving average of weights; what ships is the average.
        checkpoint_s: seconds between checkpoints.
        max_steps: stop after so many steps (tests); the schedule then runs over steps.
    """

    budget_s: float
    max_lr: float = 3e-3
    weight_decay: float = 0.02
    average_decay: float = 0.995
    checkpoint_s: float = 120.0
    max_steps: int | None = None


@dataclass(frozen=True, slots=True)
class LoopReport:
    """What a run did: optimiser steps, seconds, and the mean loss over the last part."""

    steps: int
    elapsed_s: float
    last_loss: float


def learning_rate(progress: float, max_lr: float) -> float:
    """One cycle: linear up for the first 8 %, then a cosine down to half a percent; `progress` in [0, 1]."""
    if progress < _WARM_UP:
        return max_lr * (0.04 + 0.96 * progress / _WARM_UP)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - _WARM_UP) / (1 - _WARM_UP))))
    return max_lr * (_END_FACTOR + (1 - _END_FACTOR) * cosine)


def train(
    model: nn.Module,
    loss_of: Callable[[nn.Module], Tensor],
    settings: LoopSettings,
    folder: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[nn.Module, LoopReport]:
    """Train until the budget is used up; continue from `folder/checkpoint.pt` if there is one.

    Args:
        model: trained in place.
        loss_of: draws a batch and returns its loss, a scalar with gradient.
        settings: how long and how fast.
        folder: for the checkpoint and `log.jsonl`; None keeps nothing.
        clock: seconds.

    Returns:
        The averaged model in evaluation mode, and what was done.

    Raises:
        FloatingPointError: the loss is not finite; raised before the step, so the checkpoint stays good.
    """
    optimiser = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.max_lr)
    average = deepcopy(model).requires_grad_(False)
    steps, spent_s = _resume(folder, model, average, optimiser)
    start, saved_s, recent = clock() - spent_s, spent_s, float("nan")
    model.train()
    while (spent_s := clock() - start) < settings.budget_s and (settings.max_steps is None or steps < settings.max_steps):
        progress = spent_s / settings.budget_s if settings.max_steps is None else steps / settings.max_steps
        rate = learning_rate(progress, settings.max_lr)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(model)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"loss is {value} at step {steps}; the last checkpoint is intact")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
        optimiser.step()
        steps += 1
        _update_average(average, model, min(settings.average_decay, (1 + steps) / (10 + steps)))
        recent = value if math.isnan(recent) else 0.98 * recent + 0.02 * value
        if folder is not None and spent_s - saved_s > settings.checkpoint_s:
            saved_s = spent_s
            _save(folder, model, average, optimiser, steps, spent_s, rate, recent)
    if folder is not None:
        _save(folder, model, average, optimiser, steps, spent_s, 0.0, recent)
    return average.eval(), LoopReport(steps, spent_s, recent)


def steps_done(folder: Path) -> int:
    """Steps of the checkpoint in a folder, 0 where there is none."""
    checkpoint = folder / "checkpoint.pt"
    return int(torch.load(checkpoint, weights_only=True)["steps"]) if checkpoint.is_file() else 0


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mean, current in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(current, 1 - decay)
        else:
            mean.copy_(current)


def _save(
    folder: Path,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    steps: int,
    spent_s: float,
    rate: float,
    loss: float,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "steps": steps,
        "spent_s": spent_s,
    }
    partial = folder / "checkpoint.partial"
    torch.save(state, partial)
    partial.replace(folder / "checkpoint.pt")
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"steps": steps, "spent_s": round(spent_s, 1), "lr": rate, "loss": round(loss, 5)}) + "\n")


def _resume(folder: Path | None, model: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if folder is None or not (folder / "checkpoint.pt").is_file():
        return 0, 0.0
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["steps"]), float(state["spent_s"])
