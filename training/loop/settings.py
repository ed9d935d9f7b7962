"""Length, pace and progress of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.errors import SettingsError

Learns = Literal["all", "head"]
Precision = Literal["float32", "bfloat16"]


@dataclass(slots=True)
class Progress:
    """Progress of a training.

    Attributes:
        steps: optimiser steps.
        spent_s: seconds of training.
        loss: running mean; NaN before the first step.
        best_score: of the validations, on held-out images; -inf before the first.
        best_step: when that was.
        worse: validations since.
        validated_step: when the last validation was; 0 never.
    """

    steps: int = 0
    spent_s: float = 0.0
    loss: float = float("nan")
    best_score: float = float("-inf")
    best_step: int = 0
    worse: int = 0
    validated_step: int = 0


def require_number(name: str, value: float, wanted: str, in_range: bool) -> None:
    """Refuse infinities, what is no number, and what is out of range.

    Raises:
        SettingsError: it is one of these.
    """
    if not (in_range and math.isfinite(value)):
        raise SettingsError(expected=f"a number, {wanted}", got=f"{value:g}", where=f"`{name}`", action="Correct it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """Length and pace of a training.

    Attributes:
        budget_s: seconds of training, evaluation and start not counted; infinite where steps are counted.
        max_steps: stop after so many steps; the schedule then runs over steps.
        max_lr: factor of the schedule.
        schedule: name of one of `training.loop.schedules.SCHEDULES`.
        optimiser: name of one of `training.loop.optimisers.OPTIMISERS`.
        weight_decay: on convolution kernels only.
        max_gradient_norm: longer gradients are shortened to it; infinite leaves them.
        precision: number format of the forward pass; losses and weights stay float32.
        average_decay: of the exponential moving average of weights; what ships is the average. 0: no averaging.
        learns: `all`, or the `head` alone (`models.heads`).
        frozen_norms: batch norms keep the statistics of the weights that the training begins with.
        checkpoint_s: seconds of the wall clock between checkpoints.
        checkpoint_every_steps: one after so many steps, after their validation; 0: by time alone.
        validate_every_steps: held-out images are asked after so many steps; 0 never.
        patience: the training ends when so many validations in a row brought nothing better; 0 never.
        calibration_batches: statistics of batch norms of averaged weights are taken from so many training batches, before each
            validation and at the end; 0 keeps their moving averages. Not where norms are frozen, or weights not averaged.
    """

    budget_s: float = math.inf
    max_steps: int | None = None
    max_lr: float = 3e-3
    schedule: str = "one_cycle"
    optimiser: str = "adamw"
    weight_decay: float = 0.02
    max_gradient_norm: float = 5.0
    precision: Precision = "float32"
    average_decay: float = 0.995
    learns: Learns = "all"
    frozen_norms: bool = False
    checkpoint_s: float = 120.0
    checkpoint_every_steps: int = 0
    validate_every_steps: int = 0
    patience: int = 0
    calibration_batches: int = 32

    def __post_init__(self) -> None:
        """Refuse a training without an end, and numbers that are none.

        Raises:
            SettingsError: neither time nor steps are limited, or a number is out of its range.
        """
        require_number("peak learning rate", self.max_lr, "not negative", self.max_lr >= 0)
        require_number("decay of the averaged weights", self.average_decay, "at least 0 and below 1", 0 <= self.average_decay < 1)
        require_number("seconds between checkpoints", self.checkpoint_s, "not negative", self.checkpoint_s >= 0)
        if math.isinf(self.budget_s) and self.max_steps is None:
            raise SettingsError(expected="an end", got="neither budget_s nor max_steps", where="training", action="Set one of them.")

    def progress(self, done: Progress) -> float:
        """Share of the whole that is done, in [0, 1]."""
        if self.max_steps is None:
            return done.spent_s / self.budget_s
        return done.steps / self.max_steps if self.max_steps else 1.0

    def require_ahead(self, done: Progress, folder: Path | None) -> None:
        """Refuse to go on with a training that is already longer than this.

        Raises:
            SettingsError: more steps are done than are asked for.
        """
        if self.max_steps is not None and done.steps > self.max_steps:
            raise SettingsError(
                expected=f"at least the {done.steps} steps that are done",
                got=f"{self.max_steps} steps",
                where=str(folder),
                action="Ask for as many `epochs` as before or more, or name another `folder`.",
            )

    @property
    def calibrates(self) -> bool:
        """True when batch norms of the resulting weights need statistics of their own."""
        return self.calibration_batches > 0 and self.average_decay > 0 and not self.frozen_norms

    def is_over(self, done: Progress) -> bool:
        """True when time, steps or patience are used up."""
        out_of_steps = self.max_steps is not None and done.steps >= self.max_steps
        return done.spent_s >= self.budget_s or out_of_steps or self.is_out_of_patience(done)

    def is_out_of_patience(self, done: Progress) -> bool:
        """True when validation has seen nothing better for too long."""
        return self.patience > 0 and done.worse >= self.patience
