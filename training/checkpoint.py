"""Everything a training needs to go on after a kill, in one file that is replaced whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FILE = "checkpoint.pt"


@dataclass(slots=True)
class Progress:
    """How far a training is.

    Attributes:
        steps: optimiser steps.
        spent_s: seconds of training.
        loss: running mean; NaN before the first step.
        best_score: of the judge, on images that choose; -inf before its first word.
        best_step: when that was.
        worse: judgements since.
    """

    steps: int = 0
    spent_s: float = 0.0
    loss: float = float("nan")
    best_score: float = float("-inf")
    best_step: int = 0
    worse: int = 0


@dataclass(slots=True)
class Checkpoint:
    """What is saved.

    Attributes:
        model: trained in place.
        average: exponential moving average of its weights.
        optimiser: its state.
        best: weights of the average the judge liked best; None without a judgement.
    """

    model: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor] | None = None

    def save(self, folder: Path, progress: Progress) -> None:
        """Replace the file."""
        folder.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = asdict(progress) | {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
        }
        partial = folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(folder / FILE)

    def resume(self, folder: Path) -> Progress:
        """Go on from the file; at the beginning where there is none."""
        if not (folder / FILE).is_file():
            return Progress()
        device = next(self.model.parameters()).device
        state = torch.load(folder / FILE, weights_only=True, map_location=device)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = state.get("best")
        return Progress(**{each.name: state[each.name] for each in fields(Progress) if each.name in state})


def steps_done(folder: Path) -> int:
    """Steps of the checkpoint in a folder, 0 where there is none."""
    checkpoint = folder / FILE
    return int(torch.load(checkpoint, weights_only=True, map_location="cpu")["steps"]) if checkpoint.is_file() else 0
