"""A data set of findings: frames, groups and splits stay, boxes are those of the networks; only classifiers may learn from it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from contracts.errors import SettingsError
from contracts.limits import InputLimits
from deploy.predicting.findings import FindingsRequest, write_findings
from models.interface import Task
from pipeline.inference.rules import SensorRules
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.find import Labels, find_inputs
from pipeline.predict import Predictor
from pipeline.settings import StreamSettings
from pipeline.tracks.settings import TrackSettings
from tests.pipeline.inference.rule_networks import MARKED_SIZES_PX, RuleNetworks
from training.data.findings import FORMAT
from training.data.importing import import_set
from training.data.parquet_set import iterate_rows
from training.data.reading import Defaults
from training.distributed.cross_validation import CrossValidation, begin
from training.distributed.team_training import TeamTraining
from training.recipes import plan_named


def labelled_frames(folder: Path) -> Path:
    """Two frames whose first pixel says how many boxes are found, at (0, 0), (10, 0), ...; one car is at (10, 0), one far away."""
    (folder / "images").mkdir(parents=True)
    entries = []
    for number, name in ((0, "none"), (3, "three")):
        pixels = np.full(MARKED_SIZES_PX[0], 40, np.uint8)
        pixels[0, 0] = number
        cv2.imwrite(str(folder / "images" / f"{name}.png"), pixels)
        entries.append(
            {
                "id": name,
                "file": f"images/{name}.png",
                "split": "train",
                "clip": name,
                "boxes": [[10, 0, 4, 4], [30, 20, 4, 4]],
                "labels": ["car", "bird"],
            }
        )
    (folder / "index.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    out = folder / "set"
    import_set("index", folder, out, Defaults(dataset="made", licence="ours"))
    return out


def test_findings_of_the_networks_become_the_boxes(tmp_path: Path) -> None:
    folder, out = labelled_frames(tmp_path / "made"), tmp_path / "found"
    request = FindingsRequest(folder=folder, name="found", with_missed=True, models={"detector": "rule"}, min_score=0.0)
    with asyncio.Runner() as runner:
        predictor = Predictor(runner, RuleNetworks().handles(), StreamSettings(), SensorRules(), InputLimits(), TrackSettings())
        report, counts = write_findings(request, out, predictor.run(FrameSource(find_inputs([folder], Labels()).sequences)))
    assert (report.frames, dict(report.refused)) == (2, {})
    assert counts == {"found": 1, "missed": 3, "false alarm": 2}
    before, after = ({row["sample_id"]: row for row in iterate_rows(each)} for each in (folder, out))
    for name, row in after.items():
        assert {key: row[key] for key in ("image", "group_id", "split")} == {
            key: before[name][key] for key in ("image", "group_id", "split")
        }
        assert (row["dataset"], row["mask_rle"]) == ("found", None)
    boxes = sorted((label, box["x_min_px"]) for label, box in zip(after["three"]["labels"], after["three"]["boxes"], strict=True))
    assert boxes == [("bird", 30), ("car", 10), ("clutter", 0), ("clutter", 20)]
    assert after["none"]["labels"] == ["car", "bird"]
    again, counted = write_findings(request, out, iter(()))
    assert (again.frames, again.new, counted) == (2, 0, {}), "goes on where it was, and nothing is left to do"


@pytest.mark.parametrize("with_missed", [True, False])
def test_frames_beyond_the_limit_keep_their_true_boxes(with_missed: bool, tmp_path: Path) -> None:
    folder, out = labelled_frames(tmp_path / "made"), tmp_path / "found"
    request = FindingsRequest(folder=folder, name="found", with_missed=with_missed, models={}, min_score=0.0, limit=1)
    with asyncio.Runner() as runner:
        predictor = Predictor(runner, RuleNetworks().handles(), StreamSettings(), SensorRules(), InputLimits(), TrackSettings())
        report, _ = write_findings(request, out, predictor.run(FrameSource(find_inputs([folder], Labels()).sequences), request.limit))
    origins = {row["sample_id"]: set(json.loads(row["extra"])["origins"]) for row in iterate_rows(out)}
    assert report.refused == {}
    assert sum(each == {"not looked at"} for each in origins.values()) == with_missed
    assert len(origins) == (2 if with_missed else 1)


def test_only_classifiers_learn_from_findings(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"format": FORMAT, "dataset": "found"}))
    nothing: Any = None
    training = TeamTraining(model="fcos_light", plan=plan_named("ours", ["found"], task=Task.DETECTION))
    with pytest.raises(SettingsError, match=r"teach a network of detection, got .* irstream dataset findings for classifiers"):
        begin(CrossValidation(training=training, folders=(tmp_path,), folds=nothing, out=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()
