"""Segmenters side by side: what is read from runs, and what is shown of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import pytest
import torch

from contracts.errors import SettingsError
from models.card import read_card
from models.cost import gmacs
from models.devices import fastest_dtype
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.report.comparison import LONG, Row, equal_rows, measure, other_rows, picture, printed_rows, read_rows
from training.report.published import PUBLISHED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "short" / "acm"
    folder.mkdir(parents=True)
    for suffix in ("safetensors", "json"):
        shutil.copy(WEIGHTS_FOLDER / f"acm.{suffix}", folder / f"weights.{suffix}")
    return folder


@pytest.fixture(scope="module")
def row(run: Path) -> Row:
    (found,) = measure([run], batches=(1, 2))
    return found


def test_a_row_is_the_card_and_the_clock(row: Row, run: Path) -> None:
    card = read_card(run / "weights.json")
    assert (row.name, row.run, row.parameters) == ("acm", "short", card.parameters)
    assert row.gmacs == pytest.approx(gmacs(load_model("acm")[0]), rel=0.001)
    assert row.scores["nudt-sirst"] == card.measured[0].values
    assert set(row.ms) == {"1", "2"}
    assert all(ms > 0 for ms in row.ms.values())
    assert row.best_batch[1] == min(row.ms.values())
    assert set(row.ms_bfloat16) == (set(row.ms) if fastest_dtype("cpu") is torch.bfloat16 else set())


def test_earlier_rows_stay_and_are_timed_again(run: Path, row: Row) -> None:
    lost = replace(row, name="alcnet", parameters=426_961, ms={"1": 1e6})
    changed = replace(row, name="kestrel", parameters=7)
    longer = replace(row, run="longer", ms={"1": 1e6})
    found = measure([run], [replace(row, steps=-1), lost, changed, longer], batches=(1,))
    assert [(each.name, each.run) for each in found] == [("alcnet", "short"), ("acm", "longer"), ("acm", "short")]
    assert [each.steps for each in found] == [row.steps] * 3
    assert all(0 < each.ms["1"] < 1e6 for each in found)
    assert found[1].ms == found[2].ms, "one network, timed once"


def test_a_folder_without_weights_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a model card"):
        measure([tmp_path])


def test_the_tables_have_ours_and_theirs(row: Row) -> None:
    scores = {"nudt-sirst": {"iou": 0.7, "niou": 0.71, "pd": 0.9, "fa_ppm": 12.4}}
    dear = replace(row, name="dnanet", recipe="ours; 9 epochs, bfloat16", gmacs=13.906, ms_bfloat16={}, scores=scores)
    longer = replace(row, run="longer", recipe="ours; 92 epochs", steps=35_700)

    head, first, second = equal_rows([dear, longer, replace(row, ms={"1": 9.0, "2": 8.04}, ms_bfloat16={"1": 4.96, "2": 5.1})])
    assert first[:6] == ("`acm`", "397,823", "0.343", "9.0", "8.0 (2)", "5.0 (1)")
    assert first[7:9] == ("52.2 / 58.0 / 92.4 / 141", "37.8 / 49.4 / 92.9 / 192")
    assert (second[5], second[6]) == ("", "bfloat16")
    assert second[7:] == ("70.0 / 71.0 / 90.0 / 12", "")
    assert len(head) == len(first) == len(second)

    ours = replace(row, name="kestrel", gmacs=0.514)
    assert list(printed_rows([dear, longer, row, ours])) == [
        ("network", "nudt-sirst", "irstd-1k"),
        ("`acm`", "64.86 (BasicIRSTD), 60.75 (SGEM U-Net's paper, of 1.54 M)", "60.33 (BasicIRSTD)"),
        ("`dnanet`", "94.19 (BasicIRSTD), 86.57 (SGEM U-Net's paper)", "65.74 (BasicIRSTD)"),
    ]

    long = replace(dear, run=LONG)
    assert [cells[0] for cells in equal_rows([row, long], LONG)] == ["network", "`dnanet`"]

    head, *others = other_rows([dear, longer, row, long])
    assert others[0] == ("`acm`", "ours; 92 epochs", "35,700", "nudt-sirst", "52.2 / 58.0 / 92.4 / 141")
    assert [cells[3] for cells in others] == list(row.scores)
    assert len(head) == len(others[0])


def test_rows_survive_the_file_and_are_drawn(row: Row, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([asdict(row)]))
    assert read_rows(file) == [row]
    picture([row, replace(row, name="kestrel"), replace(row, run="longer", ms={"1": 1e6})], tmp_path / "cost.png")
    drawn = cv2.imread(str(tmp_path / "cost.png"))
    assert drawn is not None
    blue, green, red = (drawn[:, :, channel].astype(int) for channel in range(3))
    assert ((red - blue > 100) & (red - green > 100)).any(), "ours are red"
    assert (blue - red > 100).any(), "the others are blue"


def test_published_figures_are_percent_of_known_networks() -> None:
    assert all(30 < each.iou < 100 for some in PUBLISHED.values() for each in some)
