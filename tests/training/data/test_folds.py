"""Folds: alike, scenes whole, no leak, the same for a seed, refused where they cannot be trusted."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from training.data.folds import Folds, FoldSettings, folds_of_file, learnable_rows, make_folds, require_folds, require_no_leaks, table_of
from training.data.labelled_frame import LabelledFrame
from training.data.near_duplicates import SIDE_PX
from training.data.parquet_set import MANIFEST, PartWriter
from training.data.set_checks import check_sets

CLASSES = ("car", "person", "bird")


def frame(number: int, group: str, label: str | None, thumbnail: bytes) -> LabelledFrame:
    boxes = np.zeros((0, 4), np.float32) if label is None else np.array([[1, 1, 3, 3]], np.float32)
    return LabelledFrame(
        sample_id=f"frame{number:03}",
        dataset="made",
        source_file=f"{number}.png",
        licence="ours",
        image=b"",
        image_sha256=str(number),
        content_type="image/png",
        width_px=8,
        height_px=8,
        bit_depth=8,
        nodata=(),
        platform=Platform.AIR,
        band=Band.LWIR,
        group_id=group,
        split=None,
        mask_rle=None,
        boxes_xyxy_px=boxes,
        labels=() if label is None else (label,),
        boxes_drawn=True,
        thumbnail=thumbnail,
    )


def write_frames(folder: Path, frames: list[LabelledFrame], name: str = "made") -> Path:
    folder.mkdir()
    writer = PartWriter(folder)
    for each in frames:
        writer.add(each)
    writer.flush()
    (folder / MANIFEST).write_text(json.dumps({"dataset": name}))
    return folder


def made_frames(num: int = 120, a_group: int = 4) -> list[LabelledFrame]:
    """Groups of frames of one class each: half cars, a third persons, a sixth birds."""
    rng = np.random.default_rng(7)
    classes = ["car", "person", "car", "bird", "person", "car"]
    small = [rng.integers(0, 255, SIDE_PX**2, np.uint8).tobytes() for _ in range(num)]
    return [frame(number, f"scene{number // a_group}", classes[number // a_group % 6], small[number]) for number in range(num)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "set", made_frames())


@pytest.fixture
def folds(folder: Path) -> Folds:
    return make_folds([folder], FoldSettings())


def test_every_image_is_tested_once_and_each_fold_has_three_parts(folds: Folds) -> None:
    tested = Counter(name for fold in range(5) for name in folds.names(fold, "test"))
    assert set(tested.values()) == {1}
    assert len(tested) == 120
    for fold in range(5):
        train, validation, test = (folds.names(fold, part) for part in ("train", "validation", "test"))
        assert len(train) + len(validation) + len(test) == 120
        assert len(test) == 24
        assert 8 <= len(validation) <= 20


def test_scenes_are_whole_and_classes_even(folder: Path, folds: Folds) -> None:
    parts: dict[tuple[int, str], set[str]] = defaultdict(set)
    classes: dict[int, Counter[str]] = defaultdict(Counter)
    for row in learnable_rows([folder]):
        for fold in range(5):
            parts[fold, row["group_id"]].add(folds.part_of(fold, row["sample_id"]))
        classes[folds.test[row["sample_id"]]][row["labels"][0]] += 1
    assert {len(each) for each in parts.values()} == {1}
    assert {tuple(classes[fold][name] for name in CLASSES) for fold in range(5)} == {(12, 8, 4)}
    assert table_of(folds, learnable_rows([folder]))[0]["test_targets"] == 24


def test_frames_that_are_nearly_the_same_stay_together_whatever_their_scene(tmp_path: Path) -> None:
    frames = made_frames(60, 1)
    twins = [replace(each, sample_id=f"twin{n}", group_id=f"other{n}", image_sha256=f"t{n}") for n, each in enumerate(frames[:20])]
    folder = write_frames(tmp_path / "set", [*frames, *twins])
    folds = make_folds([folder], FoldSettings())
    for number in range(20):
        assert all(folds.part_of(fold, f"twin{number}") == folds.part_of(fold, f"frame{number:03}") for fold in range(5))
    loose = make_folds([folder], FoldSettings(allow_leaks=True))
    apart = sum(loose.test[f"twin{number}"] != loose.test[f"frame{number:03}"] for number in range(20))
    parts = {name: f"fold {fold}" for name, fold in loose.test.items()}
    assert [each.kind for each in check_sets([folder], parts=parts)] == ["leak"] * apart
    assert apart > 5
    with pytest.raises(SettingsError, match=r"leaks between folds.*no frame of a fold's training"):
        require_folds(replace(loose, settings=FoldSettings()), [folder], tmp_path / "folds.json")


def test_leaks_of_a_camera_that_never_moves_cost_memory_by_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.near_duplicates._BLOCK", 64)
    rows = [{"sample_id": f"f{number:04}", "thumbnail": bytes(range(256)) * 4} for number in range(1200)]
    test = {str(row["sample_id"]): number % 5 for number, row in enumerate(rows)}
    folds = Folds(settings=FoldSettings(), data="", test=test, validation=(frozenset(),) * 5)
    tracemalloc.start()
    with pytest.raises(SettingsError, match="got 230400 pairs, such as f0000 and f0001 in fold 0"):
        require_no_leaks(folds, rows)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 30 * 2**20


def test_a_seed_makes_the_same_folds_in_any_order_and_another_others(tmp_path: Path, folder: Path, folds: Folds) -> None:
    assert make_folds([folder], FoldSettings()).digest == folds.digest
    assert make_folds([folder], FoldSettings(seed=1)).test != folds.test
    other_order = write_frames(tmp_path / "turned", made_frames()[::-1])
    assert make_folds([other_order], FoldSettings()).digest == folds.digest


def test_the_file_keeps_them_and_a_change_is_seen(tmp_path: Path, folder: Path, folds: Folds) -> None:
    path = tmp_path / "folds.json"
    path.write_text(folds.text())
    assert folds_of_file(path) == folds
    require_folds(folds_of_file(path), [folder], path)
    content = json.loads(path.read_text())
    content["test"]["frame000"] = (content["test"]["frame000"] + 1) % 5
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match="the file was changed"):
        folds_of_file(path)


def test_folds_of_other_data_are_refused(tmp_path: Path, folds: Folds) -> None:
    changed = write_frames(tmp_path / "changed", [replace(each, labels=("bird",)) for each in made_frames()])
    with pytest.raises(SettingsError, match="folds of others"):
        require_folds(folds, [changed], tmp_path / "folds.json")


def test_a_single_split_tests_on_a_fifth(folder: Path) -> None:
    folds = make_folds([folder], FoldSettings(num=1))
    assert (folds.num, len(folds.names(0, "test"))) == (1, 24)
    assert len(folds.names(0, "train")) + len(folds.names(0, "validation")) == 96


def test_target_counts_are_even_where_nobody_knows_classes(tmp_path: Path) -> None:
    frames = [replace(each, labels=("target",) * len(each.labels)) for each in made_frames(100, 1)]
    empty = [replace(each, labels=(), boxes_xyxy_px=np.zeros((0, 4), np.float32)) for each in frames[:40]]
    folder = write_frames(tmp_path / "set", [*empty, *frames[40:]])
    folds = make_folds([folder], FoldSettings(stratify="targets"))
    bare = {each.sample_id for each in empty}
    assert [len(bare & set(folds.names(fold, "test"))) for fold in range(5)] == [8] * 5


@pytest.mark.parametrize(
    ("frames", "name", "match"),
    [
        (made_frames(12, 4), "made", "at least 5 groups.*got 3 in 12 frames"),
        (made_frames(30, 1), "mar-dct-ir", "no training may see it"),
        ([*made_frames(30, 1), made_frames(1)[0]], "made", "one image of a name"),
    ],
)
def test_sets_that_cannot_be_folded_are_refused(frames: list[LabelledFrame], name: str, match: str, tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "set", frames, name)
    with pytest.raises(SettingsError, match=match):
        make_folds([folder], FoldSettings())


def test_a_name_in_two_folders_is_refused_even_where_no_fold_would_take_one_of_them(tmp_path: Path) -> None:
    frames = made_frames(30, 1)
    first = write_frames(tmp_path / "first", frames)
    second = write_frames(tmp_path / "second", [replace(frames[3], split="unseen")])
    with pytest.raises(SettingsError, match=r"one image of a name.*1 names with several, first frame003"):
        make_folds([first, second], FoldSettings())


def test_unseen_images_are_in_no_fold(tmp_path: Path) -> None:
    frames = made_frames(60, 1)
    folder = write_frames(tmp_path / "set", [replace(frames[0], split="unseen"), *frames[1:]])
    assert "frame000" not in make_folds([folder], FoldSettings()).test


@pytest.mark.parametrize("wrong", [{"num": 0}, {"validation": 0.0}, {"validation": 1.0}, {"stratify": "colour"}])
def test_settings_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="expected"):
        FoldSettings(**wrong)  # type: ignore[arg-type]
