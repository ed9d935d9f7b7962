"""A proposal on the terminal and for programs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from deploy.terminal.tune_view import print_tuning, tuning_json
from evaluation.false_alarms import coverage, least_score, rate_at
from evaluation.places import Found, Place
from pipeline.ops.sensor_hours import SensorHours
from pipeline.ops.tune import Tuning
from pipeline.sensor_settings import AlertSettings, Zone
from tests.deploy.terminal.screens import screen
from tests.outcomes import NOON


def tuning(
    scores: list[float],
    hours: float,
    max_per_hour: float | None,
    sensor: str = "mast-1",
    places: tuple[Place, ...] = (),
    alerts: AlertSettings | None = None,
) -> Tuning:
    """A frame a minute with one detection in each of the first ones."""
    times = NOON.timestamp() + 60.0 * np.arange(round(hours * 60), dtype=np.float64)
    values = np.array(scores, np.float32)
    num = len(scores)
    origin = ("2", f"fcos_light {'a' * 64}", f"kestrel {'c' * 64}")
    middles = np.full((num, 2), 300.0)
    found = Found(times, np.arange(num), middles, np.hstack([middles - 2, middles + 2]), (640, 512))
    labels, sizes, clutter = np.full(num, "drone", object), np.zeros((0, 2), int), np.zeros(num)
    marks = np.full(num, None, object)
    own = SensorHours(times, values, found.frames_M, origin, 0, labels, middles, found.boxes_M4, sizes, clutter, marks)
    least = None if max_per_hour is None else least_score(values, hours, max_per_hour)
    best = None if least is None else least.promised or least.counted
    rates = tuple(rate_at(values, score, hours) for score in sorted({0.0, 0.5, 0.9} | ({best.score} if best else set())))
    return Tuning(
        sensor,
        "live",
        max_per_hour,
        alerts or AlertSettings(),
        own,
        coverage(times),
        found,
        places,
        least,
        rates,
        num_removed=sum(place.num_detections for place in places),
        num_left=num,
        num_frames_left=best.num if best else 0,
        num_alerts=(num, 7, 4),
    )


PROMISED = """\
mast-1, run live: 240 frames cover 4 h, one in 60 s
captured 2026-03-01 12:00:00 to 2026-03-01 15:59:00 UTC, by fcos_light aaaaaaaa, kestrel cccccccc

score from  detections  an hour  at most (95%)
         0          40       10             13  ##############################
       0.5          10      2.5           4.24  ########
      0.76           4        1           2.29  ### <- proposed
       0.9           4        1           2.29  ###

least score 0.76: 36 of 40 detections go (90.0%), 4 stay in 4 frames;
with 95% certainty at most 2.29 an hour (2.5 wanted).
For the settings, below `args`:

  sensors:
    mast-1:
      alerts:
        min_score: 0.76

