"""The training loop: schedule, averaging, resuming, and what it refuses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from contracts.errors import SettingsError, StopPipeline
from training.loop.checkpoint import steps_done
from training.loop.loop import LoopReport, train
from training.loop.optimisers import OPTIMISERS
from training.loop.schedules import SCHEDULES, one_cycle, schedule_named
from training.loop.settings import LoopSettings, Progress


def regression(seed: int = 0) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
    generator = torch.Generator().manual_seed(seed)

    def loss_of(network: nn.Module) -> Tensor:
        x = torch.randn(32, 3, generator=generator)
        return torch.mean((network(x)[:, 0] - x.sum(1)) ** 2)

    return model, loss_of


def ticking() -> Callable[[], float]:
    return itertools.count(0.0, 1.0).__next__


def test_one_cycle_rises_falls_and_ends_low() -> None:
    rates = [one_cycle(progress / 100) for progress in range(101)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert peak == 8
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0.005)


def test_training_learns_and_returns_the_averaged_model() -> None:
    model, loss_of = regression()
    average, report = train(model, loss_of, LoopSettings(budget_s=1e9, max_lr=1e-2, max_steps=300, average_decay=0.9))
    assert report.steps == 300
    assert report.last_loss < 0.1
    assert not average.training
    assert loss_of(average).item() < 0.1
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_the_budget_ends_the_training() -> None:
    model, loss_of = regression()
    _, report = train(model, loss_of, LoopSettings(budget_s=20, checkpoint_s=1e9), clock=ticking())
    assert report.steps == 19
    assert report.elapsed_s == 20


def test_an_interrupted_run_continues_where_it_was(tmp_path: Path) -> None:
    model, loss_of = regression()
    settings = LoopSettings(budget_s=1e9, max_steps=40)
    train(model, loss_of, LoopSettings(budget_s=1e9, max_steps=15), tmp_path)
    other, other_loss_of = regression(seed=7)
    average, report = train(other, other_loss_of, settings, tmp_path)
    assert report.steps == 40
    assert [line for line in (tmp_path / "log.jsonl").read_text().splitlines() if '"steps": 15' in line]
    again, _ = train(regression(seed=8)[0], loss_of, settings, tmp_path)
    for one, same in zip(average.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, same)


@pytest.mark.parametrize(("longest", "moved"), [(0.5, 0.5), (5.0, 4.0), (math.inf, 4.0)])
def test_gradients_longer_than_asked_for_are_shortened(longest: float, moved: float) -> None:
    """One step of plain gradient descent from 2 on x squared, whose gradient is 4."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    settings = LoopSettings(
        max_steps=1,
        max_lr=1.0,
        schedule="constant",
        optimiser="sgd",
        weight_decay=0.0,
        average_decay=0.0,
        max_gradient_norm=longest,
    )
    average, _ = train(model, lambda network: network(torch.ones(1, 1)).square().sum(), settings)
    assert float(next(average.parameters())) == pytest.approx(2 - moved)


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    model, loss_of = regression()
    train(model, loss_of, LoopSettings(budget_s=1e9, max_steps=5), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(
        StopPipeline, match=r"step 5: expected a finite loss, got nan. Train with a lower `peak learning rate`.*; the checkpoint in"
    ):
        train(model, lambda network: loss_of(network) * torch.nan, LoopSettings(budget_s=1e9, max_steps=9), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    with pytest.raises(StopPipeline, match=r"step 0: .* lower `peak learning rate`\.$"):
        train(model, lambda network: loss_of(network) * torch.nan, LoopSettings(budget_s=1e9, max_steps=9), tmp_path / "new")


@pytest.mark.parametrize("clipped", [True, False])
def test_a_gradient_that_is_not_finite_stops_before_the_step(clipped: bool, tmp_path: Path) -> None:
    model, loss_of = regression()
    calls = itertools.count()

    def poisoned(network: nn.Module) -> Tensor:
        loss = loss_of(network)
        if next(calls) == 5:
            loss.register_hook(lambda gradient: gradient * torch.nan)  # type: ignore[no-untyped-call]
        return loss

    settings = LoopSettings(max_steps=6, checkpoint_s=0, max_gradient_norm=5.0 if clipped else math.inf)
    with pytest.raises(StopPipeline, match=r"step 5: expected a finite gradient, got nan.*is from before"):
        train(model, poisoned, settings, tmp_path)
    assert steps_done(tmp_path) == 5
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_validation_without_an_answer_stops_the_training() -> None:
    model, loss_of = regression()
    with pytest.raises(StopPipeline, match="`validation`, step 10: expected a score, got nan"):
        train(model, loss_of, LoopSettings(max_steps=100, validate_every_steps=10, patience=2), validator=lambda average: math.nan)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_stays_between_nothing_and_all(name: str) -> None:
    rates = [schedule_named(name)(progress / 200) for progress in range(201)]
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == pytest.approx(1, abs=0.01)
    warm = rates.index(max(rates))
    assert (warm > 0) == (name in ("one_cycle", "warm_up_stable_decay", "twelve_epochs"))
    assert rates[: warm + 1] == sorted(rates[: warm + 1])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)


def test_schedules_by_hand() -> None:
    assert SCHEDULES["cosine"](0.5) == pytest.approx(0.5025)
    assert SCHEDULES["poly"](0.5) == pytest.approx(0.5**0.9)
    assert SCHEDULES["poly"](1.0) == pytest.approx(0.005)
    stable = SCHEDULES["warm_up_stable_decay"]
    assert [stable(at) for at in (0.0025, 0.005, 0.4, 0.7, 0.85, 1.0)] == pytest.approx([0.5, 1, 1, 1, 0.505, 0.01])
    twelve = SCHEDULES["twelve_epochs"]
    assert [twelve(at) for at in (0.0, 0.01, 0.02, 7.9 / 12, 8 / 12, 10.9 / 12, 11 / 12)] == pytest.approx(
        [1e-3, 0.5, 1, 1, 0.1, 0.1, 0.01]
    )
    # Of 100 epochs: half after every 15; both readings of that paper meet there.
    assert [SCHEDULES["halved"](epoch / 100) for epoch in (0, 14, 15, 29, 30, 45, 60, 90, 99)] == [
        1,
        1,
        2**-1,
        2**-1,
        2**-2,
        2**-3,
        2**-4,
        2**-6,
        2**-6,
    ]
    assert [SCHEDULES["exponential"](epoch / 100) for epoch in (0, 7.5, 15, 90)] == pytest.approx([1, 0.5**0.5, 2**-1, 2**-6])
    assert [SCHEDULES["multi_step"](at) for at in (0.49, 0.5, 0.74, 0.75)] == [1.0, 0.1, 0.1, 0.01]


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_optimiser_learns(name: str) -> None:
    model, loss_of = regression()
    rate = 0.5 if name == "adagrad" else 1e-2
    _, report = train(model, loss_of, LoopSettings(max_lr=rate, max_steps=200, optimiser=name, schedule="cosine"))
    assert report.last_loss < 0.3


@pytest.mark.parametrize(("what", "name"), [("schedule", "linear"), ("optimiser", "lion")])
def test_unknown_names_are_told_the_known_ones(what: str, name: str) -> None:
    model, loss_of = regression()
    with pytest.raises(SettingsError, match=f"one of .* got '{name}'"):
        train(model, loss_of, LoopSettings(max_steps=1, **{what: name}))  # type: ignore[arg-type]


def test_a_training_without_an_end_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither budget_s nor max_steps"):
        LoopSettings()


def test_half_precision_learns_and_keeps_weights_in_full() -> None:
    model, loss_of = regression()
    average, report = train(model, loss_of, LoopSettings(max_lr=1e-2, max_steps=300, precision="bfloat16"))
    assert report.last_loss < 0.3
    assert all(parameter.dtype == torch.float32 for parameter in average.parameters())


def first_weight(model: nn.Module) -> float:
    return float(next(model.parameters()).flatten()[0])


def test_the_best_model_is_returned_and_patience_ends_the_training(tmp_path: Path) -> None:
    model, loss_of = regression()
    seen: list[float] = []
    scores = iter([0.5, 0.9, 0.7, 0.8, 0.6, 1.0])

    def validate(average: nn.Module) -> float:
        seen.append(first_weight(average))
        return next(scores)

    settings = LoopSettings(max_steps=100, validate_every_steps=5, patience=3)
    average, report = train(model, loss_of, settings, tmp_path, validator=validate)
    assert (report.steps, report.best_score, report.best_step) == (25, 0.9, 10)
    assert first_weight(average) == seen[1]
    # Started again, it is still over, and still has its best.
    again, same = train(regression(seed=3)[0], loss_of, settings, tmp_path, validator=validate)
    assert (same.steps, same.best_step, first_weight(again)) == (25, 10, seen[1])


def test_the_last_steps_are_validated_once_too(tmp_path: Path) -> None:
    model, loss_of = regression()
    asked: list[float] = []

    def validate(average: nn.Module) -> float:
        asked.append(first_weight(average))
        return float(len(asked))

    settings = LoopSettings(max_steps=12, validate_every_steps=5)
    average, report = train(model, loss_of, settings, tmp_path, validator=validate)
    assert (report.best_step, len(asked), first_weight(average)) == (12, 3, asked[-1])
    train(model, loss_of, settings, tmp_path, validator=validate)
    assert len(asked) == 3, "nothing new to validate"


def test_what_an_earlier_validation_liked_is_not_what_a_run_without_one_ends_with(tmp_path: Path) -> None:
    model, loss_of = regression()
    scores = iter([0.9, 0.1, 0.1])
    train(model, loss_of, LoopSettings(max_steps=12, validate_every_steps=5), tmp_path, validator=lambda average: next(scores))
    average, report = train(model, loss_of, LoopSettings(max_steps=20), tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (report.best_score, report.best_step, state["best"], state["best_step"]) == (None, 0, None, 0)
    assert torch.equal(next(average.parameters()), next(iter(state["average"].values())))


def test_an_interrupted_training_is_saved_before_it_ends(tmp_path: Path) -> None:
    model, loss_of = regression()
    calls = itertools.count()

    def interrupted(network: nn.Module) -> Tensor:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return loss_of(network)

    with pytest.raises(KeyboardInterrupt):
        train(model, interrupted, LoopSettings(max_steps=30), tmp_path)
    assert steps_done(tmp_path) == 7


def numbered() -> tuple[nn.Module, Callable[[nn.Module, int], Tensor]]:
    """A network with a norm, and a loss whose batches depend on their number."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))

    def loss_of(network: nn.Module, number: int) -> Tensor:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(number))
        return torch.mean((network(x)[:, 0] - x.sum(1)) ** 2)

    return model, loss_of


@pytest.mark.parametrize("when", ["before the score", "after it"])
def test_a_validation_that_was_interrupted_is_made_up_for(when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LoopSettings(max_steps=20, validate_every_steps=4, patience=2)
    worse_and_worse = {4: 0.5, 8: 0.9, 12: 0.7, 16: 0.8, 20: 1.0}
    asked: list[int] = []

    def run(folder: Path, interrupt_at: int = 0) -> tuple[nn.Module, LoopReport]:
        model, loss_of = numbered()
        counted = itertools.count(steps_done(folder))
        step = steps_done(folder)

        def loss(network: nn.Module) -> Tensor:
            nonlocal step
            step = next(counted) + 1
            return loss_of(network, step)

        def validate(average: nn.Module) -> float:
            asked.append(step)
            if step == interrupt_at:
                if when == "before the score":
                    raise KeyboardInterrupt
                monkeypatch.setattr(math, "isnan", interrupted)
            return worse_and_worse[step]

        return train(model, loss, settings, folder, validator=validate)

    def interrupted(value: float) -> bool:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", interrupt_at=8)
    assert steps_done(tmp_path / "stopped") == 8
    again, report = run(tmp_path / "stopped")
    assert asked == [4, 8, 8, 12, 16]
    whole, expected = run(tmp_path / "whole")
    assert (report.steps, report.best_score, report.best_step) == (expected.steps, expected.best_score, expected.best_step) == (16, 0.9, 8)
    for one, same in zip(again.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, same)


def test_steps_are_kept_where_what_is_done_to_their_weights_fails(tmp_path: Path) -> None:
    model, loss_of = regression()

    def fails(network: nn.Module) -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        train(model, loss_of, LoopSettings(max_steps=6), tmp_path, calibrate=fails)
    assert steps_done(tmp_path) == 6


def test_checkpoints_are_written_by_the_wall_clock(tmp_path: Path) -> None:
    model, loss_of = regression()
    seen: list[int] = []

    def watched(network: nn.Module) -> Tensor:
        seen.append(steps_done(tmp_path))
        return loss_of(network)

    # A clock of the budget that stands still, as that of a process that waits.
    train(model, watched, LoopSettings(budget_s=10, max_steps=4, checkpoint_s=0), tmp_path, clock=lambda: 0.0)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"max_lr": float("nan")}, "`peak learning rate`: expected a number, not negative, got nan"),
        ({"max_lr": -1.0}, "`peak learning rate`: expected a number, not negative, got -1"),
        ({"max_lr": float("inf")}, "`peak learning rate`: expected a number, not negative, got inf"),
        ({"average_decay": float("nan")}, "`decay of the averaged weights`: expected a number, at least 0 and below 1, got nan"),
        ({"checkpoint_s": float("nan")}, "`seconds between checkpoints`: expected a number, not negative, got nan"),
    ],
)
def test_numbers_that_are_none_are_refused(setting: dict[str, float], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        LoopSettings(max_steps=1, **setting)  # type: ignore[arg-type]


def test_the_time_of_validation_is_not_that_of_training() -> None:
    model, loss_of = regression()
    clock = ticking()

    def validate(average: nn.Module) -> float:
        for _ in range(50):
            clock()
        return 0.0

    _, report = train(model, loss_of, LoopSettings(budget_s=20, validate_every_steps=5), clock=clock, validator=validate)
    assert report.steps >= 15


def test_progress_is_reported_and_kept(tmp_path: Path) -> None:
    model, loss_of = regression()
    told: list[Progress] = []
    train(model, loss_of, LoopSettings(max_steps=12), tmp_path, report=told.append)
    assert told[-1].steps == 12
    assert steps_done(tmp_path) == 12
    assert steps_done(tmp_path / "nowhere") == 0


def test_the_average_takes_counts_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))
    average, _ = train(model, lambda network: network(torch.ones(4, 1)).square().mean(), LoopSettings(max_steps=5))
    assert average.state_dict()["1.num_batches_tracked"] == 5


@pytest.mark.parametrize(("changed", "batches"), [({}, 32), ({"frozen_norms": True}, 0), ({"average_decay": 0.0}, 0)])
def test_a_checkpoint_says_whether_its_average_wants_calibration(changed: dict[str, float], batches: int, tmp_path: Path) -> None:
    model, loss_of = regression()
    settings = LoopSettings(max_steps=1, **changed)  # type: ignore[arg-type]
    train(model, loss_of, settings, tmp_path, calibrate=lambda network: None)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["calibration_batches"] == batches


def test_a_checkpoint_each_epoch_comes_after_its_validation_and_costs_none_after_a_new_start(tmp_path: Path) -> None:
    model, loss_of = regression()
    events: list[tuple[str, int]] = []
    settings = LoopSettings(max_steps=12, checkpoint_s=1e9, checkpoint_every_steps=4, validate_every_steps=4)

    def validate(average: nn.Module) -> float:
        events.append(("validated", 0))
        return 0.0

    def saved(progress: Progress) -> None:
        events.append(("saved", progress.steps))
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["steps"] == progress.steps
        if progress.steps == 8:
            raise RuntimeError("dies")

    with pytest.raises(RuntimeError, match="dies"):
        train(model, loss_of, settings, tmp_path, validator=validate, saved=saved)
    assert events == [("validated", 0), ("saved", 4), ("validated", 0), ("saved", 8)]
    events.clear()
    model, loss_of = regression()
    train(model, loss_of, settings, tmp_path, validator=validate, saved=lambda progress: events.append(("saved", progress.steps)))
    assert events == [("validated", 0), ("saved", 12), ("saved", 12)]
