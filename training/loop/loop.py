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

import torch
from torch import Tensor, nn

from contracts.errors import StopPipeline
from models.layers.norms import freeze_norms
from training.loop.checkpoint import FILE, Checkpoint
from training.loop.cuda_graph import CudaGraphStep
from training.loop.identity import Identity
from training.loop.moving_average import MovingAverage
from training.loop.optimisers import make_optimiser
from training.loop.schedules import schedule_named
from training.loop.settings import LoopSettings, Progress
from training.loop.signals import held_signals

_REPORT_S = 1.0
Validator = Callable[[nn.Module], float]


@dataclass(frozen=True, slots=True)
class LoopReport:
    """Report of a run.

    Attributes:
        steps: optimiser steps.
        elapsed_s: seconds of training.
        last_loss: mean over the last part.
        best_score: of the validations; None without any.
        best_step: when that was.
        stopped_early: whether it ended because validation saw nothing better for too long.
    """

    steps: int
    elapsed_s: float
    last_loss: float
    best_score: float | None = None
    best_step: int = 0
    stopped_early: bool = False


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
    refill: Callable[[], None] | None = None,
    validator: Validator | None = None,
    calibrate: Callable[[nn.Module], None] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    saved: Callable[[Progress], None] = lambda progress: None,
    identity: Identity | None = None,
) -> tuple[nn.Module, LoopReport]:
    """Train until the budget is used up; continue from `folder/checkpoint.pt` if there is one.

    Ctrl-C ends the step and saves a checkpoint before it goes on up; a second one does not wait for the end of the step.

    Args:
        model: trained in place, on the device it is on.
        loss_of: draws a batch and returns its loss, a scalar with gradient.
        settings: how long and how fast.
        folder: for the checkpoint and `log.jsonl`; None keeps nothing.
        clock: seconds, of the budget; checkpoints are written by the wall clock.
        refill: puts the next batch where `loss_of` finds it, always the same place of a GPU's memory: passes are recorded there and
            replayed. None: `loss_of` draws.
        validator: how good an averaged model is on held-out images; higher is better. The best one is returned.
        calibrate: gives the batch norms of averaged weights statistics of their own, in place; asked before each validation and at the
            end where the settings say so (`LoopSettings.calibrates`).
        report: gets the progress about once a second.
        saved: gets the progress after each checkpoint in `folder`.
        identity: which training this is; a checkpoint of another one is refused.

    Returns:
        The averaged model in evaluation mode, and what was done.

    Raises:
        StopPipeline: the loss or its gradient is not finite, raised before the step, so the checkpoint stays good; or a validation
            gives no number.
        SettingsError: no such schedule or optimiser, or a checkpoint that cannot be gone on from.
    """
    optimiser = make_optimiser(settings.optimiser, model, settings.max_lr, settings.weight_decay)
    kept = Checkpoint(model, deepcopy(model).requires_grad_(False), optimiser, identity=identity or {})
    done = Progress() if folder is None else kept.resume(folder)
    settings.require_ahead(done, folder)
    run = _Run(kept, done, settings, folder, validator, calibrate, report, saved)
    try:
        run.learn(run.passes(loss_of, refill), clock)
    except KeyboardInterrupt:
        if done.steps and not run.in_update:
            run.save()
        raise
    # All steps are safe before what may still fail is done to their weights.
    run.save()
    result = run.result()
    report(done)
    score = None if kept.best is None else done.best_score
    stopped_early = settings.is_out_of_patience(done)
    return result.eval(), LoopReport(done.steps, done.spent_s, done.loss, score, done.best_step, stopped_early)


