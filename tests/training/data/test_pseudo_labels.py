"""Labels from detections and corrections; data sets as COCO and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import SettingsError
from contracts.position import KafkaPosition
from tests.training.data.written_sets import WRITERS
from training.data.coco_export import export_coco
from training.data.importing import import_set
from training.data.labelled_frame import decode_rle, encode_rle
from training.data.parquet_set import iterate_rows
from training.data.pseudo_labels import LabelRule, Verdict, Verdicts, pseudo_labels, read_verdicts
from training.data.reading import Defaults

RULE, SHAPE = LabelRule(0.9, 0.3), (20, 30)


def detection(x: int, score: float, label: str = "car", masked: bool = True) -> dict[str, Any]:
    mask_HW = np.zeros(SHAPE, np.uint8)
    mask_HW[2:5, x : x + 4] = 1
    box = {"x_min_px": x, "y_min_px": 2, "x_max_px": x + 4, "y_max_px": 5}
    return {"label": label, "score": score, "mask_rle": encode_rle(mask_HW) if masked else None, **box}


def test_the_sure_are_targets_the_unsure_are_ignored_the_rest_is_background() -> None:
    found = pseudo_labels([detection(0, 0.95), detection(8, 0.5), detection(16, 0.1), detection(24, 0.9, "bird")], SHAPE, RULE)
    assert found is not None
    assert found.labels == ("car", "ignore", "bird")
    assert found.boxes_xyxy_px[:, 0].tolist() == [0, 8, 24]
    mask_HW = decode_rle(str(found.mask_rle), SHAPE)
    assert [bool(mask_HW[3, x]) for x in (1, 9, 17, 25)] == [True, False, False, True]
    hidden = [detection(0, 0.95) | {"suppressed_by": "zones"}, detection(8, 0.95) | {"suppressed_by": None}]
    filtered, seen = pseudo_labels(hidden, SHAPE, RULE), pseudo_labels(hidden, SHAPE, RULE, {0: Verdict("accept")})
    assert filtered is not None
    assert seen is not None
    assert (filtered.labels, seen.labels) == (("ignore", "car"), ("car", "car")), "a filter's word is no truth, a person's is"
    boxes_only = pseudo_labels([detection(0, 0.95), detection(8, 0.95, masked=False)], SHAPE, RULE)
    assert boxes_only is not None
    assert boxes_only.mask_rle is None, "a mask that lacks a target would teach that it is none"


@pytest.mark.parametrize(
    ("verdicts", "labels"),
    [
        ({0: Verdict("reject")}, ("ignore",)),
        ({1: Verdict("accept")}, ("car", "car")),
        ({1: Verdict("relabel", "bird")}, ("car", "bird")),
        ({None: Verdict("accept")}, ("car", "car", "car")),
        ({None: Verdict("accept"), 2: Verdict("reject")}, ("car", "car")),
        ({None: Verdict("reject")}, None),
    ],
)
def test_people_count_before_scores(verdicts: Verdicts, labels: tuple[str, ...] | None) -> None:
    found = pseudo_labels([detection(0, 0.95), detection(8, 0.5), detection(16, 0.1)], SHAPE, RULE, verdicts)
    assert (None if found is None else found.labels) == labels


def test_what_a_row_keeps_beside_its_targets_is_accepted_one_by_one_only() -> None:
    beside = [detection(x, 0.95) | {"suppressed_by": mark} for x, mark in ((0, None), (8, "weak"), (16, "double"))]
    whole: dict[int | None, Verdict] = {None: Verdict("accept")}
    of_frame, of_each = pseudo_labels(beside, SHAPE, RULE, whole), pseudo_labels(beside, SHAPE, RULE, {**whole, 1: Verdict("accept")})
    assert of_frame is not None
    assert of_each is not None
    assert (of_frame.labels, of_each.labels) == (("car", "ignore"), ("car", "car"))


def test_corrections_are_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("position,detection,verdict,label\nframes/0/17,1,relabel,bird\nframes/0/17,,accept,\n")
    assert read_verdicts(path) == {KafkaPosition("frames", 0, 17): {1: Verdict("relabel", "bird"), None: Verdict("accept")}}
    for line in ("frames/0,1,accept,", "frames/0/17,1,maybe,", "frames/0/17,1,relabel,", "frames/0/17,x,accept,"):
        path.write_text(f"position,detection,verdict,label\n{line}\n")
        with pytest.raises(SettingsError, match=r"c\.csv:2"):
            read_verdicts(path)
    path.write_text("offset\n3\n")
    with pytest.raises(SettingsError, match="columns position"):
        read_verdicts(path)


def test_a_set_goes_to_coco_and_comes_back(tmp_path: Path) -> None:
    WRITERS["index"](tmp_path / "set")
    defaults = Defaults(dataset="made", licence="ours")
    import_set("index", tmp_path / "set", tmp_path / "one", defaults)
    assert export_coco(tmp_path / "one", tmp_path / "coco") == 6
    found = import_set("coco", tmp_path / "coco", tmp_path / "two", defaults)
    assert (found.frames, dict(found.refused)) == (6, {})
    kept = ("image", "boxes", "labels", "mask_rle", "split", "group_id", "platform", "band", "bit_depth")
    one, two = ({row["sample_id"]: [row[name] for name in kept] for row in iterate_rows(tmp_path / name)} for name in ("one", "two"))
    assert one == two
    with pytest.raises(SettingsError, match="an empty folder"):
        export_coco(tmp_path / "one", tmp_path / "coco")
