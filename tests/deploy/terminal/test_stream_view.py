"""The live view: everything the issue asks to see, on a terminal and in a log."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from deploy.run import Starting
from deploy.terminal.notices import pace
from deploy.terminal.stream_view import LineView, PanelView, line, open_view, panel
from deploy.terminal.summary import summary_json, summary_table
from deploy.terminal.words import count, seconds
from pipeline.runtime.progress import SilentSensor, StreamProgress, StreamSummary, TaskProgress
from tests.outcomes import NOON

PROGRESS = StreamProgress(
    frames_in=12_345,
    frames_out=12_300,
    rejected=7,
    detections=456,
    lag=45,
    fps_in=61.5,
    fps_out=60.25,
    latency_p50_s=0.412,
    latency_p99_s=1.9,
    tasks=(TaskProgress("detection", 7.25, {"full": 30, "waited": 10}), TaskProgress("classification", 3.0)),
    generation=2,
    state="streaming",
    note="read task lost; restarted",
    elapsed_s=230.0,
    busy_s=200.0,
)
SUMMARY = StreamSummary(
    PROGRESS, True, "runs/results", 17, {"cam-1": 12_000, "cam-2": 300}, {"drone": 400, "bird": 56}, {"decode": 1.25}, 0.4, 1.8
)
SHOWN = (
    "12 345",
    "12 300",
    "61.5/s",
    "60.2/s",
    "412 ms",
    "1.9 s",
    "456",
    "read task lost; restarted",
    "streaming",
)


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def console(terminal: bool, width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=width, color_system=None, _environ={}), out


def test_a_terminal_gets_a_panel_and_a_pipe_gets_lines() -> None:
    assert isinstance(open_view(console(terminal=True)[0]), PanelView)
    assert isinstance(open_view(console(terminal=False)[0]), LineView)


def test_the_panel_shows_everything_in_eighty_columns() -> None:
    screen, out = console(terminal=True, width=80)
    with open_view(screen, "irstream live: frames -> results[/x]") as view:
        view.show(PROGRESS)
        view.say("a line that [stays]")
    text = out.getvalue()
    assert "irstream live: frames -> results[/x]" in text
    assert re.search(r"12 345 +12 300 +45 +412 ms +1\.9 s +456 +7 ", text)
    assert re.search(r"detection +7\.2 +full 75 %, waited 25 %", text)
    for part in (*SHOWN, "full 75 %", "generation 2", "a line that [stays]"):
        assert part in text, part


def test_a_line_shows_everything() -> None:
    for part in (*SHOWN, "generation 2", "lag 45,", "batch detection 7.2 classification 3.0,"):
        assert part in line(PROGRESS), part


def test_lines_come_at_their_time_and_at_changes_of_state() -> None:
    screen, out = console(terminal=False)
    clock = FakeClock()
    view = LineView(screen, every_s=5.0, clock=clock, now=lambda: NOON + timedelta(seconds=clock.now_s))
    for now_s, state in ((0.0, "streaming"), (1.0, "streaming"), (2.0, "draining"), (3.0, "draining"), (7.0, "draining")):
        clock.now_s = now_s
        view.show(StreamProgress(state=state, elapsed_s=now_s))
    assert [text.split(",")[0] for text in out.getvalue().splitlines()] == [
        "2026-03-01T12:00:00Z [0 ms] streaming",
        "2026-03-01T12:00:02Z [2.0 s] draining",
        "2026-03-01T12:00:07Z [7.0 s] draining",
    ]
    view.say('{"event": "of a log", "timestamp": "2026-03-01T12:00:07Z"}')
    view.say("ready")
    assert out.getvalue().splitlines()[3:] == ['{"event": "of a log", "timestamp": "2026-03-01T12:00:07Z"}', "2026-03-01T12:00:07Z ready"]


AWAY = replace(PROGRESS, lag=None, away="Kafka 127.0.0.1:9092", away_s=15.0)
SILENT = replace(PROGRESS, silent=(SilentSensor("cam-3", 40.0, 0.2),))


def test_what_is_away_and_who_is_silent_is_said_once_and_shown_all_the_time() -> None:
    screen, out = console(terminal=False)
    with LineView(screen, every_s=0.0, now=lambda: NOON) as view:
        for progress in (
            PROGRESS,
            AWAY,
            replace(AWAY, away_s=23.0),
            PROGRESS,
            SILENT,
            replace(SILENT, lag=10_000, silent=()),
            SILENT,
            PROGRESS,
        ):
            view.show(progress)
    said = [text.removeprefix("2026-03-01T12:00:00Z ") for text in out.getvalue().splitlines()]
    assert [text for text in said if not text.startswith("[")] == [
        "waiting for Kafka 127.0.0.1:9092 since 15.0 s",
        "Kafka 127.0.0.1:9092 is back after 23.0 s",
        "sensor cam-3 is silent: no frame for 40.0 s, before that one every 200 ms",
        "sensor cam-3 is back after 40.0 s",
    ]
    assert "waiting for Kafka 127.0.0.1:9092 since 23.0 s" in line(replace(AWAY, away_s=23.0))
    assert "silent: cam-3 for 40.0 s" in line(SILENT)
    terminal, drawn = console(terminal=True, width=80)
    with PanelView(terminal, "irstream", clock=FakeClock()) as panel_view:
        panel_view.show(AWAY)
    assert "waiting for Kafka 127.0.0.1:9092 since 15.0 s" in drawn.getvalue()


@pytest.mark.parametrize(
    ("offered", "done", "lag", "expected"),
    [
        (100.0, 14.0, 5_000, "behind: offered 100/s, done 14/s, grows"),
        (10.0, 30.0, 3_600, "behind: offered 10/s, done 30/s, caught up in 3 min"),
        (0.0, 30.0, 900_000, "behind: offered 0/s, done 30/s, caught up in 8 h"),
        (20.0, 20.5, 400, "behind: offered 20/s, done 20.5/s, stays"),
        (20.0, 20.0, 60, ""),
        (None, 20.0, 4_000, ""),
    ],
)
def test_a_stream_that_is_behind_says_how_that_goes_on(offered: float | None, done: float, lag: int, expected: str) -> None:
    assert pace(replace(PROGRESS, offered_fps=offered, fps_out=done, lag=lag)) == expected


def test_a_start_is_seen_to_live_before_there_is_a_stream() -> None:
    clock = FakeClock()
    screen, out = console(terminal=True, width=80)
    with PanelView(screen, "irstream", clock=clock) as view:
        starting = Starting(view, 0.0, clock)
        clock.now_s = 2.0
        starting.step("starting Ray")
        clock.now_s = 11.0
        view.say("another line")  # whatever draws again
        starting.step("loading the three models")
        clock.now_s = 26.0
        assert starting.end() == 26.0
    assert "starting   generation 1   11.0 s" in out.getvalue()
    assert "ready after 26.0 s: settings, broker and table 2.0 s, starting Ray 9.0 s, loading the three models 15.0 s" in " ".join(
        out.getvalue().split()
    )


def test_what_filters_suppress_is_shown_where_there_are_any() -> None:
    some = replace(PROGRESS, suppressed={"min_score": 12, "display": 1_004})
    assert "detections 456 (1 016 suppressed)," in line(some)
    screen, out = console(terminal=False, width=100)
    screen.print(panel(some, "irstream"))
    screen.print(summary_table(replace(SUMMARY, progress=some)))
    assert "1 016 of the detections suppressed: display 1 004, min_score 12" in out.getvalue()
    assert re.search(r"^suppressed +display 1 004, min_score 12 *$", out.getvalue(), re.MULTILINE)
    assert "suppressed" not in line(PROGRESS)


def test_unknown_lag_and_latency_are_no_zeros() -> None:
    assert "lag ?" in line(StreamProgress())
    assert "p50 -" in line(StreamProgress())


def test_the_summary_for_people() -> None:
    screen, out = console(terminal=False, width=120)
    screen.print(summary_table(SUMMARY))
    for part in (
        "12 300",
        "7 rejected",
        "drone 400, bird 56",
        "cam-1 12 000",
        "p50 400 ms",
        "61.5 frames/s while there were frames: 3 min 20 s of 3 min 50 s",
        "decode 1.2",
        "version 17",
        "\ndrained: everything read has its row\n",
    ):
        assert part in out.getvalue(), part


def test_a_stream_that_did_not_drain_says_so() -> None:
    screen, out = console(terminal=False, width=120)
    screen.print(summary_table(replace(SUMMARY, drained=False)))
    assert out.getvalue().endswith("\nnot drained: frames in flight were dropped; the next start reads them again\n")


def test_the_summary_for_programs_is_json() -> None:
    told = json.loads(json.dumps(summary_json(SUMMARY)))
    assert told["progress"]["frames_out"] == 12_300
    assert (told["drained"], told["table"], told["table_version"]) == (True, "runs/results", 17)


def test_words() -> None:
    assert [count(number) for number in (0, 999, 1_000_000)] == ["0", "999", "1 000 000"]
    assert [seconds(value) for value in (None, 0.0384, 1.0, 119.94, 125.4)] == ["-", "38 ms", "1.0 s", "119.9 s", "2 min 5 s"]


def test_a_summary_shows_no_password() -> None:
    summary = replace(SUMMARY, table="s3://KEY:hunter2@bucket/x")
    screen, out = console(terminal=False, width=200)
    screen.print(summary_table(summary))
    for told in (out.getvalue(), json.dumps(summary_json(summary))):
        assert "hunter2" not in told
        assert "(hidden)@bucket/x" in told
