"""Pictures of the suite `robust`: found targets against false alarms, reliability of scores, and what changes do to masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.found import RATES
from evaluation.plots import bare_figure
from evaluation.robustness import FoundOn, RobustResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_MOST_FALSE = 20.0
_LEAST_FALSE = 0.005


def found_curves(results: Sequence[RobustResult]) -> Figure:
    """Pd against false alarms a frame of each data set; the dot is each network at its own threshold, crosses are rates asked for."""
    return _by_set(results, _found_panel, "false alarms a frame", "Pd")


def reliability(results: Sequence[RobustResult]) -> Figure:
    """Share of targets among detections of about one score, of each data set; larger dots are more detections."""
    return _by_set(results, _reliability_panel, "score", "share that are targets")


def change_bars(results: Sequence[RobustResult]) -> Figure:
    """Change of nIoU with its 95 % interval, of each data set that has masks."""
    sets = results[0].changed
    changes = sets[0].changes
    figure, axes = bare_figure(4.2 * len(sets) + 1, 0.9 + len(changes) * (0.16 + 0.15 * len(results)), len(sets))
    height = 0.8 / len(results)
    for column, axis in enumerate(axes):
        for index, result in enumerate(results):
            found = [result.changed[column].differences[change]["niou"] for change in changes]
            places = np.arange(len(changes)) - 0.4 + height * (index + 0.5)
            values = np.array([each.value for each in found]) * 100
            around = np.array([[each.value - each.low, each.high - each.value] for each in found]).T.clip(min=0) * 100
            axis.barh(places, values, height, xerr=around, label=result.name, error_kw={"elinewidth": 0.8, "alpha": 0.6})
        axis.axvline(0, color="black", lw=0.8)
        axis.set_yticks(range(len(changes)), changes if column == 0 else [""] * len(changes), fontsize=8)
        axis.set_ylim(len(changes) - 0.4, -0.6)
        axis.set(title=f"{sets[column].dataset} ({len(sets[column].image_ids)} images)", xlabel="change of nIoU, points")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside upper right", ncols=len(results))
    return figure


def _by_set(results: Sequence[RobustResult], draw: Callable[[Axes, str, FoundOn], None], across: str, up: str) -> Figure:
    sets = results[0].found
    rows = math.ceil(len(sets) / _COLUMNS)
    figure, axes = bare_figure(11, 3.1 * rows + 0.3, _COLUMNS, rows)
    for index, axis in enumerate(axes):
        if index >= len(sets):
            axis.set_axis_off()
            continue
        for result in results:
            draw(axis, result.name, result.found[index])
        first = sets[index].curve
        axis.set(title=f"{sets[index].dataset}: targets {first.num_targets}, frames {first.num_frames}", ylim=(-0.02, 1.02))
        axis.title.set_fontsize(9)
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside upper right", ncols=len(results))
    return figure


def _found_panel(axis: Axes, name: str, found: FoundOn) -> None:
    curve = found.curve
    # Where more false alarms are allowed than there are detections, no more is found.
    (line,) = axis.step(
        np.concatenate([[0.0], curve.false_per_frame_T, [_MOST_FALSE]]).clip(_LEAST_FALSE, _MOST_FALSE),
        np.concatenate([[0.0], curve.pd_T, curve.pd_T[-1:] if len(curve.pd_T) else [0.0]]),
        where="post",
        label=name,
        lw=1.2,
    )
    axis.plot([min(max(found.false_in_use, _LEAST_FALSE), _MOST_FALSE)], [found.pd_in_use], "o", color=line.get_color(), ms=5)
    points = [curve.at(rate) for rate in RATES]
    axis.plot(RATES, [point.pd for point in points], "x", color=line.get_color(), ms=5)
    axis.axvspan(_LEAST_FALSE, max(curve.lowest_rate, _LEAST_FALSE), color="grey", alpha=0.08)
    axis.set(xscale="log", xlim=(_LEAST_FALSE, _MOST_FALSE))


def _reliability_panel(axis: Axes, name: str, found: FoundOn) -> None:
    bins = found.calibration.widths
    axis.plot([0, 1], [0, 1], color="black", lw=0.6, ls=":")
    sizes = [8 + 60 * each.num / max(found.curve.num_detections, 1) for each in bins]
    (line,) = axis.plot([each.score for each in bins], [each.share for each in bins], lw=0.8, label=name)
    axis.scatter([each.score for each in bins], [each.share for each in bins], sizes, color=line.get_color())
    axis.set(xlim=(0, 1.02))