class _Run:
    """One training from its start, or from where it goes on, to its end."""

    def __init__(
        self,
        kept: Checkpoint,
        done: Progress,
        settings: LoopSettings,
        folder: Path | None,
        validator: Validator | None,
        calibrate: Callable[[nn.Module], None] | None,
        report: Callable[[Progress], None],
        saved: Callable[[Progress], None],
    ) -> None:
        self._kept, self._done, self._settings, self._folder, self._report = kept, done, settings, folder, report
        self._saved, self._saved_step = saved, done.steps
        self._validator = validator if settings.validate_every_steps else None
        self._calibrate = calibrate if settings.calibrates else None
        kept.calibration_batches = 0 if self._calibrate is None else settings.calibration_batches
        if self._validator is None:
            # What an earlier start with a validator liked is not what this one ends with.
            kept.best = None
            done.best_score, done.best_step, done.worse, done.validated_step = -math.inf, 0, 0, 0
        self._schedule = schedule_named(settings.schedule)
        self._device = next(kept.model.parameters()).device.type
        self._average = MovingAverage(kept.average, kept.model)
        self.in_update = False
        """True while weights, average and step count do not belong together."""

    def passes(self, loss_of: Callable[[nn.Module], Tensor], refill: Callable[[], None] | None) -> Callable[[], Tensor]:
        """Function that leaves the gradients of the next batch in the model and returns its loss."""
        model = self._kept.model

        def loss() -> Tensor:
            with torch.autocast(self._device, torch.bfloat16, enabled=self._settings.precision == "bfloat16"):
                return loss_of(model)

        def draw_and_pass() -> Tensor:
            value = loss()
            model.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            return value.detach()

        return draw_and_pass if refill is None else CudaGraphStep(model, loss, refill)

    def learn(self, passes: Callable[[], Tensor], clock: Callable[[], float]) -> None:
        """Steps, until time, steps or patience are used up."""
        done, settings = self._done, self._settings
        start, saved_s, reported_s = clock() - done.spent_s, time.monotonic(), -math.inf
        while True:
            done.spent_s = clock() - start
            # Here and not after the step: a training that was stopped in a validation goes on with that validation.
            if done.steps and settings.validate_every_steps and done.steps % settings.validate_every_steps == 0:
                before = clock()
                self._validate()
                start += clock() - before
            every = settings.checkpoint_every_steps
            if every and done.steps % every == 0 and done.steps != self._saved_step:
                self.save()
                saved_s = time.monotonic()
            if settings.is_over(done):
                break
            with held_signals():
                self._step(passes)
            if time.monotonic() - reported_s > _REPORT_S:
                reported_s = time.monotonic()
                self._report(done)
            if time.monotonic() - saved_s > settings.checkpoint_s:
                self.save()
                saved_s = time.monotonic()
        # The lowest rates of a schedule are its last steps: what they made may be the best.
        self._validate()

    def _step(self, passes: Callable[[], Tensor]) -> None:
        kept, done, settings = self._kept, self._done, self._settings
        rate = settings.max_lr * self._schedule(settings.progress(done))
        kept.model.train()
        if settings.frozen_norms:
            freeze_norms(kept.model)
        value = float(passes())
        if not math.isfinite(value):
            raise self._diverged("a finite loss", value)
        length = float(nn.utils.clip_grad_norm_(kept.model.parameters(), settings.max_gradient_norm))
        if not math.isfinite(length):
            raise self._diverged("a finite gradient", length)
        for group in kept.optimiser.param_groups:
            group["lr"] = rate
        self.in_update = True
        kept.optimiser.step()
        done.steps += 1
        self._average.update(min(settings.average_decay, (1 + done.steps) / (10 + done.steps)))
        done.loss = value if math.isnan(done.loss) else 0.98 * done.loss + 0.02 * value
        self.in_update = False

    def _diverged(self, expected: str, got: float) -> StopPipeline:
        action = "Train with a lower `peak learning rate`."
        if self._folder is not None and (self._folder / FILE).is_file():
            action = f"Train with a lower `peak learning rate` in another `folder`; the checkpoint in {self._folder} is from before."
        return StopPipeline(expected=expected, got=str(got), where=f"training, step {self._done.steps}", action=action)

    def _validate(self) -> None:
        """Ask the held-out images, unless there is no validator or it has seen this step."""
        kept, done = self._kept, self._done
        if self._validator is None or done.validated_step == done.steps:
            return
        candidate = self._candidate()
        score = self._validator(candidate.eval())
        if math.isnan(score):
            raise StopPipeline(
                expected="a score",
                got="nan",
                where=f"`validation`, step {done.steps}",
                action="Hold out images with targets, or train without validation.",
            )
        with held_signals():
            if score > done.best_score:
                kept.best = {name: tensor.clone() for name, tensor in candidate.state_dict().items()}
                done.best_score, done.best_step, done.worse = score, done.steps, 0
            else:
                done.worse += 1
            done.validated_step = done.steps

    def _candidate(self) -> nn.Module:
        """The averaged weights as they would be used, apart from those that go on moving."""
        candidate = deepcopy(self._kept.average)
        if self._calibrate is not None:
            self._calibrate(candidate)
        return candidate

    def result(self) -> nn.Module:
        """The best weights where held-out images were asked, else the last ones; kept in the checkpoint."""
        if self._kept.best is None:
            network = self._candidate()
        else:
            network = deepcopy(self._kept.average)
            network.load_state_dict(self._kept.best)
        self._kept.result = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if self._folder is not None:
            self._kept.save(self._folder, self._done)
        return network

    def save(self) -> None:
        """Checkpoint, and a line of the log."""
        if self._folder is None:
            return
        kept, done = self._kept, self._done
        kept.save(self._folder, done)
        rate = kept.optimiser.param_groups[0]["lr"]
        line = {"steps": done.steps, "spent_s": round(done.spent_s, 1), "lr": rate, "loss": round(done.loss, 5)}
        if kept.best is not None:
            line |= {"best_score": round(done.best_score, 5), "best_step": done.best_step}
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        self._saved_step = done.steps
        self._saved(done)
