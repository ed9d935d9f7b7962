"""The training loop: schedule, averaging, resuming, and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.loop import LoopSettings, learning_rate, train


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
    rates = [learning_rate(progress / 100, 1.0) for progress in range(101)]
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


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    model, loss_of = regression()
    train(model, loss_of, LoopSettings(budget_s=1e9, max_steps=5), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(FloatingPointError, match="step 5"):
        train(model, lambda network: loss_of(network) * torch.nan, LoopSettings(budget_s=1e9, max_steps=9), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
