"""`irstream evaluate ROWS --tracks TRUTH`: figures of rows that are there, with the tracks in them or new ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from contracts.arrow import outcomes_to_table
from contracts.result import FrameResult
from deploy.cli.main import main
from tests.pipeline.tracks.scenes import frame, run, seen, tracker

NUM = 12


def clip() -> list[FrameResult]:
    """A drone that crosses the picture, and the clock in the corner of the display."""
    frames = [
        frame(n, seen(50.0 + 2 * n, 50.0, size_px=8.0), seen(300.0, 5.0, size_px=8.0, label="bird"), sensor_id="clip") for n in range(NUM)
    ]
    return [replace(each, headers={"item": f"clip/{number}"}) for number, each in enumerate(frames)]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "tracks.jsonl"
    boxes = [[46.0 + 2 * n, 46.0, 8.0, 8.0] for n in range(NUM)]
    path.write_text(json.dumps({"video": "videos/clip.mp4", "class": "drone", "frames": NUM, "boxes_xywh_px": boxes}) + "\n")
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments, "--json"])
    assert not ended.value.code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_tracks_of_rows_and_new_ones_are_compared_with_the_true_ones(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = run(tracker(), clip())
    hidden = [replace(row, detections=(row.detections[0], replace(row.detections[1], suppressed_by="clock"))) for row in rows]
    for name, results in (("seen", rows), ("filtered", hidden), ("untracked", clip())):
        (tmp_path / name).mkdir()
        pq.write_table(outcomes_to_table(results, "predict"), tmp_path / name / "results.parquet")
    of_rows = told(capsys, str(tmp_path / "seen"), "--tracks", str(truth))
    assert (of_rows["all"]["detection"], of_rows["all"]["association"], of_rows["all"]["tracks"]) == (0.5, 1.0, 2)
    assert of_rows["clips"]["clip"] == of_rows["all"]
    filtered = told(capsys, str(tmp_path / "filtered" / "results.parquet"), "--tracks", str(truth))
    assert (filtered["all"]["hota"], filtered["all_by_overlap"]["hota"], filtered["all"]["frames"]) == (1.0, 1.0, NUM)
    assert told(capsys, str(tmp_path / "untracked"), "--tracks", str(truth))["all"]["tracks"] == 0
    monkeypatch.setenv("IRSTREAM_TRACKS__START_SCORE", "0.5")
    again = told(capsys, str(tmp_path / "untracked"), "--tracks", str(truth), "--again")
    assert again["all"] == of_rows["all"]
    monkeypatch.setenv("IRSTREAM_TRACKS__START_SCORE", "0.95")
    assert told(capsys, str(tmp_path / "seen"), "--tracks", str(truth), "--again")["all"]["tracks"] == 0


@pytest.mark.parametrize(("rows", "words"), [("nowhere", "rows of frames"), ("seen", "true tracks of some of the frames")])
def test_what_cannot_be_compared_is_said(rows: str, words: str, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth.write_text(truth.read_text().replace("clip.mp4", "another.mp4"))
    pq.write_table(outcomes_to_table(clip(), "predict"), tmp_path / "seen")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(tmp_path / rows), "--tracks", str(truth)])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
