"""Pictures of trainings in folds: learning curves, figures by fold, reliability, targets against false alarms, confusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.calibration import Calibration
from evaluation.found import FoundCurve
from evaluation.plots import bare_figure
from evaluation.statistics import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK = 0.55
_WIDE = 20.0
"""Range of losses from which on an axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of a learning curve.

    Attributes:
        epoch: passes over the training images so far.
        loss: running mean.
        validation: score on the images that choose; None where nobody asked them.
    """

    epoch: float
    loss: float
    validation: float | None


def learning_curves(curves: Mapping[str, Sequence[CurvePoint]], headline: str) -> Figure:
    """Loss and validation by epoch, a line a fold; the ring is where validation was best, which is where weights are from."""
    figure, (loss, validation) = bare_figure(11, 3.6, 2)
    for name, points in curves.items():
        (line,) = loss.plot([each.epoch for each in points], [each.loss for each in points], label=name)
        asked = [(each.epoch, each.validation) for each in points if each.validation is not None]
        if not asked:
            continue
        epochs, scores = zip(*asked, strict=True)
        validation.plot(epochs, scores, color=line.get_color(), label=name)
        best = int(np.argmax(scores))
        validation.plot([epochs[best]], [scores[best]], "o", mfc="none", ms=8, color=line.get_color())
    losses = [each.loss for points in curves.values() for each in points]
    if losses and min(losses) > 0 and max(losses) > _WIDE * min(losses):
        loss.set_yscale("log")
    for axis in (loss, validation):
        axis.xaxis.get_major_locator().set_params(integer=True)
    loss.set(xlabel="epoch", ylabel="loss", title="Loss of the training images")
    validation.set(xlabel="epoch", ylabel=f"validation ({headline})", title="Score of the validation images (ring: best)")
    loss.legend(fontsize=8)
    return figure


def figures_by_fold(runs: Mapping[str, Sequence[float]], figure_name: str) -> Figure:
    """A figure of one training or several: a dot a fold, the mean and its 95 % interval."""
    figure, (axis,) = bare_figure(8, 0.9 + 0.7 * len(runs))
    for place, values in enumerate(runs.values()):
        known = [value for value in values if math.isfinite(value)]
        over = summarise(values)
        (dots,) = axis.plot(known, [place] * len(known), "o", alpha=0.7, mec="none")
        if math.isfinite(over.low):
            axis.errorbar(
                [over.mean],
                [place - 0.22],
                xerr=[[over.mean - over.low], [over.high - over.mean]],
                fmt="D",
                capsize=4,
                color=dots.get_color(),
            )
            axis.annotate(
                f"{over.mean:.4g} ± {over.sd:.2g}",
                (over.mean, place - 0.22),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        for fold, value in enumerate(values):
            if math.isfinite(value):
                axis.annotate(str(fold), (value, place), xytext=(0, -12), textcoords="offset points", ha="center", fontsize=7, color="0.4")
    axis.set_yticks(range(len(runs)), list(runs))
    axis.set(xlabel=f"{figure_name} (dots: folds by number; diamond: mean and its 95 % interval)", ylim=(-0.6, len(runs) - 0.4))
    axis.invert_yaxis()
    return figure


def reliability(calibration: Calibration) -> Figure:
    """Share of answers that are right by their score: the diagonal is where a score is a probability; below, how many there are."""
    figure, (axis, counts) = bare_figure(6, 5, 1, 2)
    axis.plot([0, 1], [0, 1], ":", color="0.5", label="score is probability")
    bins = calibration.widths
    axis.plot([each.score for each in bins], [each.share for each in bins], "o-", label=f"10 equal widths: ECE {calibration.ece:.3f}")
    masses = calibration.masses
    axis.plot(
        [each.score for each in masses],
        [each.share for each in masses],
        "s--",
        ms=4,
        label=f"10 equal numbers: ECE {calibration.ece_mass:.3f}",
    )
    axis.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right")
    axis.legend(fontsize=8, loc="upper left")
    counts.bar([each.score for each in bins], [each.num for each in bins], 0.06)
    counts.set(xlim=(0, 1), xlabel="score", ylabel="answers")
    return figure


def found_against_false(curve: FoundCurve, thresholds: Sequence[float]) -> Figure:
    """Share of targets that are found against false alarms a frame; dots: at the folds' thresholds.

    Args:
        curve: of all predictions out of fold.
        thresholds: scores that are reported from, such as one of each fold.
    """
    figure, (axis,) = bare_figure(6, 4)
    axis.plot(curve.false_per_frame_T, curve.pd_T)
    for threshold in thresholds:
        above = np.flatnonzero(curve.thresholds_T >= threshold)
        if len(above):
            axis.plot([curve.false_per_frame_T[above[-1]]], [curve.pd_T[above[-1]]], "o", color="C1")
    axis.set_xscale("symlog", linthresh=0.01)
    axis.set(xlabel="false alarms a frame", ylabel="share of targets found", ylim=(0, 1.02))
    return figure


def confusion(names: Sequence[str], confusion_KK: NDArray[np.int64]) -> Figure:
    """Confusion as counts and as shares of each row; rows are truth, columns are answers."""
    side_in = 1.9 + 0.55 * len(names)
    figure, (counts, shares) = bare_figure(2 * side_in + 1, side_in, 2)
    with np.errstate(invalid="ignore"):
        shares_KK = confusion_KK / confusion_KK.sum(1, keepdims=True)
    _matrix(
        counts,
        names,
        confusion_KK / max(1, int(confusion_KK.max(initial=0))),
        [[str(number) for number in row] for row in confusion_KK.tolist()],
    )
    _matrix(shares, names, shares_KK, [["" if math.isnan(share) else f"{share:.2f}" for share in row] for row in shares_KK.tolist()])
    counts.set(title="Numbers of targets", ylabel="truth")
    shares.set(title="Shares of each true class")
    return figure


def _matrix(axis: Axes, names: Sequence[str], tones_KK: NDArray[np.floating], words: Sequence[Sequence[str]]) -> None:
    axis.grid(visible=False)
    axis.imshow(np.nan_to_num(tones_KK), cmap="Blues", vmin=0, vmax=1)
    axis.set_xticks(range(len(names)), list(names), rotation=35, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), list(names), fontsize=8)
    axis.set_xlabel("answer")
    for row, line in enumerate(words):
        for column, word in enumerate(line):
            dark = bool(tones_KK[row, column] > _DARK)
            axis.text(column, row, word, ha="center", va="center", fontsize=9, color="white" if dark else "black")
