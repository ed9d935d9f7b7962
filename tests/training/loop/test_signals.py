"""Ctrl-C and SIGTERM in the middle of a step."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.loop.checkpoint import steps_done
from training.loop.loop import train
from training.loop.settings import LoopSettings
from training.loop.signals import held_signals

SETTINGS = LoopSettings(max_steps=12)


def interrupt(times: int) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)


def run(folder: Path, at_step: int = 0, signals: int = 0, after: Callable[[], None] = lambda: None) -> nn.Module:
    """A training that goes on where it was, with dropout and a norm; signals come while a batch is drawn."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))
    steps = itertools.count(steps_done(folder) + 1)

    def loss_of(network: nn.Module) -> Tensor:
        step = next(steps)
        if step == at_step:
            interrupt(signals)
            after()
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        return torch.mean((network(x)[:, 0] - x.sum(1)) ** 2)

    return train(model, loss_of, SETTINGS, folder)[0]


@pytest.mark.parametrize(("signals", "kept"), [(1, 5), (2, 4)])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(signals: int, kept: int, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", at_step=5, signals=signals)
    assert steps_done(tmp_path / "stopped") == kept, "one waits for the end of the step, the second does not"
    again, whole = run(tmp_path / "stopped"), run(tmp_path / "whole")
    for one, same in zip(again.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, same)


def test_a_batch_that_never_comes_is_ended_by_the_second_signal(tmp_path: Path) -> None:
    def hangs() -> None:
        pytest.fail("the second signal was held, too")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, at_step=3, signals=2, after=hangs)


def test_half_an_update_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count(1)
    update = torch.optim.AdamW.step

    def interrupted(optimiser: torch.optim.AdamW) -> None:
        update(optimiser)
        if next(calls) == 3:
            interrupt(2)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert steps_done(tmp_path) == 0, "weights of step 3 with the average of step 2"


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with held_signals():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt), held_signals():
        interrupt(2)
    assert signal.getsignal(signal.SIGINT) is before
