"""Import of labelled sets: the same frames and labels whatever format they came in; nothing lost, nothing twice, refusals with reasons."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from contracts.dataset_index import IndexEntry
from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from contracts.image_files import read_counts
from tests.training.data.written_sets import WRITERS, Scene, scenes, write_index
from training.data.importing import ImportReport, import_set
from training.data.labelled_frame import sample_of_row
from training.data.parquet_set import data_hash, iterate_rows, parts_of, read_table, require_parquet_set
from training.data.reading import Defaults
from training.data.samples import Sample
from training.data.sources.annotation import split_of_name
from training.data.sources.index import scene_of

DEFAULTS = Defaults(dataset="made", licence="ours")
MASKED, CLASSED = {"index", "coco", "masks", "wideirstd"}, {"index", "coco", "voc", "yolo", "folders"}


def imported(root: Path, out: Path, kind: str = "index") -> ImportReport:
    return import_set(kind, root, out, DEFAULTS)


def by_scene(out: Path) -> dict[str, tuple[dict[str, object], Sample]]:
    return {row["source_file"].split("/")[-1].removesuffix(".png"): (row, sample_of_row(row)) for row in iterate_rows(out)}


def require_as_drawn(scene: Scene, row: dict[str, object], sample: Sample, kind: str, root: Path) -> None:
    assert row["image"] == (root / str(row["source_file"])).read_bytes()
    np.testing.assert_array_equal(sample.pixels_HW, scene.pixels_HW)
    assert row["split"] == scene.split
    x, y, width, height = scene.box_xywh
    if kind == "folders":
        assert sample.boxes_xyxy_px.tolist() == [[0, 0, 40, 32]]
    else:
        np.testing.assert_allclose(sample.boxes_xyxy_px, [[x, y, x + width, y + height]], atol=1e-4)
    assert sample.labels == ((scene.label,) if kind in CLASSED else ("target",))
    assert sample.has_mask == (kind in MASKED)
    if kind in MASKED:
        np.testing.assert_array_equal(sample.mask_HW * 255, scene.mask_HW)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_set_comes_out_as_it_was_drawn(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path / "set")
    found = imported(tmp_path / "set", tmp_path / "out", kind)
    assert (found.frames, found.new, dict(found.refused)) == (6, 6, {})
    rows = by_scene(tmp_path / "out")
    assert len(rows) == 6
    for scene in scenes():
        require_as_drawn(scene, *rows[scene.name], kind, tmp_path / "set")


def test_cameras_groups_and_bits_are_kept_and_defaults_fill_gaps(tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    imported(tmp_path / "set", tmp_path / "out")
    row, sample = by_scene(tmp_path / "out")["cam1_002"]
    assert (sample.platform, sample.band, sample.bit_depth, row["group_id"]) == (Platform.AIR, Band.LWIR, 14, "cam1")
    WRITERS["wideirstd"](tmp_path / "wide")
    imported(tmp_path / "wide", tmp_path / "wide_out", "wideirstd")
    assert {(row["platform"], row["band"], row["group_id"] == name) for name, (row, _) in by_scene(tmp_path / "wide_out").items()} == {
        ("space", "nir", True)
    }


def test_a_split_may_be_kept_from_all_training(tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    splits = {scene.split for scene in scenes()}
    kept = Defaults(dataset="made", licence="ours", unseen=("test",), group=re.compile(r"cam\d_\d+"))
    alone = import_set("index", tmp_path / "set", tmp_path / "out", kept)
    now = {row["sample_id"]: row["split"] for row in iterate_rows(tmp_path / "out")}
    assert "test" in splits
    assert set(now.values()) == splits - {"test"} | {"unseen"}
    whole = import_set("index", tmp_path / "set", tmp_path / "scenes", replace(kept, group=re.compile("cam")))
    assert {row["split"] for row in iterate_rows(tmp_path / "scenes")} == {"unseen"}
    assert (alone.unseen_by_scene, whole.unseen_by_scene) == (0, sum(split != "unseen" for split in now.values()))


def test_clips_of_one_place_are_one_scene() -> None:
    entry = IndexEntry.model_validate({"id": "a", "file": "a.png", "clip": "IR_AIRPLANE_053.mp4"})
    assert scene_of(entry, "drone-ir", {}) == "IR_AIRPLANE_052.mp4"
    assert scene_of(entry, None, {}) == "IR_AIRPLANE_053.mp4"


def test_the_same_call_goes_on_and_takes_what_was_mended(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_index(root)
    whole = (root / "images" / "cam0_000.png").read_bytes()
    (root / "images" / "cam0_000.png").write_bytes(whole[:200])
    (root / "masks" / "cam2_004.png").unlink()
    cv2.imwrite(str(root / "masks" / "cam0_001.png"), np.zeros((32, 40), np.uint8))
    first = imported(root, out)
    assert (first.frames, dict(first.refused)) == (3, {"corrupt_image": 1, "mask_invalid": 1, "mask_empty": 1})
    named = {line["sample_id"]: line["reason"] for line in map(json.loads, (out / "refused.jsonl").read_text().splitlines())}
    assert named == {"cam0_000": "corrupt_image", "cam2_004": "mask_invalid", "cam0_001": "mask_empty"}
    (root / "images" / "cam0_000.png").write_bytes(whole)
    second = imported(root, out)
    assert (second.frames, second.new) == (4, 1)
    assert sorted(read_table(out, ["sample_id"])["sample_id"].to_pylist()) == ["cam0_000", "cam1_002", "cam1_003", "cam2_005"]


def test_an_import_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    write_index(root)
    whole = imported(root, tmp_path / "whole")
    monkeypatch.setattr("training.data.parquet_set._PART_ROWS", 2)

    def dies(done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_set("index", root, tmp_path / "killed", DEFAULTS, report=dies)
    assert len(parts_of(tmp_path / "killed")) == 2
    with pytest.raises(SettingsError, match="an import that has not ended"):
        require_parquet_set(tmp_path / "killed")
    again = imported(root, tmp_path / "killed")
    assert (again.frames, again.new, again.content_hash) == (6, 2, whole.content_hash)
    assert data_hash([tmp_path / "killed"]) == whole.content_hash


def test_another_set_is_not_mixed_into_a_folder(tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    imported(tmp_path / "set", tmp_path / "out")
    WRITERS["voc"](tmp_path / "voc")
    with pytest.raises(SettingsError, match="format index"):
        imported(tmp_path / "voc", tmp_path / "out", "voc")
    with pytest.raises(SettingsError, match="an empty folder"):
        imported(tmp_path / "voc", tmp_path / "set", "voc")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"boxes": [[100, 4, 6, 4]]}, "box_outside"),
        ({"file": "../elsewhere.png"}, "annotation_invalid"),
        ({"file": "images/none.png"}, "image_missing"),
        ({"labels": ["car", "car"]}, "annotation_invalid"),
        ({"id": "cam1_003"}, "duplicate_id"),
        ({"bit_depth": 8}, "bit_depth_contradiction"),
    ],
)
def test_a_wrong_line_is_refused_by_its_reason_and_the_others_go_on(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    index = tmp_path / "set" / "index.jsonl"
    first, *others = index.read_text().splitlines()
    index.write_text("\n".join([json.dumps(json.loads(first) | change), *others]) + "\n")
    found = imported(tmp_path / "set", tmp_path / "out")
    assert (found.frames, dict(found.refused)) == (5, {reason: 1})


@pytest.mark.parametrize(("kind", "reason"), [("coco", "class_unknown"), ("voc", "annotation_invalid"), ("yolo", "class_unknown")])
def test_wrong_labels_of_other_formats_are_refused(kind: str, reason: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    WRITERS[kind](root)
    if kind == "coco":
        path = root / "instances_val.json"
        path.write_text(path.read_text().replace('"category_id": 7', '"category_id": 99'))
    elif kind == "voc":
        path = root / "Annotations" / "cam0_000.xml"
        path.write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + path.read_text())
    else:
        (root / "labels" / "train" / "cam0_000.txt").write_text("9 0.5 0.5 0.1 0.1\n")
    found = imported(root, tmp_path / "out", kind)
    assert (found.frames, dict(found.refused)) == (5, {reason: 1})


def test_the_known_sets_come_with_their_scenes(tmp_path: Path, shared_data: Path) -> None:
    lines = (shared_data / "hit-uav" / "index.jsonl").read_text().splitlines()[:3]
    (tmp_path / "set" / "images").mkdir(parents=True)
    for line in map(json.loads, lines):
        (tmp_path / "set" / line["file"]).write_bytes((shared_data / "hit-uav" / line["file"]).read_bytes())
    (tmp_path / "set" / "index.jsonl").write_text("\n".join(lines))
    import_set("hituav", tmp_path / "set", tmp_path / "out", Defaults(dataset="hit-uav", licence="CC BY 4.0"))
    rows = by_scene(tmp_path / "out")
    row, sample = next(iter(rows.values()))
    assert row["group_id"] == "_".join(str(row["sample_id"]).split("_")[:4])
    assert set(sample.labels) <= {"person", "car", "bicycle", "other_vehicle", "ignore"}
    np.testing.assert_array_equal(sample.pixels_HW, read_counts(shared_data / "hit-uav" / str(row["source_file"])))


def test_polygons_of_yolo_are_masks(tmp_path: Path) -> None:
    root = tmp_path / "set"
    WRITERS["yolo"](root)
    for scene in scenes():
        x, y, w, h = scene.box_xywh
        corners = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        shares = " ".join(f"{across / 40} {down / 32}" for across, down in corners)
        (root / "labels" / scene.split / f"{scene.name}.txt").write_text(f"0 {shares}\n")
    found = imported(root, tmp_path / "out", "yolo")
    assert (found.frames, dict(found.refused)) == (6, {})
    for name, (_, sample) in by_scene(tmp_path / "out").items():
        (scene,) = (each for each in scenes() if each.name == name)
        np.testing.assert_array_equal(sample.mask_HW * 255, scene.mask_HW)


def test_a_crowd_is_no_target_and_odd_values_concern_their_image_only(tmp_path: Path) -> None:
    root = tmp_path / "set"
    WRITERS["coco"](root)
    file = root / "instances_train.json"
    content = json.loads(file.read_text())
    crowd = {"image_id": 0, "category_id": 7, "bbox": [0, 0, 40, 2], "iscrowd": 1, "segmentation": [[0, 0, 40, 0, 40, 2, 0, 2]]}
    content["annotations"].append(crowd)
    content["images"][1]["bit_depth"] = "14"
    file.write_text(json.dumps(content))
    found = imported(root, tmp_path / "out", "coco")
    assert (found.frames, dict(found.refused)) == (5, {"annotation_invalid": 1})
    scene = scenes()[0]
    _, sample = by_scene(tmp_path / "out")[scene.name]
    np.testing.assert_array_equal(sample.mask_HW * 255, scene.mask_HW)
    assert sample.unknown_HW[0].all(), "nobody knows which pixels of a crowd are targets"


def write_exported(root: Path, folders: dict[str, tuple[str, ...]]) -> None:
    """COCO as annotation tools export it: a JSON of one name in the folder of each split, images in folders of sequences."""
    for number, (folder, names) in enumerate(folders.items()):
        for at, name in enumerate(names):
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((32, 40), 50 * number + 10 * at, np.uint8))
        images = [{"id": at, "file_name": name} for at, name in enumerate(names)]
        (root / folder / "_annotations.coco.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))


def test_sequences_of_coco_keep_their_folders_and_a_folder_says_the_split(tmp_path: Path) -> None:
    names = ("seq1/0001.png", "seq2/0001.png")
    write_exported(tmp_path / "set", {"train": names, "valid": names, "latest": names})
    found = imported(tmp_path / "set", tmp_path / "out", "coco")
    assert (found.frames, dict(found.refused)) == (6, {})
    rows = {row["sample_id"]: row["split"] for row in read_table(tmp_path / "out", ["sample_id", "split"]).to_pylist()}
    splits = {"train": "train", "valid": "val", "latest": None}
    assert rows == {f"{folder}/_annotations.coco/seq{n}/0001": split for folder, split in splits.items() for n in (1, 2)}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("instances_val2017", "val"), ("train2017", "train"), ("Test", "test"), ("validation_set", "val"), ("training", "train")),
        *(("trainval", "trainval"), ("latest", None), ("contrast", None), ("interval", None), ("trainvaltest", None), ("strain", None)),
    ],
)
def test_a_name_says_its_split_by_a_word_of_its_own(name: str, split: str | None) -> None:
    assert split_of_name(name) == split
