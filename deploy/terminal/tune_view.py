"""Proposed filters, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.text import counted
from deploy.settings.edit import as_yaml
from deploy.terminal.consoles import answer_console
from evaluation.false_alarms import CONFIDENCE

if TYPE_CHECKING:
    from evaluation.false_alarms import RateAt
    from evaluation.places import Place
    from pipeline.ops.tune import Tuning

_BAR_CHARACTERS = 30
_DIGEST_CHARACTERS = 8
_MINUTES = 60


def tuning_json(found: Tuning) -> dict[str, Any]:
    """One object for programs."""
    hours, covered, least = found.hours, found.coverage, found.least
    first, last = _span(found)
    now, with_zones, with_score = found.num_alerts
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
        "zones": [asdict(place) | {"name": place.name} for place in found.places],
        "detections_outside_zones": found.num_left,
        "frames_with_alerts": {"now": now, "with_zones": with_zones, "with_zones_and_score": with_score},
        "least_hours": None if least is None else least.least_hours,
        "promised": None if least is None else _rate_json(least.promised, found),
        "counted": None if least is None else _rate_json(least.counted, found),
        "rates": [_rate_json(each, found) for each in found.rates],
        "settings": proposed_settings(found) or None,
    }


def proposed_settings(found: Tuning) -> dict[str, Any]:
    """The part of the settings that has the proposal hold; empty where nothing is proposed. Rows keep everything.

    A sensor's zones take the place of those of all sensors, so those it has now are named again.
    """
    alerts: dict[str, Any] = {}
    if found.least is not None and found.least.promised is not None and found.least.promised.score != (found.alerts.min_score or 0.0):
        alerts["min_score"] = found.least.promised.score
    if found.places:
        had = {name: zone.model_dump(mode="json", exclude_defaults=True) for name, zone in found.alerts.zones.items()}
        alerts["zones"] = had | {place.name: {"rectangle_px": list(place.rectangle_px)} for place in found.places}
    return {"sensors": {found.sensor_id: {"alerts": alerts}}} if alerts else {}


def print_tuning(found: Tuning) -> None:
    """On stdout: the hours, places that alarm, detections an hour by score, the proposal with its certainty, and lines for the settings."""
    console = answer_console()
    for line in _head(found):
        console.print(escape(line), highlight=False)
    console.print()
    if found.places:
        _print_places(console, found)
    console.print(_rates(found))
    console.print()
    if found.least is not None:
        _print_least(console, found)
    if settings := proposed_settings(found):
        console.print("For the settings, below `args`:")
        console.print()
        for line in as_yaml(settings).splitlines():
            console.print(f"  {escape(line)}", highlight=False)
        console.print()
    elif found.least is None:
        console.print("no place alarms at the same spot for long; --max-false-per-hour proposes a least score", highlight=False)
    if found.least is not None:
        console.print(
            "Every detection is taken for a false alarm, and one place that alarms in each frame counts in each frame "
            "(there are no tracks).\n"
            "The certainty is that of false alarms that come independently of each other, in hours like these.",
            highlight=False,
        )


def _print_places(console: Console, found: Tuning) -> None:
    """The zones, and what they remove."""
    now, with_zones, _ = found.num_alerts
    alarm = "alarms" if len(found.places) == 1 else "alarm"
    console.print(
        f"{counted(len(found.places), 'place')} that {alarm} at the same spot: as zones they remove {found.num_removed:,} of "
        f"{len(found.found.frames_M):,} detections;\n"
        f"frames with an alert fall from {now:,} to {with_zones:,}{_hourly(found, now, with_zones)}.",
        highlight=False,
    )
    console.print()
    console.print(_zones(found))
    console.print()
    if any(place.num_others for place in found.places):
        console.print("others: detections in the zone that are not at its spot; they go, too.", highlight=False)
    if not all(place.lasting for place in found.places):
        console.print(
            f"[bold]Look at the picture[/bold] (--picture FILE) before you take them: in {_spelt_hours(found.coverage.hours)} "
            "a target that stands still looks the same.",
            highlight=False,
        )
    console.print()


def _zones(found: Tuning) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("zone", no_wrap=True)
    for name in ("x", "y", "frames", "detections", "others", "spread"):
        table.add_column(name, justify="right", no_wrap=True)
    for place in found.places:
        table.add_row(place.name, *_zone_cells(place, len(found.hours.times_s_N)))
    return table


def _zone_cells(place: Place, num_frames: int) -> tuple[str, ...]:
    x_min, y_min, x_max, y_max = place.rectangle_px
    share = f"{place.num_frames / num_frames:.0%}"
    others = f"{place.num_others:,}" if place.num_others else ""
    return f"{x_min}-{x_max}", f"{y_min}-{y_max}", share, f"{place.num_detections:,}", others, f"{place.spread_px:.2g} px"


def _hourly(found: Tuning, now: int, then: int) -> str:
    hours = found.coverage.hours
    return f", {_spelt_rate(now / hours)} to {_spelt_rate(then / hours)} an hour" if hours else ""


def _print_least(console: Console, found: Tuning) -> None:
    assert found.least is not None
    promised, counted_rate = found.least.promised, found.least.counted
    if promised is not None:
        _print_promise(console, found, promised)
    else:
        for line in _no_promise(found, counted_rate):
            console.print(line, highlight=False)


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
    for each in found.rates:
        bar = "#" * -(-_BAR_CHARACTERS * each.num // most)
        is_promised = found.least is not None and found.least.promised is not None and each.score == found.least.promised.score
        mark = " <- proposed" if is_promised else ""
        rates = (_spelt_rate(each.per_hour), _spelt_rate(each.at_most)) if found.coverage.hours else ("-", "-")
        table.add_row(f"{each.score:.9g}", f"{each.num:,}", *rates, f"{bar}{mark}", style="bold" if mark else "")
    return table


def _print_promise(console: Console, found: Tuning, promised: RateAt) -> None:
    total = found.num_left
    wanted = f"({found.max_per_hour:g} wanted)"
    certain = f"with {CONFIDENCE:.0%} certainty at most {_spelt_rate(promised.at_most)} an hour {wanted}"
    if promised.num == total:
        console.print(f"no least score is needed: all {total:,} detections may stay, {certain}", highlight=False)
        return
    share = (total - promised.num) / total
    console.print(
        f"least score {promised.score:.9g}: {total - promised.num:,} of {total:,} detections go ({share:.1%}), {promised.num:,} stay in "
        f"{found.num_frames_left:,} frames;\n{certain}.",
        highlight=False,
    )


def _no_promise(found: Tuning, counted: RateAt | None) -> list[str]:
    assert found.least is not None
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
        f"What was counted here: {counted.num:,} of {found.num_left:,} detections score {counted.score:.9g} or more, "
        f"which is no more than {wanted}, and may be chance.",
    ]


def _rate_json(rate: RateAt | None, found: Tuning) -> dict[str, Any] | None:
    if rate is None:
        return None
    total = found.num_left
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
