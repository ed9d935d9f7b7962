"""Filters that a sensor's own hours speak for: zones at places that alarm at the same spot, and a least score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from evaluation.false_alarms import Coverage, LeastScore, RateAt, coverage, least_score, rate_at
from evaluation.places import Found, Place, find_places
from pipeline.inference.rules import Filters, as_float32
from pipeline.ops.sensor_hours import Rows, SensorHours, sensor_hours
from pipeline.sensor_settings import AlertSettings

_SHOWN_SCORES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 0.99999)


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """Filters for one sensor, and what they are taken from.

    Attributes:
        max_per_hour: the wanted rate; None: no score is proposed.
        alerts: filters the sensor has now.
        coverage: hours that the frames cover.
        found: detections that make alerts now, in frames of the usual size.
        places: the proposal of zones.
        least: the proposal of a score for what is left outside of them, with and without a promise; None: none is wanted.
        rates: those detections and their rates at rising scores, that of the proposal among them.
        num_removed: of `found`, detections in one of the zones.
        num_left: detections that are left outside of zones, whatever their score.
        num_frames_left: frames that keep a detection under the proposal; 0 without one.
        num_alerts: frames with a detection that makes an alert now, with the zones, and with the zones and the score.
    """

    sensor_id: str
    run_id: str
    max_per_hour: float | None
    alerts: AlertSettings
    hours: SensorHours
    coverage: Coverage
    found: Found
    places: tuple[Place, ...]
    least: LeastScore | None
    rates: tuple[RateAt, ...]
    num_removed: int
    num_left: int
    num_frames_left: int
    num_alerts: tuple[int, int, int]

    @property
    def proposed(self) -> RateAt | None:
        """The least score that is promised, or else the one that was counted."""
        return None if self.least is None else self.least.promised or self.least.counted


def tune(
    rows: Rows,
    run_id: str,
    sensor_id: str,
    max_per_hour: float | None = None,
    since: datetime | None = None,
    alerts: AlertSettings | None = None,
    *,
    zones: bool = True,
    clutter_veto: float | None = None,
) -> Tuning:
    """Propose zones and a least score from what one sensor found; nothing is written.

    Args:
        rows: the results table, or what `irstream predict` wrote.
        run_id: whose rows.
        sensor_id: the sensor.
        max_per_hour: detections an hour that may stay, all taken for false alarms; None: no score is wanted.
        since: only frames captured then or later; default: all.
        alerts: filters that the sensor has; zones are proposed for what still makes alerts.
        zones: whether any are wanted.
        clutter_veto: what scores as much as clutter makes no alert (`stream.clutter_veto`).

    Raises:
        SettingsError: no such frames; names the sensors that have some.
        RetryLater: the object store does not answer.
        ValueError: a rate that is not above 0.
    """
    alerts = alerts or AlertSettings()
    hours = sensor_hours(rows, run_id, sensor_id, since)
    covered = coverage(hours.times_s_N)
    # The least score of now is no reason to leave anything out: the proposal may be a lower one.
    least_now = as_float32(alerts.min_score or 0.0)
    shown_M = _shown(hours, alerts, clutter_veto)
    alarming_M = shown_M & (hours.scores_M >= least_now)
    size_px = _usual_size(hours.sizes_N2)
    usual_M = (hours.sizes_N2[hours.frames_M] == size_px).all(axis=1)
    whole = Found(hours.times_s_N, hours.frames_M, hours.centroids_M2, hours.boxes_M4, size_px)
    found = whole.only(alarming_M & usual_M)
    places = find_places(found) if zones else ()
    outside_M = ~(usual_M & _in_any(places, hours.centroids_M2))
    left_M = shown_M & outside_M
    scores = hours.scores_M[left_M]
    least = None if max_per_hour is None else least_score(scores, covered.hours, max_per_hour)
    proposal = None if least is None else least.promised or least.counted
    kept_M = left_M & (hours.scores_M >= np.float32(proposal.score if proposal else least_now))
    alerting = (alarming_M, alarming_M & outside_M, kept_M)
    return Tuning(
        sensor_id=sensor_id,
        run_id=run_id,
        max_per_hour=max_per_hour,
        alerts=alerts,
        hours=hours,
        coverage=covered,
        found=found,
        places=places,
        least=least,
        rates=tuple(rate_at(scores, score, covered.hours) for score in sorted(_scores_to_show(scores, proposal))),
        num_removed=int(_in_any(places, found.centroids_M2).sum()),
        num_left=len(scores),
        num_frames_left=_num_frames(hours, kept_M) if proposal else 0,
        num_alerts=tuple(_num_frames(hours, each_M) for each_M in alerting),  # type: ignore[arg-type]  # three of them
    )


def _shown(hours: SensorHours, alerts: AlertSettings, clutter_veto: float | None) -> NDArray[np.bool_]:
    """Detections that the filters but that of scores do not suppress."""
    filters, shown_M = Filters(alerts.model_copy(update={"min_score": None}), clutter_veto), np.ones(len(hours.scores_M), bool)
    for size_px, of_M in _by_size(hours):
        shown_M[of_M] = [name is None for name in filters.names(hours.findings(of_M, size_px))]
    return shown_M


def _by_size(hours: SensorHours) -> Iterator[tuple[tuple[int, int], NDArray[np.bool_]]]:
    sizes_M2 = hours.sizes_N2[hours.frames_M]
    for width_px, height_px in np.unique(sizes_M2, axis=0).tolist():
        yield (width_px, height_px), (sizes_M2 == (width_px, height_px)).all(axis=1)


def _usual_size(sizes_N2: NDArray[np.int64]) -> tuple[int, int]:
    sizes, counts = np.unique(sizes_N2, axis=0, return_counts=True)
    width_px, height_px = sizes[counts.argmax()].tolist()
    return width_px, height_px


def _in_any(places: tuple[Place, ...], points_M2: NDArray[np.float64]) -> NDArray[np.bool_]:
    in_any_M = np.zeros(len(points_M2), bool)
    for place in places:
        in_any_M |= place.contains(points_M2)
    return in_any_M


def _num_frames(hours: SensorHours, chosen_M: NDArray[np.bool_]) -> int:
    return len(np.unique(hours.frames_M[chosen_M]))


def _scores_to_show(scores: NDArray[np.float32], proposal: RateAt | None) -> set[float]:
    lowest, highest = float(scores.min(initial=1.0)), float(scores.max(initial=0.0))
    shown = {
        0.0,
        *(score for score in _SHOWN_SCORES if lowest < score <= highest),
        *[score for score in _SHOWN_SCORES if score > highest][:1],
    }
    return shown | ({proposal.score} if proposal else set())
