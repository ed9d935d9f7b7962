"""The comparison of two runs as one HTML page that needs no other file and no network."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.drawing import Picture
from evaluation.plots import bare_figure, figure_uri, picture_uri
from evaluation.report import page_template
from evaluation.run_diff import FrameDiff, Sums, sums_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_SENSORS = 30
_MOST_LABELS = 20
_BINS = 60
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800)
_A, _B, _BOTH = "#d1672b", "#2f6fb0", "#7a7f87"


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """One frame with what each run has found.

    Attributes:
        frame: its comparison.
        first: with A's targets; None where the frame could not be had.
        second: with B's.
        why: then, why.
    """

    frame: FrameDiff
    first: Picture | None
    second: Picture | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Runs:
    """The two runs in words.

    Attributes:
        name_a, name_b: run ids.
        models_a, models_b: networks of their rows.
        only_a, only_b: rows without a partner in the other run.
        match_by: `position` or `frame`.
        foot: how to make the page again.
    """

    name_a: str
    name_b: str
    models_a: str
    models_b: str
    only_a: int
    only_b: int
    match_by: str
    foot: str


def by_sensor(frames: Sequence[FrameDiff]) -> dict[str, Sums]:
    """Sums of each sensor, the most changed first."""
    return _grouped(frames, lambda frame: frame.sensor_id or "(no sensor id)")


def by_time(frames: Sequence[FrameDiff], most: int = _BINS) -> dict[datetime, Sums]:
    """Sums of stretches of time of equal, round length, at most so many, by when they begin (capture time, UTC)."""
    moments = [frame.captured_at for frame in frames]
    span_s = (max(moments) - min(moments)).total_seconds()
    step_s = next((step for step in _STEPS_S if span_s / step < most), _STEPS_S[-1])
    begin = datetime.fromtimestamp(min(moments).timestamp() // step_s * step_s, UTC)
    groups: dict[int, list[FrameDiff]] = defaultdict(list)
    for frame in frames:
        groups[int((frame.captured_at - begin).total_seconds() // step_s)].append(frame)
    return {begin + timedelta(seconds=step_s * number): sums_of(group) for number, group in sorted(groups.items())}


def by_label(frames: Sequence[FrameDiff]) -> dict[str, dict[str, int]]:
    """By label: targets of A and of B, in both under this label, renamed (from, to), in one alone; the most frequent first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for frame in frames:
        for one, other in zip(frame.labels_a, frame.labels_b, strict=True):
            if one == other:
                counts[one]["both"] += 1
            else:
                counts[one]["from"] += 1
                counts[other]["to"] += 1
        for label in frame.lost:
            counts[label]["only_a"] += 1
        for label in frame.gained:
            counts[label]["only_b"] += 1
    names = ("both", "from", "to", "only_a", "only_b")
    found = {label: {name: count[name] for name in names} for label, count in counts.items()}
    return dict(sorted(found.items(), key=lambda item: -sum(item[1].values())))


