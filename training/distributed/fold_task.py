"""The task of a fold: images stream from Parquet, gradients are shared, the first process validates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from evaluation.drawing import Picture
from models.card import Measurement
from models.zoo import AnyModel
from training.data.batches import Batch, SeededBatches
from training.data.samples import Role, Sample
from training.data.windows import WINDOW_BYTES, Streamed, StreamedBatches
from training.distributed.team import Team, shared_loss
from training.tasks.answers import Answerer, Outcomes
from training.tasks.base import TrainingTask, Validator
from training.tasks.measuring import Report, no_report

Stream = Callable[[], Iterator[Sample]]
"""Begins to give images anew each time it is called."""


class FoldTask(TrainingTask):
    """A task on streams of images in place of data sets on disk, for one or several processes; all else is the task's own."""

    def __init__(
        self,
        task: TrainingTask,
        train: Stream,
        validation: Stream,
        *,
        crops: int,
        team: Team,
        keep: bool = False,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """Nothing is read yet.

        Args:
            task: with its recipe.
            train: this process's images of one pass.
            validation: images that choose; the first process asks for them.
            crops: in one pass, of all processes together.
            team: that learns together.
            keep: images fit into one window.
            window_bytes: of images in memory at a time.
        """
        self.recipe, self._task, self._team = task.recipe, task, team
        self._train, self._validation, self._keep, self._window_bytes = train, validation, keep, window_bytes
        self._loss_of: nn.Module | None = None
        self.last_quality: float | None = None
        """Score of the last validation; None before the first."""
        self.batches_an_epoch = max(1, math.ceil(crops / (team.size * task.recipe.batch_size)))

    @property
    def epoch_size(self) -> int:
        """Crops of one process in one pass, in whole batches."""
        return self.batches_an_epoch * self.recipe.batch_size

    @property
    def records_passes(self) -> bool:
        """Gradients are shared while a pass runs."""
        return self._team.size == 1 and self._task.records_passes

    @property
    def counts_batches(self) -> bool:
        """As the task."""
        return self._task.counts_batches

    @property
    def headline(self) -> str:
        """As the task."""
        return self._task.headline

    def look_at_held_out(self) -> None:
        """Nothing: the import has read every image."""

    def source(self, steps: int | None = None) -> StreamedBatches:
        """Batches of the stream."""
        how = Streamed(
            epoch=self._train,
            source=lambda samples, seed: self._task.source_of(samples, seed, steps),
            can_teach=self._task.can_teach,
            crops_in=lambda sample: self._task.crops_in(sample.labels),
            batch_size=self.recipe.batch_size,
            batches_an_epoch=self.batches_an_epoch,
            seed=(self.recipe.seed, self._team.rank),
            window_bytes=self._window_bytes,
            keep=self._keep,
        )
        return StreamedBatches(how, self.counts_batches)

    def source_of(self, samples: Sequence[Sample], seed: int, steps: int | None = None) -> SeededBatches:
        """As the task."""
        return self._task.source_of(samples, seed, steps)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The task's, with gradients that are means over the team."""
        if self._loss_of is None:
            self._loss_of = shared_loss(self._task, model, self._team)
        loss: Tensor = self._loss_of(batch)
        return loss

    def validator(self) -> Validator:
        """The first process looks at all validation images, the others hear of it."""

        def validate(model: nn.Module) -> float:
            own = self._task.quality(model, self._validation()) if self._team.rank == 0 else math.nan
            self.last_quality = quality = self._team.from_first(own)
            return quality

        return validate

    def quality(self, model: nn.Module, samples: Iterable[Sample]) -> float:
        """As the task."""
        return self._task.quality(model, samples)

    def choose(self, model: AnyModel, *, device: str = "cpu", report: Report = no_report) -> dict[str, float]:
        """Thresholds of the first process, chosen on the validation images."""
        chosen = self._task.chosen_on(model, self._validation(), device=device) if self._team.rank == 0 else {}
        return self._team.from_first(chosen)

    def chosen_on(self, model: AnyModel, samples: Iterable[Sample], *, device: str = "cpu") -> dict[str, float]:
        """As the task."""
        return self._task.chosen_on(model, samples, device=device)

    def answers(self, model: AnyModel, *, device: str = "cpu") -> Answerer:
        """As the task."""
        return self._task.answers(model, device=device)

    def image_score(self, figures: Mapping[str, float]) -> float:
        """As the task."""
        return self._task.image_score(figures)

    def outcomes(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> Outcomes:
        """As the task."""
        return self._task.outcomes(model, rows)

    def figures(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """As the task."""
        return self._task.figures(model, rows)

    def measure(
        self, model: AnyModel, role: Role = Role.TEST, weights: Path | None = None, *, device: str = "cpu", report: Report = no_report
    ) -> list[Measurement]:
        """As the task, on data sets on disk."""
        return self._task.measure(model, role, weights, device=device, report=report)

    def picture(self, model: AnyModel) -> Picture:
        """As the task."""
        return self._task.picture(model)
