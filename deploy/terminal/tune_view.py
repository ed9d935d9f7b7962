"""A proposed least score, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.terminal.consoles import answer_console
from evaluation.false_alarms import CONFIDENCE

if TYPE_CHECKING:
    from evaluation.false_alarms import RateAt
    from pipeline.ops.tune import Tuning

_BAR_CHARACTERS = 30
_DIGEST_CHARACTERS = 8
_MINUTES = 60


def tuning_json(found: Tuning) -> dict[str, Any]:
    """One object for programs."""
    hours, covered = found.hours, found.coverage
    first, last = _span(found)
    return {
        "sensor_id": found.sensor_id,
        "run_id": found.run_id,
        "max_per_hour": found.max_per_hour,
        "confidence": CONFIDENCE,
        "frames": len(hours.times_s_N),
        "frames_of_other_weights": hours.num_others,
        "weights": hours.origin[1:],
        "preprocess_version": hours.origin[0],
        "first": first.isoformat(),
        "last": last.isoformat(),
        "hours": covered.hours,
        "interval_s": covered.interval_s if covered.hours else None,
        "gaps": covered.num_gaps,
        "detections": len(hours.scores_M),
        "least_hours": found.least.least_hours,
        "promised": _rate_json(found.least.promised, found),
        "counted": _rate_json(found.least.counted, found),
        "rates": [_rate_json(each, found) for each in found.rates],
        "settings": None if found.least.promised is None else _settings(found, found.least.promised.score),
    }


def print_tuning(found: Tuning) -> None:
    """On stdout: the hours, detections an hour by score, the proposal with its certainty, and the lines for the settings."""
    console = answer_console()
    for line in _head(found):
        console.print(escape(line), highlight=False)
    console.print()
    console.print(_rates(found))
    console.print()
    promised, counted = found.least.promised, found.least.counted
    if promised is not None:
        _print_promise(console, found, promised)
    else:
        for line in _no_promise(found, counted):
            console.print(line, highlight=False)
    console.print(
        "Every detection is taken for a false alarm, and one place that alarms in each frame counts in each frame (there are no tracks).\n"
        "The certainty is that of false alarms that come independently of each other, in hours like these.",
        highlight=False,
    )


def _head(found: Tuning) -> list[str]:
    hours, covered = found.hours, found.coverage
    first, last = (f"{each:%Y-%m-%d %H:%M:%S}" for each in _span(found))
    pace = f", one in {covered.interval_s:.3g} s" if covered.hours else ""
    gaps = f", gaps left out: {covered.num_gaps:,}" if covered.num_gaps else ""
    lines = [
        f"{found.sensor_id}, run {found.run_id}: {len(hours.times_s_N):,} frames cover {_spelt_hours(covered.hours)}{pace}{gaps}",
        f"captured {first} to {last} UTC, by {', '.join(map(_short, hours.origin[1:])) or 'unnamed networks'}",
    ]
    if hours.num_others:
        lines.append(f"{hours.num_others:,} frames of other weights or another preprocessing left out: their scores mean something else")
    return lines


def _rates(found: Tuning) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("score from", "detections", "an hour", f"at most ({CONFIDENCE:.0%})"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    most = max(found.rates[0].num, 1)
    proposal = found.least.promised or found.least.counted
    for each in found.rates:
        bar = "#" * -(-_BAR_CHARACTERS * each.num // most)
        mine = proposal is not None and each.score == proposal.score
        mark = " <- proposed" if mine and found.least.promised is not None else ""
        rates = (_spelt_rate(each.per_hour), _spelt_rate(each.at_most)) if found.coverage.hours else ("-", "-")
        table.add_row(f"{each.score:.9g}", f"{each.num:,}", *rates, f"{bar}{mark}", style="bold" if mark else "")
    return table


def _print_promise(console: Console, found: Tuning, promised: RateAt) -> None:
    total = len(found.hours.scores_M)
    certain = f"with {CONFIDENCE:.0%} certainty at most {_spelt_rate(promised.at_most)} an hour ({found.max_per_hour:g} wanted)"
    if promised.num == total:
        console.print(f"no least score is needed: all {total:,} detections may stay, {certain}", highlight=False)
        return
    share = (total - promised.num) / total
    console.print(
        f"least score {promised.score:.9g}: {total - promised.num:,} of {total:,} detections go ({share:.1%}), {promised.num:,} stay in "
        f"{found.num_frames_left:,} frames;\n{certain}. For the settings, below `args`:",
        highlight=False,
    )
    console.print()
    for line in yaml.safe_dump(_settings(found, promised.score), allow_unicode=True).splitlines():
        console.print(f"  {escape(line)}", highlight=False)
    console.print()


def _no_promise(found: Tuning, counted: RateAt | None) -> list[str]:
    needed, had = found.least.least_hours, found.coverage.hours
    wanted = f"{found.max_per_hour:g} an hour"
    if had < needed:
        lines = [
            f"[bold]no promise[/bold]: {_spelt_hours(had)} are too few for {wanted}, even if nothing had been found in them; "
            f"that takes {_spelt_hours(needed)} or more.",
        ]
    else:
        lines = [
            f"[bold]no promise[/bold]: too many detections have the highest score there is for {wanted}: no least score can part them."
        ]
    if counted is None:
        return lines
    return [
        *lines,
        f"What was counted here: {counted.num:,} of {len(found.hours.scores_M):,} detections score {counted.score:.9g} or more, "
        f"which is no more than {wanted}, and may be chance.",
    ]


def _settings(found: Tuning, score: float) -> dict[str, Any]:
    """The part of the settings that keeps alerts to this score; rows keep everything, so that the next proposal sees it too."""
    return {"sensors": {found.sensor_id: {"alerts": {"min_score": score}}}}


def _rate_json(rate: RateAt | None, found: Tuning) -> dict[str, Any] | None:
    if rate is None:
        return None
    total = len(found.hours.scores_M)
    known = found.coverage.hours > 0
    rates = {"per_hour": rate.per_hour if known else None, "at_most": rate.at_most if known else None}
    return asdict(rate) | rates | {"removed_share": (total - rate.num) / total if total else 0.0}


def _span(found: Tuning) -> tuple[datetime, datetime]:
    times = found.hours.times_s_N
    return datetime.fromtimestamp(float(times.min()), UTC), datetime.fromtimestamp(float(times.max()), UTC)


def _short(network: str) -> str:
    name, _, digest = network.partition(" ")
    return f"{name} {digest[:_DIGEST_CHARACTERS]}"


def _spelt_hours(hours: float) -> str:
    return f"{hours:,.3g} h" if hours >= 1 else f"{hours * _MINUTES:.3g} min"


def _spelt_rate(rate: float) -> str:
    return f"{rate:,.3g}" if rate < 1_000 else f"{rate:,.0f}"
