"""The report's figures, marks and words, and what its results say of themselves; no network is run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.curves import CurveMetrics
from evaluation.plots import threshold_curves
from evaluation.report import _difference_row, _figure_rows, _strata, render_report
from evaluation.results import Cost, ImageRow, ModelResult, plain, rows_table
from evaluation.segmentation import PROTOCOLS, Counts
from evaluation.targets import TargetRecord

COST = Cost(parameters=1_234_567, gmacs=1.5, input_px=256, latency_ms=12.34, best_ms=11.0, device="cpu")


def target(area_px: int, scr: float, found: bool, iou: float) -> TargetRecord:
    return TargetRecord(area_px, scr, 1.0, 2.0, found, 0.5 if found else math.nan, iou)


def row(number: int, intersection_px: int, targets: tuple[TargetRecord, ...]) -> ImageRow:
    matched = sum(each.found for each in targets)
    counts = Counts(
        intersection_px=intersection_px,
        union_px=10,
        target_px=8,
        total_px=1000,
        false_alarm_px=2 - matched,
        images=1,
        targets=len(targets),
        matched=matched,
        predictions=len(targets),
        iou_sum=intersection_px / 10,
        iou_num=1,
    )
    return ImageRow(f"image-{number}", counts, targets)


def result(name: str, intersection_px: int = 6, found: bool = True, num_images: int = 12) -> ModelResult:
    targets = (target(5, 2.0, found, 0.6), target(2000, math.inf, True, 0.8))
    curves = CurveMetrics()
    curves.update(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), np.arange(64).reshape(8, 8) > 40)
    rows = tuple(row(number, intersection_px, targets) for number in range(num_images))
    made = ModelResult(
        name=name, digest="d" * 64, threshold=0.5, protocol=PROTOCOLS["default"], cost=COST, rows=rows, curves=curves.compute(), sweep=()
    )
    scores = made.scores
    return ModelResult(**{field: getattr(made, field) for field in ModelResult.__dataclass_fields__} | {"sweep": ((0.25, scores),)})


def test_each_row_has_its_figures_and_the_best_are_marked() -> None:
    better, worse = _figure_rows([result("better"), result("worse", intersection_px=4, found=False)])
    assert [cell["text"] for cell in better["cells"]] == [
        "60.00",
        "60.00",
        "100.00",
        "0.0",
        "75.00",
        f"{100 * 6 / 8:.2f}",
        "75.00",
        "0.5",
        "1,234,567",
        "1.500",
        "12.3",
    ]
    assert [cell["text"] for cell in worse["cells"][:4]] == ["40.00", "40.00", "50.00", "1000.0"]
    assert [cell["best"] for cell in better["cells"]] == [True] * 4 + [False] * 7, "fewer false alarms are better"
    assert not any(cell["best"] for cell in worse["cells"])
    assert better["cells"][2]["interval"] == "100.00 to 100.00"
    (alone,) = _figure_rows([result("alone")])
    assert not any(cell["best"] for cell in alone["cells"]), "the best of one is no news"


def test_differences_have_a_sign_and_say_which_way_is_good() -> None:
    better, worse = result("better"), result("worse", intersection_px=4, found=False)
    up, down = _difference_row(worse, better), _difference_row(better, worse)
    assert (up["name"], down["name"]) == ("better - worse", "worse - better")
    assert [cell["text"] for cell in up["cells"]] == ["+20.00", "+20.00", "+50.00", "-1000.0"]
    assert [cell["kind"] for cell in up["cells"]] == ["sure"] * 4
    assert [cell["kind"] for cell in down["cells"]] == ["worse"] * 4
    same = _difference_row(better, better)
    assert [cell["kind"] for cell in same["cells"]] == [""] * 4


def test_tables_by_size_and_contrast_name_their_ranges() -> None:
    table = _strata([result("a"), result("b", found=False)], "sizes")
    assert (table["title"], table["first"], table["names"]) == ("Targets by area", "area, px", ["a", "b"])
    first, *_, last = table["rows"]
    assert first[0].startswith("up to ")
    assert first[1:] == ["12", "100.0", "60.0", "0.0", "60.0"]
    assert last[0].startswith("above ")
    assert last[1:] == ["12", "100.0", "80.0", "100.0", "80.0"]
    assert [row[0].split(" to ")[0] for row in table["rows"][1:-1]] == [row[0].split(" to ")[-1].split()[-1] for row in table["rows"][:-2]]
    contrasts = _strata([result("a")], "contrasts")
    assert (contrasts["title"], contrasts["first"]) == ("Targets by signal-to-clutter ratio", "SCR")
    assert sum(int(row[1]) for row in contrasts["rows"]) == 24
    empty = next(row for row in contrasts["rows"] if row[1] == "0")
    assert empty[2:] == ["-", "-"], "no figure of no target"


@pytest.mark.parametrize("highest_ppm", [3.0, 40.0, 2500.0])
def test_the_axis_of_false_alarms_has_numbers_to_read(highest_ppm: float) -> None:
    made = result("a")
    ((_, scores),) = made.sweep
    sweep = tuple((part, replace(scores, fa=part * highest_ppm * 1e-6)) for part in (0.4, 0.7, 1.0))
    _, free = threshold_curves([replace(made, sweep=sweep)]).axes
    low, high = free.get_xlim()
    assert len([tick for tick in free.get_xticks() if low <= tick <= high]) >= 3


def test_what_json_cannot_hold_becomes_none() -> None:
    told = result("a").as_json()
    assert (told["name"], told["threshold"], told["scores"]["iou"], told["scores"]["pd"]) == ("a", 0.5, 0.6, 1.0)
    assert told["scores"]["fa_ppm"] == 0.0
    assert told["thresholds"] == [{"threshold": 0.25} | plain(result("a").scores)]
    assert told["intervals"]["iou"]["value"] == pytest.approx(0.6)
    assert 0 < told["auc"] <= 1
    assert [each["targets"] for each in told["by_size_px"]] == [12, 0, 0, 0, 12]
    assert [each["targets"] for each in told["by_contrast"]] == [0, 12, 0, 0, 12]
    assert plain(target(1, math.nan, False, 0.0))["scr"] is None
    assert plain(target(1, math.inf, False, 0.0))["scr"] is None


def test_rows_hold_images_counts_and_targets() -> None:
    nothing = ImageRow("empty", Counts(images=1, total_px=1000), ())
    assert math.isnan(nothing.iou)
    one = result("a", num_images=2)
    parts: dict[str, Any] = {field: getattr(one, field) for field in ModelResult.__dataclass_fields__}
    rows = rows_table([ModelResult(**parts | {"rows": (*one.rows, nothing)})]).to_pylist()
    assert [(each["model"], each["image_id"], each["iou"]) for each in rows] == [
        ("a", "image-0", 0.6),
        ("a", "image-1", 0.6),
        ("a", "empty", None),
    ]
    assert [each["intersection_px"] for each in rows] == [6, 6, 0]
    assert [len(each["target_list"]) for each in rows] == [2, 2, 0]
    assert rows[0]["target_list"][1]["scr"] is None


def test_networks_must_be_there_and_on_the_same_images() -> None:
    with pytest.raises(ValueError, match="at least one network"):
        render_report([], title="t", lead="l")
    with pytest.raises(ValueError, match="on the same images"):
        render_report([result("a"), result("b", num_images=11)], title="t", lead="l")
