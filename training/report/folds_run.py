"""A training in folds that is done, and its comparison with others."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import SettingsError
from evaluation.fold_plots import CurvePoint
from evaluation.statistics import PairedTest, Variance, analyse_variance, compare_paired
from models.zoo import AnyModel, create_model
from training.distributed.cross_validation import RUN_FILE
from training.distributed.storage import Storage
from training.recipes import default_task
from training.tasks.answers import Outcomes
from training.tasks.base import TrainingTask


@dataclass(frozen=True, kw_only=True)
class FoldsRun:
    """A training in folds that is done.

    Attributes:
        place: folder or URL.
        model: network.
        folds_hash: of its folds.
        headline: figure by which it is compared.
        results: by fold, see `cross_validate`.
        rows: predictions out of fold.
        folders: data sets.
    """

    place: str
    model: str
    folds_hash: str
    headline: str
    results: tuple[Mapping[str, Any], ...]
    rows: tuple[Mapping[str, Any], ...]
    folders: tuple[Path, ...]

    def values(self, figure: str) -> list[float]:
        """A figure by fold."""
        values = [result["figures"].get(figure) for result in self.results]
        return [math.nan if value is None else float(value) for value in values]

    @property
    def name(self) -> str:
        """The network, and the folder of the training."""
        return f"{self.model} ({self.place.rstrip('/').rpartition('/')[2]})"

    @property
    def figures(self) -> list[str]:
        """Names of the figures, the headline first."""
        names = list(self.results[0]["figures"])
        return [self.headline, *(name for name in names if name != self.headline)]

    @property
    def curves(self) -> dict[str, list[CurvePoint]]:
        """Learning curve of each fold that has one."""
        return {
            f"fold {result['fold']}": [
                CurvePoint(point["step"] / result["steps_an_epoch"], point["loss"], point["validation"]) for point in result["curve"]
            ]
            for result in self.results
            if result.get("curve")
        }

    @property
    def thresholds(self) -> list[float]:
        """Score from which each fold reports."""
        names = ("score_threshold", "threshold")
        return [float(settings[name]) for settings in (result["settings"] for result in self.results) for name in names if name in settings]

    @cached_property
    def outcomes(self) -> Outcomes:
        """Right and wrong answers out of fold."""
        model, task = self._task
        return task.outcomes(model, self.rows)

    def figures_of(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Figures of some of the answers. Folds have thresholds of their own: several together are counted at their mean."""
        model, task = self._task
        settings = [dict(result["settings"]) for result in self.results]
        mean = {name: float(np.mean([each[name] for each in settings])) for name in settings[0] if isinstance(settings[0][name], float)}
        model.configure(settings[0] | mean)
        return task.figures(model, rows)

    @cached_property
    def _task(self) -> tuple[AnyModel, TrainingTask]:
        model = create_model(self.model)
        return model, default_task(model)


def read_run(place: str) -> FoldsRun:
    """A training of a folder or URL.

    Raises:
        SettingsError: there is none, or a fold of it is not done.
    """
    import io

    import pyarrow.parquet as pq

    storage = Storage(place)
    content = storage.read(RUN_FILE)
    if content is None:
        raise SettingsError(
            expected=f"a training in folds (a folder with {RUN_FILE})",
            got="none",
            where=place,
            action="Train with `folds` first (docs/folds.md).",
        )
    begun = json.loads(content)
    num = int(json.loads(storage.read("folds.json") or b'{"settings": {"num": 0}}')["settings"]["num"])
    results, rows = [], list[Mapping[str, Any]]()
    for fold in range(num):
        result, table = storage.read(f"fold-{fold}.json"), storage.read(f"fold-{fold}.parquet")
        if result is None or table is None:
            raise SettingsError(
                expected=f"{num} folds that are done",
                got=f"fold {fold} is not",
                where=place,
                action="Give the command of the training again: it goes on.",
            )
        results.append(json.loads(result))
        rows += pq.read_table(io.BytesIO(table)).to_pylist()
    identity = begun["identity"]
    return FoldsRun(
        place=place,
        model=identity["model"],
        folds_hash=identity["folds"],
        headline=default_task(create_model(identity["model"])).headline,
        results=tuple(results),
        rows=tuple(rows),
        folders=tuple(Path(folder) for folder in begun["folders"]),
    )


def compare_runs(first: FoldsRun, second: FoldsRun) -> dict[str, PairedTest]:
    """Paired tests of the figures that both have: plain, and corrected for folds that share training images (Nadeau and Bengio).

    Raises:
        SettingsError: they were not trained on the same folds, or there is only one.
    """
    if first.folds_hash != second.folds_hash:
        raise SettingsError(
            expected="trainings on the same folds",
            got=f"{first.folds_hash[:12]} ({first.place}) and {second.folds_hash[:12]} ({second.place})",
            where="comparison",
            action="Train both on the same data with the same settings of folds (docs/folds.md).",
        )
    if len(first.results) < 2:
        raise SettingsError(
            expected="at least two folds",
            got="one",
            where="comparison",
            action="A single split says nothing of chance: train in five `folds`.",
        )
    sizes = [(result["test"], result["train"]) for result in first.results]
    share = float(np.mean([test / train for test, train in sizes]))
    shared = [name for name in first.figures if name in second.figures]
    return {name: compare_paired(first.values(name), second.values(name), share) for name in shared}


def analyse_runs(runs: Sequence[FoldsRun], figure: str | None = None) -> Variance:
    """One-way analysis of variance of a figure over trainings, a value a fold, and Tukey's test of each pair.

    Trainings may be on other folds and other data, such as on even, skewed and mixed classes. Folds of one training share images, so
    that their values spread less than those of trainings on new data would.

    Args:
        runs: trainings; those of one name are told apart by their place.
        figure: None: the headline.

    Raises:
        SettingsError: fewer than two trainings, one with fewer than two folds, or without the figure.
    """
    name = figure or runs[0].headline
    names = [run.name if [each.name for each in runs].count(run.name) == 1 else run.place for run in runs]
    groups = {name_of: [value for value in run.values(name) if math.isfinite(value)] for name_of, run in zip(names, runs, strict=True)}
    try:
        return analyse_variance(groups)
    except ValueError as error:
        raise SettingsError(
            expected=f"at least two trainings, each with `{name}` of at least two folds",
            got=", ".join(f"{name_of}: {len(values)}" for name_of, values in groups.items()),
            where="analysis of variance",
            action="Name other trainings, or another figure (irstream runs show).",
        ) from error