Every detection is taken for a false alarm, and one place that alarms in each frame counts in each frame (there are no tracks).
The certainty is that of false alarms that come independently of each other, in hours like these."""


def test_a_promise_is_a_table_a_score_and_lines_for_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    print_tuning(tuning([0.25] * 30 + [0.75] * 6 + [0.95] * 4, 4.0, 2.5))
    assert screen(capsys) == PROMISED


def test_too_few_hours_promise_nothing_and_say_how_many_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    print_tuning(tuning([0.25, 0.5], 0.2, 1.0))
    told = screen(capsys)
    assert "no promise: 12 min are too few for 1 an hour, even if nothing had been found in them; that takes 3 h or more." in told
    assert "What was counted here: 0 of 2 detections score 0.51 or more, which is no more than 1 an hour, and may be chance." in told
    assert "sensors:" not in told


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        pytest.param([0.5], "no least score is needed: all 1 detections may stay, with 95% certainty at most 0.474 an hour", id="rare"),
        pytest.param([1.0] * 90, "no promise: too many detections have the highest score there is for 1 an hour", id="saturated"),
    ],
)
def test_other_answers(capsys: pytest.CaptureFixture[str], scores: list[float], words: str) -> None:
    print_tuning(tuning(scores, 10.0, 1.0))
    told = screen(capsys)
    assert words in told
    assert "sensors:" not in told


@pytest.mark.parametrize("sensor", ["007", "on", "a: b", "[bold]", "Türm ☃"])
def test_the_lines_are_yaml_whatever_the_sensor_is_called(capsys: pytest.CaptureFixture[str], sensor: str) -> None:
    print_tuning(tuning([0.25] * 30, 4.0, 2.5, sensor))
    told = screen(capsys)
    assert told.startswith(f"{sensor}, run live")
    lines = [line for line in told.splitlines() if line.startswith("  ") and ":" in line]
    assert yaml.safe_load("\n".join(lines)) == {"sensors": {sensor: {"alerts": {"min_score": 0.26}}}}


PLACES = (
    Place((595, 16, 606, 24), num_frames=240, num_detections=240, num_others=0, spread_px=0.07, lasting=True),
    Place((3, 238, 36, 254), num_frames=36, num_detections=40, num_others=11, spread_px=0.24, lasting=False),
)
ZONES = """\
2 places that alarm at the same spot: as zones they remove 280 of 40 detections;
frames with an alert fall from 40 to 7, 10 to 1.75 an hour.

zone                x        y  frames  detections  others   spread
place-600-20  595-606    16-24    100%         240          0.07 px
place-19-246     3-36  238-254     15%          40      11  0.24 px

others: detections in the zone that are not at its spot; they go, too.
Look at the picture (--picture FILE) before you take them: in 4 h a target that stands still looks the same.
"""
LINES = """\
For the settings, below `args`:

  sensors:
    mast-1:
      alerts:
        zones:
          display:
            rectangle_px: [0.0, 0.0, 640.0, 20.0]
          place-600-20:
            rectangle_px: [595, 16, 606, 24]
          place-19-246:
            rectangle_px: [3, 238, 36, 254]"""


def test_places_are_a_table_and_lines_beside_the_zones_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    alerts = AlertSettings(zones={"display": Zone(rectangle_px=(0, 0, 640, 20))})
    found = tuning([0.25] * 40, 4.0, None, places=PLACES, alerts=alerts)
    print_tuning(found)
    told = screen(capsys)
    assert ZONES in told
    assert told.rstrip().endswith(LINES)
    assert [zone["name"] for zone in tuning_json(found)["zones"]] == ["place-600-20", "place-19-246"]
    print_tuning(replace(found, places=PLACES[:1]))
    assert "Look at the picture" not in screen(capsys)


def test_nothing_to_propose_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_tuning(tuning([0.25] * 40, 4.0, None))
    assert screen(capsys).endswith("no place alarms at the same spot for long; --max-false-per-hour proposes a least score")
    assert tuning_json(tuning([], 4.0, None))["settings"] is None


def test_programs_get_the_same_and_no_infinity() -> None:
    told = json.loads(json.dumps(tuning_json(tuning([0.25] * 36 + [0.95] * 4, 4.0, 2.5)), allow_nan=False))
    assert told["settings"] == {"sensors": {"mast-1": {"alerts": {"min_score": 0.26}}}}
    assert (told["frames"], told["hours"], told["detections"], told["gaps"]) == (240, pytest.approx(4), 40, 0)
    assert (told["promised"]["num"], told["promised"]["removed_share"]) == (4, 0.9)
    assert told["rates"][0] == {"score": 0.0, "num": 40, "per_hour": 10.0, "at_most": pytest.approx(13.02, abs=0.01), "removed_share": 0.0}
    one = tuning([0.5], 1 / 60, 1.0)
    alone = replace(one, least=least_score(one.hours.scores_M, 0.0, 1.0), rates=(rate_at(one.hours.scores_M, 0.0, 0.0),))
    told = json.loads(json.dumps(tuning_json(alone), allow_nan=False))
    assert (told["promised"], told["settings"], told["hours"], told["interval_s"]) == (None, None, 0, None)
