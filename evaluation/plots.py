"""Pictures for reports: curves, tables by size as bars, accuracy against cost."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.drawing import Picture, encode_jpeg, encode_png
from evaluation.results import ModelResult
from evaluation.targets import Stratum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110


def bare_figure(width_in: float, height_in: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of empty axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained", dpi=_DPI)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for each in axes:
        each.grid(visible=True, alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def figure_uri(figure: Figure) -> str:
    """A figure as a `data:` URI, so that a page needs no other file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return _uri(buffer.getvalue())


def picture_uri(picture_HW3: Picture) -> str:
    """A picture as a `data:` URI: JPEG with colours at full size where that is smaller, as it is for frames with noise."""
    png, jpeg = encode_png(picture_HW3), encode_jpeg(picture_HW3)
    return _uri(jpeg, "jpeg") if len(jpeg) < len(png) else _uri(png)


def _uri(encoded: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64," + base64.b64encode(encoded).decode("ascii")


def rate_curves(results: Sequence[ModelResult]) -> Figure:
    """ROC and precision-recall by pixel; the dot is each network's own threshold."""
    figure, (roc, pr) = bare_figure(11, 4, 2)
    for result in results:
        curves = result.curves
        (line,) = roc.plot(curves.false_positive_rate_T, curves.true_positive_rate_T, label=f"{result.name} (area {curves.auc:.4f})")
        pr.plot(
            curves.true_positive_rate_T, curves.precision_T, color=line.get_color(), label=f"{result.name} ({curves.average_precision:.3f})"
        )
        pr.plot([result.scores.recall], [result.scores.precision], "o", color=line.get_color())
    roc.set(xscale="symlog", xlabel="false positive rate (pixels)", ylabel="true positive rate", title="ROC")
    roc.set_xscale("symlog", linthresh=1e-6)
    pr.set(xlabel="recall (pixels)", ylabel="precision", title="precision and recall (area)", xlim=(0, 1), ylim=(0, 1.02))
    roc.legend(fontsize=8, loc="lower right")
    pr.legend(fontsize=8, loc="lower left")
    return figure


def threshold_curves(results: Sequence[ModelResult]) -> Figure:
    """IoU against the threshold, and detected targets against false-alarm pixels along it."""
    from matplotlib.ticker import SymmetricalLogLocator

    figure, (iou, free) = bare_figure(11, 4, 2)
    for result in results:
        (line,) = iou.plot(result.curves.thresholds_T, result.curves.iou_T, label=result.name)
        iou.axvline(result.threshold, color=line.get_color(), alpha=0.4, ls=":")
        free.plot([each.fa_ppm for _, each in result.sweep], [each.pd for _, each in result.sweep], ".-", color=line.get_color())
        free.plot([result.scores.fa_ppm], [result.scores.pd], "o", color=line.get_color(), label=result.name)
    iou.set(xlabel="threshold (dotted: in use)", ylabel="IoU", title="IoU at every threshold", xlim=(0, 1), ylim=(0, 1))
    free.set(xlabel="Fa, false-alarm pixels per million", ylabel="Pd", title="targets found against false alarms (dot: in use)")
    free.set_xscale("symlog", linthresh=1)
    free.set_xlim(left=0)
    free.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
    free.xaxis.set_major_formatter("{x:g}")
    free.tick_params(axis="x", labelsize=8)
    iou.legend(fontsize=8, loc="lower center")
    free.legend(fontsize=8, loc="lower right")
    return figure


def strata_bars(results: Sequence[ModelResult], by: str) -> Figure:
    """Pd and mean IoU of targets by size (`sizes`) or contrast (`contrasts`)."""
    figure, axes = bare_figure(11, 3.6, 2)
    tables: list[list[Stratum]] = [result.sizes() if by == "sizes" else result.contrasts() for result in results]
    unit = "px" if by == "sizes" else ""
    labels = [f"{_edge(each.low)} - {_edge(each.high)} {unit}\n{each.targets} targets" for each in tables[0]]
    width = 0.8 / len(results)
    for axis, what in zip(axes, ("pd", "iou"), strict=True):
        for index, (result, table) in enumerate(zip(results, tables, strict=True)):
            places = np.arange(len(table)) - 0.4 + width * (index + 0.5)
            axis.bar(places, [getattr(each, what) for each in table], width, label=result.name)
        axis.set_xticks(range(len(labels)), labels, fontsize=8)
        axis.set(ylim=(0, 1.02), title={"pd": "Pd", "iou": "IoU per target (missed: 0)"}[what])
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.supxlabel("area of the target" if by == "sizes" else "signal-to-clutter ratio of the target", fontsize=9)
    return figure


def _edge(value: float) -> str:
    return f"{value:g}" if np.isfinite(value) else ("0" if value < 0 else "more")


def accuracy_against_cost(results: Sequence[ModelResult]) -> Figure:
    """IoU with its 95 % interval against milliseconds a frame."""
    figure, (axis,) = bare_figure(7, 4)
    for result in results:
        interval = result.intervals()["iou"]
        below, above = max(0.0, interval.value - interval.low), max(0.0, interval.high - interval.value)
        axis.errorbar([result.cost.latency_ms], [interval.value], [[below], [above]], fmt="o", capsize=3)
        axis.annotate(result.name, (result.cost.latency_ms, interval.value), xytext=(6, 4), textcoords="offset points", fontsize=9)
    axis.set(xscale="log", xlabel=f"ms a frame of {results[0].cost.input_px} px at batch 1, {results[0].cost.device}", ylabel="IoU")
    axis.margins(x=0.2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("{x:g}")
    axis.tick_params(axis="x", which="both", labelsize=8)
    return figure
