"""The gate before production: a candidate and the network in production answer on the same held-out images, scene by scene."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from contracts.errors import SettingsError
from evaluation.statistics import ScenesTest, compare_scenes
from models.card import ModelCard
from models.zoo import AnyModel
from training.data.parquet_set import iterate_rows, read_table, require_parquet_set
from training.distributed.predictions import predicted_rows
from training.recipes import default_task
from training.registry.gate import PromotionGate

Report = Callable[[int, int], None]
_HELD_OUT = frozenset({"test", "unseen"})
_NO_FOLD = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A network that is compared.

    Attributes:
        model: loaded and configured.
        card: of its weights.
        named: how it was named.
    """

    model: AnyModel
    card: ModelCard
    named: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionDecision:
    """Answer of the gate.

    Attributes:
        accepted: whether the candidate may go into production.
        reasons: why not; of one that is accepted, why.
        test: mean scores over scenes (first: production, second: candidate) and the paired t-test.
        sensors: by camera, images and the same test.
        figures: by figure of the task, over all images: production and candidate.
        num_images: of all.
    """

    accepted: bool
    reasons: tuple[str, ...]
    test: ScenesTest
    sensors: Mapping[str, tuple[int, ScenesTest]]
    figures: Mapping[str, tuple[float, float]]
    num_images: int

    def plain(self) -> dict[str, JsonValue]:
        """Plain values for JSON, null for what is no number."""
        test = self.test
        numbers = {
            "score_production": test.first,
            "score_candidate": test.second,
            "difference": test.difference,
            "low": test.low,
            "high": test.high,
        }
        return {
            "accepted": self.accepted,
            "reasons": list(self.reasons),
            "images": self.num_images,
            "scenes": test.num,
            **{name: _number(value) for name, value in {**numbers, "p": test.p}.items()},
            "sensors": {
                name: {"images": images, "scenes": each.num, "difference": _number(each.difference)}
                for name, (images, each) in self.sensors.items()
            },
            "figures": {name: [_number(value) for value in pair] for name, pair in self.figures.items()},
        }


def held_out_rows(folders: Sequence[Path], contenders: Sequence[Contender]) -> dict[Path, frozenset[str]]:
    """By data set, the images to compare on: those of the splits `test` and `unseen` where it has any, else all.

    Folds are made of all images but those of `unseen`: where a network of folds learnt from a data set, only these count.

    Raises:
        SettingsError: a data set is not there, none has an image, or one of which all images would count is one that a network learnt from.
    """
    chosen: dict[Path, frozenset[str]] = {}
    for folder in folders:
        name = str(require_parquet_set(folder)["dataset"])
        rows = read_table(folder, ["sample_id", "split"]).to_pylist()
        knows = any(name in each.card.learnt_from and each.card.knows_tests for each in contenders)
        held = frozenset(row["sample_id"] for row in rows if row["split"] in (_HELD_OUT - {"test"} if knows else _HELD_OUT))
        if not held and (learnt := [each.named for each in contenders if name in each.card.learnt_from]):
            raise SettingsError(
                expected=f"images that neither network learnt from (split {'unseen: folds know the rest' if knows else 'test or unseen'})",
                got=f"{name}, from which {' and '.join(learnt)} learnt, without such a split",
                where=str(folder),
                action="Name a data set that was held out.",
            )
        chosen[folder] = held or frozenset(row["sample_id"] for row in rows)
    if not any(chosen.values()):
        raise SettingsError(
            expected="held-out images", got="none", where=", ".join(map(str, folders)) or "`data sets`", action="Name data sets in Parquet."
        )
    return chosen


def decide(
    candidate: Contender,
    production: Contender,
    folders: Sequence[Path],
    gate: PromotionGate,
    *,
    device: str = "cpu",
    report: Report = lambda done, of: None,
) -> PromotionDecision:
    """Compare a candidate with the network in production, paired by image.

    Args:
        candidate: to be promoted.
        production: of the same task.
        folders: data sets in Parquet.
        gate: rules.
        device: where to compute.
        report: gets images done, and all.

    Raises:
        SettingsError: see `held_out_rows`.
    """
    pair, chosen = (production, candidate), held_out_rows(folders, (candidate, production))
    tasks = [default_task(each.model) for each in pair]
    answers = [task.answers(each.model, device=device) for task, each in zip(tasks, pair, strict=True)]
    answered: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    done, of = 0, sum(map(len, chosen.values()))
    for folder, names in chosen.items():
        for row in iterate_rows(folder):
            if row["sample_id"] not in names:
                continue
            for rows, answer in zip(answered, answers, strict=True):
                rows.extend(predicted_rows(_NO_FOLD, [row], answer))
            done += 1
            report(done, of)
    scores = [[task.image_score(dict(row["figures"])) for row in rows] for task, rows in zip(tasks, answered, strict=True)]
    figures = [task.figures(each.model, rows) for task, each, rows in zip(tasks, pair, answered, strict=True)]
    return judged(
        answered[0], scores[0], scores[1], gate, {name: (figures[0][name], figures[1][name]) for name in figures[0] if name in figures[1]}
    )


def judged(
    rows: Sequence[Mapping[str, Any]],
    production: Sequence[float],
    candidate: Sequence[float],
    gate: PromotionGate,
    figures: Mapping[str, tuple[float, float]] | None = None,
) -> PromotionDecision:
    """The decision by scores of images.

    Args:
        rows: of the images: `dataset`, `group_id`, `platform`, `band`.
        production: score of each image in [0, 1], NaN where it says nothing.
        candidate: likewise.
        gate: rules.
        figures: of the task, to be shown.
    """
    scenes = [f"{row['dataset']}/{row['group_id']}" for row in rows]
    test = compare_scenes(production, candidate, scenes)
    by_sensor: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_sensor[f"{row['dataset']}, {row['platform']} / {row['band']}"].append(index)
    sensors = {
        name: (len(at), compare_scenes([production[i] for i in at], [candidate[i] for i in at], [scenes[i] for i in at]))
        for name, at in sorted(by_sensor.items())
    }
    reasons = []
    if test.num < gate.min_scenes:
        reasons.append(f"expected at least {gate.min_scenes} scenes with targets or false alarms to count, got {test.num}")
    if not (test.difference > 0 and test.difference >= gate.min_gain):
        reasons.append(
            f"expected a gain of {f'at least {gate.min_gain:g}' if gate.min_gain else 'more than 0'}, got {test.difference:+.4f}"
        )
    if not test.p <= gate.max_p:
        reasons.append(f"expected a paired t-test over scenes with p up to {gate.max_p:g}, got {test.p:.3g}")
    for name, (_, each) in sensors.items():
        if each.difference < -gate.max_sensor_loss:
            reasons.append(f"expected no camera to lose more than {gate.max_sensor_loss:g}, got {each.difference:+.4f} on {name}")
    accepted = not reasons
    why = f"the mean score over {test.num} scenes rises by {test.difference:+.4f} ({test.low:+.4f} to {test.high:+.4f}), p {test.p:.3g}"
    return PromotionDecision(
        accepted=accepted,
        reasons=tuple(reasons) or (why,),
        test=test,
        sensors=sensors,
        figures=dict(figures or {}),
        num_images=len(rows),
    )


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
