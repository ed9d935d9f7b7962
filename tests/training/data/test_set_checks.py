"""Checks of data sets in Parquet."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deploy.cli.main import main
from tests.training.data.written_sets import scenes, write_index
from training.data.importing import import_set
from training.data.labelled_frame import encode_rle
from training.data.near_duplicates import Clusters, near_pairs, thumbnail_of
from training.data.parquet_set import read_table
from training.data.reading import Defaults
from training.data.set_checks import check_leaks, check_rows, check_sets

DEFAULTS = Defaults(dataset="made", licence="ours")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_index(tmp_path / "set")
    import_set("index", tmp_path / "set", tmp_path / "out", DEFAULTS)
    return tmp_path / "out"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(folder).to_pylist()
    return rows


def test_a_good_set_has_no_findings(folder: Path) -> None:
    assert check_sets([folder]) == []


def test_a_test_frame_that_training_saw_is_a_leak_however_bright(tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    seen = scenes()[0].pixels_HW
    noise = np.random.default_rng(0).integers(0, 60, seen.shape).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "set" / "images" / "cam2_004.png"), (seen // 2 + noise).astype(np.uint16))
    import_set("index", tmp_path / "set", tmp_path / "out", DEFAULTS)
    findings = check_sets([tmp_path / "out"])
    assert [(each.kind, each.serious) for each in findings] == [("leak", True)]
    assert {findings[0].sample_id, findings[0].detail.split("got ")[1].split(" ")[0]} == {"cam0_000", "cam2_004"}


@pytest.mark.parametrize(
    ("change", "kind", "serious"),
    [
        ({"labels": ["submarine"]}, "class_unknown", True),
        ({"boxes": [{"x_min_px": 50.0, "y_min_px": 1.0, "x_max_px": 60.0, "y_max_px": 5.0}]}, "box_outside", True),
        ({"boxes": [{"x_min_px": 30.0, "y_min_px": 1.0, "x_max_px": 45.0, "y_max_px": 5.0}]}, "box_outside", False),
        ({"boxes": [{"x_min_px": 9.0, "y_min_px": 1.0, "x_max_px": 9.0, "y_max_px": 5.0}]}, "box_outside", True),
        ({"mask_rle": encode_rle(np.zeros((32, 40), np.uint8))}, "mask_empty", True),
        ({"sample_id": "cam1_003"}, "id_twice", True),
    ],
)
def test_a_row_that_is_wrong_is_found(change: dict[str, Any], kind: str, serious: bool, folder: Path) -> None:
    rows = sorted(rows_of(folder), key=lambda row: str(row["sample_id"]))
    changed = [rows[0] | change, *rows[1:]]
    assert [(each.kind, each.serious) for each in check_rows(changed, ("car", "person"))] == [(kind, serious)]


def test_the_command_says_no_with_exit_code_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "check", str(folder), "--class", "car", "--json"])
    assert ended.value.code == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["serious"] == 3
    assert {each["kind"] for each in answer["findings"]} == {"class_unknown"}


def test_near_pairs_are_those_of_a_plain_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.near_duplicates._BLOCK", 3)
    rng = np.random.default_rng(2)
    frames = [rng.normal(0, 1, (40, 50)).astype(np.float32) for _ in range(7)]
    frames += [frames[2] * 3 + 100, frames[5] + rng.normal(0, 0.05, (40, 50)).astype(np.float32), np.full((40, 50), 7.0, np.float32)]
    thumbnails = [thumbnail_of(each) for each in [*frames, frames[-1]]]
    pixels = [np.frombuffer(each, np.uint8).astype(float) for each in thumbnails]
    plain = {
        (i, j)
        for i in range(11)
        for j in range(i + 1, 11)
        if pixels[i].std() and pixels[j].std() and np.corrcoef(pixels[i], pixels[j])[0, 1] >= 0.98
    }
    found = [pair for pairs in near_pairs(thumbnails) for pair in zip(pairs.first_M.tolist(), pairs.second_M.tolist(), strict=True)]
    assert sorted(found) == sorted(plain) == [(2, 7), (5, 8)]


def test_clusters_join_chains() -> None:
    clusters = Clusters(6)
    clusters.join(np.array([0, 4]), np.array([1, 5]))
    clusters.join(np.array([2]), np.array([1]))
    assert clusters.of_N.tolist() == [0, 0, 0, 3, 4, 4]


def test_a_camera_that_never_moves_costs_memory_by_frames_not_by_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.near_duplicates._BLOCK", 64)
    num = 1200  # 720,000 pairs, half of them leaks
    names, thumbnails = [f"f{number}" for number in range(num)], [bytes(range(256)) * 4] * num
    parts = ["train" if number % 2 else "test" for number in range(num)]
    tracemalloc.start()
    findings = list(check_leaks(names, parts, thumbnails))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [each.sample_id for each in findings] == names[:-1]
    assert findings[0].detail == "expected no frame of test in train, got f1 (1.000 alike) and 599 others"
    assert peak_bytes < 30 * 2**20
