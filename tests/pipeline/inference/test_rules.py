"""Filters of single frames: what each suppresses, under which name, and to the pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.result import Detection, label_of
from pipeline.inference.rules import Filters, SensorRules, contains, suppressed_by
from pipeline.sensor_settings import AlertSettings, SensorAlertSettings, SensorSettings, Zone
from tests.outcomes import detection, gap, letter, result

SIZE_PX = (640, 512)
L_SHAPE = [[0, 0], [100, 0], [100, 20], [20, 20], [20, 100], [0, 100]]


def name_of(filters: Filters, found: Detection | None = None, height_px: int = 512) -> str | None:
    frame = replace(result(0), detections=(found or detection(),), height_px=height_px)
    return filters.marked(frame).detections[0].suppressed_by


@pytest.mark.parametrize(
    ("zone", "inside", "outside"),
    [
        pytest.param(
            {"rectangle_px": [10, 20, 30, 40]}, [(10, 20), (30, 40), (20, 30)], [(9.9, 30), (30.1, 30), (20, 19.9), (20, 40.1)], id="px"
        ),
        pytest.param({"rectangle_fraction": [0.5, 0, 1, 0.25]}, [(320, 0), (640, 128), (500, 60)], [(319, 60), (500, 129)], id="fractions"),
        pytest.param({"polygon_px": L_SHAPE}, [(50, 10), (10, 50), (20, 60)], [(50, 50), (21, 21), (101, 10)], id="polygon with a bay"),
        pytest.param({"polygon_fraction": [[0, 0], [1, 0], [0, 1]]}, [(10, 10), (300, 250)], [(600, 400)], id="triangle"),
        pytest.param({"rectangle_px": [-50, -50, 5, 5]}, [(0, 0), (5, 5)], [(6, 0)], id="beyond the frame"),
    ],
)
def test_a_zone_is_where_its_corners_say(
    zone: dict[str, Any], inside: list[tuple[float, float]], outside: list[tuple[float, float]]
) -> None:
    for clockwise in (True, False):
        if not clockwise:
            zone = {name: points[::-1] for name, points in zone.items() if name.startswith("polygon")} or zone
        built = Zone(**zone)
        assert contains(built, np.array(inside, float), *SIZE_PX).all()
        assert not contains(built, np.array(outside, float), *SIZE_PX).any()


AROUND = {"rectangle_px": [0, 0, 10, 10]}  # the detection's centroid is (2.5, 4), its box 3 by 4 pixels, its score 0.75
FAR = {"rectangle_px": [300, 300, 400, 400]}
ONLY = {"effect": "only_here"}


@pytest.mark.parametrize(
    ("alerts", "name"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"zones": {"display": AROUND}}, "display", id="in a zone"),
        pytest.param({"zones": {"display": FAR}}, None, id="in none"),
        pytest.param({"zones": {"far": FAR, "display": AROUND, "too": AROUND}}, "display", id="the first zone names it"),
        pytest.param({"zones": {"road": FAR | ONLY}}, "outside", id="outside"),
        pytest.param({"zones": {"road": FAR | ONLY, "gate": AROUND | ONLY}}, None, id="in one of two"),
        pytest.param({"zones": {"road": AROUND | ONLY, "display": AROUND}}, "display", id="ignored within the only one"),
        pytest.param({"shown_labels": ["bird"]}, "shown_labels", id="not shown"),
        pytest.param({"shown_labels": ["bird", "drone"]}, None, id="shown"),
        pytest.param({"hidden_labels": ["drone"]}, "hidden_labels", id="hidden"),
        pytest.param({"min_size_px": 4}, None, id="as long as the least"),
        pytest.param({"min_size_px": 4.1}, "min_size_px", id="shorter"),
        pytest.param({"max_size_px": 4}, None, id="as long as the largest"),
        pytest.param({"max_size_px": 3.9}, "max_size_px", id="longer"),
        pytest.param({"min_score": 0.75}, None, id="the least score"),
        pytest.param({"min_score": 0.751}, "min_score", id="below"),
        pytest.param({"min_score": 0.9, "min_size_px": 9, "hidden_labels": ["drone"]}, "min_size_px", id="several"),
    ],
)
def test_each_filter_suppresses_by_its_name(alerts: dict[str, Any], name: str | None) -> None:
    before = replace(result(0), detections=(detection(), detection()))
    marked = Filters(AlertSettings(**alerts)).marked(before)
    assert marked == replace(before, detections=(replace(detection(), suppressed_by=name),) * 2), "all else stays"


@pytest.mark.parametrize(
    ("score", "veto", "alerts", "name"),
    [
        pytest.param(0.9, None, {}, None, id="off"),
        pytest.param(float(np.float32(0.9)), 0.9, {}, "clutter", id="as the table has it"),
        pytest.param(0.89, 0.9, {}, None, id="below"),
        pytest.param(None, 0.9, {}, None, id="a classifier without the class"),
        pytest.param(0.95, 0.9, {"hidden_labels": ["drone"]}, "clutter", id="before labels, which a track may overrule"),
        pytest.param(0.95, 0.9, {"zones": {"display": AROUND}}, "display", id="after zones"),
    ],
)
def test_what_scores_as_clutter_is_vetoed(score: float | None, veto: float | None, alerts: dict[str, Any], name: str | None) -> None:
    scores = {"drone": 0.05} | ({} if score is None else {"clutter": score})
    rules = SensorRules(0.0, AlertSettings(**alerts), {"own": SensorSettings(min_score=0.1)}, veto)
    assert [name_of(rules.filters(sensor), replace(detection(), class_scores=scores)) for sensor in ("own", "other")] == [name] * 2


def test_a_zone_may_not_be_called_as_the_veto() -> None:
    with pytest.raises(ValueError, match="clutter"):
        AlertSettings(zones={"clutter": Zone(**AROUND)})


def test_clutter_is_never_a_label() -> None:
    assert label_of({"clutter": 0.9, "bird": 0.06, "drone": 0.04}, 0.05) == ("bird", 0.06)
    assert label_of({"clutter": 0.6, "bird": 0.4}, 0.5) == ("target", None)
    assert label_of({"bird": 0.5}, 0.5) == ("bird", 0.5)
    assert label_of({"clutter": 1.0}, 0.0) == label_of({}, 0.0) == ("target", None)


def test_zones_of_fractions_follow_the_size_of_the_frame() -> None:
    filters = Filters(AlertSettings(zones={"top": Zone(rectangle_fraction=(0, 0, 1, 0.01))}))
    assert [name_of(filters, detection(), height_px) for height_px in (512, 300)] == ["top", None]


def test_a_sensor_has_what_it_names_and_all_else_from_the_common_ones() -> None:
    common = AlertSettings(min_score=0.8, zones={"display": Zone(**AROUND)}, hidden_labels=("bird",))
    sensors = {
        "own": SensorSettings(min_score=0.3, alerts=SensorAlertSettings(zones={}, min_score=0.1)),
        "more": SensorSettings(alerts=SensorAlertSettings(hidden_labels=("drone",), min_score=0.5, zones={"far": Zone(**FAR)})),
    }
    rules = SensorRules(0.2, common, sensors)
    names = {name: name_of(rules.filters(name)) for name in ("own", "more", "another")}
    assert names == {"own": None, "more": "hidden_labels", "another": "display"}
    assert [round(rules.min_score(name), 6) for name in ("own", "more")] == [0.3, 0.2]


def test_a_score_that_reads_like_the_least_one_reaches_it() -> None:
    filters = Filters(AlertSettings(min_score=0.9))
    assert name_of(filters, detection(float(np.float32(0.9)))) is None


def test_what_each_filter_suppresses_is_counted() -> None:
    two = replace(result(0), detections=(replace(detection(), suppressed_by="display"), detection()))
    assert suppressed_by([two, two, result(1), letter(2), gap(3, 9)]) == {"display": 2}


@pytest.mark.parametrize(
    ("mark", "alerts", "name"),
    [
        pytest.param("weak", {}, "weak", id="no least score"),
        pytest.param("weak", {"min_score": 0.8}, "weak", id="below it"),
        pytest.param("weak", {"min_score": 0.1}, "weak", id="nor where it is above a least score that is set"),
        pytest.param("weak", {"zones": {"display": AROUND}}, "weak", id="what is no target is none a zone keeps quiet"),
        pytest.param("double", {"min_score": 0.1}, "double", id="a double never alerts"),
        pytest.param(None, {"min_score": 0.8}, "min_score", id="a target keeps its word"),
    ],
)
def test_what_is_kept_beside_targets_makes_no_alert(mark: str | None, alerts: dict[str, Any], name: str | None) -> None:
    filters = Filters(AlertSettings(**alerts))
    assert name_of(filters, replace(detection(), suppressed_by=mark)) == name


def test_weak_ones_are_no_detections_that_filters_are_counted_by() -> None:
    marks = ("weak", "double", "display", None)
    row = replace(result(0), detections=tuple(replace(detection(), suppressed_by=mark) for mark in marks))
    assert suppressed_by([row]) == {"display": 1}
    assert [each.suppressed_by for each in row.sure] == ["display", None]
    assert len(row.shown) == 1