def _grouped(frames: Sequence[FrameDiff], key: Any) -> dict[str, Sums]:
    groups: dict[str, list[FrameDiff]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return dict(sorted(((name, sums_of(group)) for name, group in groups.items()), key=lambda item: (-item[1].change, item[0])))


def render_diff(runs: Runs, frames: Sequence[FrameDiff], worst: Sequence[Pictured]) -> str:
    """The page.

    Args:
        runs: what is compared.
        frames: every frame that both have; at least one.
        worst: those to be shown.
    """
    sums, sensors, labels = sums_of(frames), by_sensor(frames), by_label(frames)
    plots = [
        ("By sensor", _sensor_bars(sensors, runs)),
        ("By class", _label_bars(labels, runs)),
        ("By time", _time_lines(by_time(frames), runs)),
        ("Scores of what both have, and of what one alone has", _score_bars(frames, runs)),
    ]
    return page_template("diff.html").render(
        title=f"{runs.name_a} against {runs.name_b}",
        runs=runs,
        sums=sums,
        change=_percent(sums.change),
        sensors=[(name, each, _percent(each.change)) for name, each in list(sensors.items())[:_MOST_SENSORS]],
        more_sensors=max(0, len(sensors) - _MOST_SENSORS),
        labels=list(labels.items())[:_MOST_LABELS],
        renamed=_renamed(frames),
        plots=[{"title": title, "uri": figure_uri(figure)} for title, figure in plots],
        worst=[_shown(each) for each in worst],
    )


def _shown(each: Pictured) -> dict[str, Any]:
    frame = each.frame
    parts = [f"only A {frame.only_a}", f"only B {frame.only_b}", f"both {frame.matched}"]
    parts += [f"renamed {frame.relabelled}"] if frame.relabelled else []
    parts += [f"{frame.status_a} in A, {frame.status_b} in B"] if frame.restated else []
    place = frame.position_a if frame.position_a == frame.position_b else f"{frame.position_a} and {frame.position_b}"
    return {
        "name": f"{frame.sensor_id}, {place}",
        "words": ", ".join(parts),
        "first": None if each.first is None else picture_uri(each.first),
        "second": None if each.second is None else picture_uri(each.second),
        "why": each.why,
    }


def _renamed(frames: Sequence[FrameDiff]) -> list[tuple[str, str, int]]:
    found = Counter((one, other) for frame in frames for one, other in zip(frame.labels_a, frame.labels_b, strict=True) if one != other)
    return [(one, other, num) for (one, other), num in found.most_common(10)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _sensor_bars(sensors: Mapping[str, Sums], runs: Runs) -> Figure:
    shown = list(sensors.items())[:_MOST_SENSORS]
    return _bars([(name, each.matched, each.only_a, each.only_b) for name, each in shown], runs)


def _label_bars(labels: Mapping[str, Mapping[str, int]], runs: Runs) -> Figure:
    shown = list(labels.items())[:_MOST_LABELS]
    return _bars([(name, each["both"] + each["from"], each["only_a"], each["only_b"]) for name, each in shown], runs)


def _bars(rows: Sequence[tuple[str, int, int, int]], runs: Runs) -> Figure:
    """Targets that both have, and that one alone has, a bar for each name."""
    figure, (axes,) = bare_figure(11, 1.2 + 0.32 * max(1, len(rows)))
    places = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for index, (label, colour) in enumerate(((f"only {runs.name_a}", _A), ("both", _BOTH), (f"only {runs.name_b}", _B))):
        widths = np.array([row[(2, 1, 3)[index]] for row in rows], float)
        axes.barh(places, widths, left=left, color=colour, label=label, height=0.7)
        left += widths
    axes.set_yticks(places, [_short(row[0]) for row in rows])
    axes.set_xlabel("targets")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return figure


def _short(name: str, most: int = 28) -> str:
    shown = name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"
    return shown.replace("$", r"\$")


def _time_lines(bins: Mapping[datetime, Sums], runs: Runs) -> Figure:
    figure, (top, bottom) = bare_figure(11, 5.5, 1, 2)
    moments = list(bins)
    top.step(moments, [each.num_a for each in bins.values()], where="mid", color=_A, label=runs.name_a)
    top.step(moments, [each.num_b for each in bins.values()], where="mid", color=_B, label=runs.name_b)
    top.set_ylabel("targets")
    top.legend(frameon=False)
    bottom.plot(moments, [100 * each.change for each in bins.values()], "o-", ms=3, color="#444")
    bottom.set_ylim(-3, 103)
    bottom.set_ylabel("change, % of targets")
    for axes in (top, bottom):
        _date_axis(axes)
    return figure


def _date_axis(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    axes.set_xlabel("capture time, UTC")


def _score_bars(frames: Sequence[FrameDiff], runs: Runs) -> Figure:
    figure, (axes,) = bare_figure(11, 3.2)
    edges = np.linspace(0, 1, 41)
    kinds = (
        (f"only {runs.name_a}", _A, [score for frame in frames for score in frame.lost_scores]),
        (f"both (score of {runs.name_a})", _BOTH, [score for frame in frames for score in frame.matched_scores]),
        (f"only {runs.name_b}", _B, [score for frame in frames for score in frame.gained_scores]),
    )
    for label, colour, scores in kinds:
        axes.hist(scores, edges, histtype="stepfilled" if colour == _BOTH else "step", color=colour, label=label, alpha=0.5, linewidth=2)
    axes.set_xlabel("score")
    axes.set_ylabel("targets")
    axes.legend(frameon=False)
    return figure
