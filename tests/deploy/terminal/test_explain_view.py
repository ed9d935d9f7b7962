"""What `irstream explain` shows of one frame."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from contracts.result import Outcome
from deploy.terminal.explain_view import explanation_json, print_explanation
from pipeline.ops.explain import Explanation, Standing, TableCommit, TableFile
from tests.deploy.terminal.screens import screen
from tests.outcomes import NOON, gap, letter, result

POSITION = KafkaPosition("frames", 0, 17)
MESSAGE = RawRecord(POSITION, b"cam-1", b"x" * 1_234, (("mission", b"[red]7[/red]"), ("odd", b"\xff")), 0)
NOTHING = Explanation(POSITION, "live", Standing.WAITING, None, None, None, None, None)
RESULT_SHOWN = """\
position         frames/0/17, run live
standing         it has its row (the table has everything before offset 1,018)
message          key 'cam-1', 1,234 bytes
  mission        [red]7[/red]
  odd            \\xff
frame            frame-17 of cam-1, number 17
                 640 x 512, 14 bit, air, mwir
captured         2026-03-01T12:00:00+00:00, in Kafka 2026-03-01T12:00:00+00:00
stages           read 0.5 ms, detect 12.0 ms
batch detection  8, closed because full
model detection  fcos_light, sha256 0000000000000000000000000000000000000000000000000000000000000000
preprocessing    version 1
detections       1
  0              target 0.50, drone, x 1.0..4.0, y 2.0..6.0, 9 px, found by detector and segmenter
finished         2026-03-01T12:00:00.040000+00:00
visible since    version 41 of the table, 2026-03-01T12:00:00+00:00
file             part-0.parquet"""
REJECTION_SHOWN = """\
position       frames/0/17, run live
standing       it has its row (the table has everything before offset 1,018)
message        key 'cam-1', 1,234 bytes
  mission      [red]7[/red]
  odd          \\xff
rejected       corrupt_image: expected a PNG image; got 3 bytes
finished       2026-03-01T12:00:00+00:00
visible since  version 41 of the table, 2026-03-01T12:00:00+00:00
file           part-0.parquet; 2 rows for this position, run `irstream audit`"""
GAP_SHOWN = """\
position       frames/0/17, run live
standing       it has its row (the table has everything before offset 1,018)
message        key 'cam-1', 1,234 bytes
  mission      [red]7[/red]
  odd          \\xff
gap            offsets 17 to 1,019: retention deleted them
finished       2026-03-01T12:00:00+00:00
visible since  version 41 of the table, 2026-03-01T12:00:00+00:00
file           part-0.parquet"""
NOTHING_SHOWN = """\
position  frames/0/17, run live
standing  no row yet: the table has not come this far (the table has nothing of this partition)
message   nothing there in Kafka (any more)"""


def found(outcome: Outcome, num_rows: int = 1) -> Explanation:
    return Explanation(
        POSITION, "live", Standing.ROW, 1_018, outcome, TableFile("part-0.parquet", num_rows), TableCommit(41, NOON, 1_018), MESSAGE
    )


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")


def test_a_result_is_shown_with_all_that_led_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(found(result(17)))
    assert screen(capsys) == RESULT_SHOWN


def test_a_target_is_shown_with_its_track_and_each_score_has_its_word(capsys: pytest.CaptureFixture[str]) -> None:
    frame = result(17)
    tracked = replace(frame.detections[0], label_score=0.76, track_id="frames/0/3#1", track_age_s=2.5, speed_px_s=31.25)
    print_explanation(found(replace(frame, detections=(tracked,))))
    words = (
        "target 0.50, drone 0.76, x 1.0..4.0, y 2.0..6.0, 9 px, found by detector and segmenter, track frames/0/3#1 for 2.5 s, 31.2 px/s"
    )
    assert words in " ".join(screen(capsys).split())


def test_a_rejection_and_a_gap_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(found(letter(17), num_rows=2))
    assert screen(capsys) == REJECTION_SHOWN
    print_explanation(found(gap(17, 1_020)))
    assert screen(capsys) == GAP_SHOWN


def test_what_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(NOTHING)
    assert screen(capsys) == NOTHING_SHOWN


def test_programs_get_the_row_with_its_kind() -> None:
    told = json.loads(json.dumps(explanation_json(found(letter(17))), default=str))
    assert (told["position"], told["standing"], told["watermark"], told["row"]["kind"]) == ("frames/0/17", "row", 1_018, "DeadLetter")
    assert told["message"] == {
        "key": "cam-1",
        "bytes": 1_234,
        "timestamp_ms": 0,
        "headers": [["mission", "[red]7[/red]"], ["odd", "\\xff"]],
    }
    assert {name: value for name, value in explanation_json(NOTHING).items() if value is not None} == {
        "position": "frames/0/17",
        "run_id": "live",
        "standing": "waiting",
    }
