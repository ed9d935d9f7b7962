"""The page of the suite `robust`: its figures, marks and words; no network is run."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from evaluation.calibration import calibrate
from evaluation.found import FoundMetrics
from evaluation.robust_report import _changed_table, _found_table, render_robust
from evaluation.robustness import UNTOUCHED, ChangedSet, FoundOn, RobustResult
from evaluation.segmentation import Counts

TARGET = np.array([[10, 10, 14, 14]], np.float32)


def counts(intersection_px: int, false_px: int = 0) -> Counts:
    return Counts(
        intersection_px=intersection_px,
        union_px=10,
        target_px=8,
        total_px=1000,
        false_alarm_px=false_px,
        images=1,
        targets=1,
        matched=int(intersection_px > 0),
        predictions=1,
        iou_sum=intersection_px / 10,
        iou_num=1,
    )


def found(scores: list[float], learnt: bool = False, num_frames: int = 20) -> FoundOn:
    """Each frame has a target and one detection on it; the first also has one far away, of the first score."""
    metrics = FoundMetrics()
    for number in range(num_frames):
        places = np.array([[12.0, 12.0], [60.0, 60.0]])[: 2 if number == 0 else 1]
        metrics.update(places, np.array([scores[number % len(scores)], scores[0]])[: len(places)], TARGET)
    calibration = calibrate(metrics.scores_N, metrics.hits_N)
    return FoundOn(
        dataset="vessels",
        learnt=learnt,
        curve=metrics.compute(),
        calibration=calibration,
        pd_in_use=0.5,
        false_in_use=2.25,
        calibration_in_use=calibrate(np.zeros(0), np.zeros(0, bool)),
    )


def result(name: str = "one", learnt: bool = False, num_frames: int = 20) -> RobustResult:
    changed = ChangedSet(
        dataset="made",
        learnt=learnt,
        image_ids=tuple("abcdef"),
        counts={
            UNTOUCHED: (counts(8),) * 6,
            "worse <b>": (counts(5, false_px=3),) * 6,
            "better": (counts(9),) * 6,
            "neither": (counts(7), counts(9)) * 3,
        },
    )
    return RobustResult(name=name, digest="d" * 64, threshold=0.5, changed=(changed,), found=(found([0.9, 0.8], learnt, num_frames),))


def test_changes_have_a_sign_an_interval_and_say_which_way_is_good() -> None:
    table = _changed_table(result(), 0)
    assert table["title"] == "made, one (6 images; unseen)"
    rows = {row["name"]: row["cells"] for row in table["rows"]}
    assert list(rows) == [UNTOUCHED, "worse <b>", "better", "neither"]
    assert [cell["text"] for cell in rows[UNTOUCHED]] == ["80.0", "80.0", "100.0", "0.0"]
    assert [(cell["text"], cell["kind"]) for cell in rows["worse <b>"]] == [
        ("-30.0", "worse"),
        ("-30.0", "worse"),
        ("+0.0", ""),
        ("+3000.0", "worse"),
    ]
    assert rows["worse <b>"][1]["interval"] == "-30.0 to -30.0"
    assert (rows["better"][1]["text"], rows["better"][1]["kind"]) == ("+10.0", "sure")
    assert (rows["neither"][1]["text"], rows["neither"][1]["kind"]) == ("+0.0", "")


def test_found_targets_have_their_figures_and_dashes_where_none_can_be() -> None:
    table = _found_table([result(), result("other", learnt=True)], 0)
    assert table["note"] == "20 targets in 20 frames; fewest false alarms a frame that can be measured: 0.05"
    one, other = table["rows"]
    assert one[:2] == ["one", "unseen"]
    assert other[:2] == ["other", "learnt from"]
    assert one[2:6] == ["-", "100.0", "100.0", "100.0"], "one false alarm in 20 frames is the fewest"
    assert one[6:] == [
        f"{result().found[0].calibration.ece:.3f}",
        f"{result().found[0].calibration.ece_mass:.3f}",
        "21",
        "50.0",
        "2.25",
        "-",
    ]


@pytest.mark.slow
def test_the_page_is_one_file_and_escapes_what_it_shows() -> None:
    page = render_robust([result(), result("other")], title="a <title>", lead="lead", foot="irstream evaluate")
    assert "worse &lt;b&gt;" in page
    assert "a &lt;title&gt;" in page
    assert "<b>" not in page
    sources = re.findall(r'src="([^"]{0,22})', page)
    assert sources == ["data:image/png;base64,"] * 3
    bare = render_robust([replace(result(), changed=())], title="t", lead="l")
    assert bare.count("data:image/png") == 2, "without sets that have masks nothing is changed"


def test_networks_must_be_there_and_on_the_same_images() -> None:
    with pytest.raises(ValueError, match="at least one network"):
        render_robust([], title="t", lead="l")
    with pytest.raises(ValueError, match="on the same images"):
        render_robust([result(), result("other", num_frames=19)], title="t", lead="l")


def test_json_holds_all_figures_and_no_nan() -> None:
    told = result().as_json()
    (changed,), (on,) = told["changed"], told["found"]
    assert [each["change"] for each in changed["changes"]] == ["worse <b>", "better", "neither"]
    assert changed["changes"][0]["difference"]["niou"]["value"] == pytest.approx(-0.3)
    assert changed["changes"][0]["figures"]["niou"]["value"] == pytest.approx(0.5)
    assert changed[UNTOUCHED]["niou"]["value"] == pytest.approx(0.8)
    assert [at["pd"] for at in on["at"]] == [None, 1, 1, 1]
    assert (on["frames"], on["targets"], on["detections"], on["lowest_rate"]) == (20, 20, 21, 0.05)
    assert on["in_use"]["ece"] is None
    assert sum(each["num"] for each in on["reliability"]) == 21
