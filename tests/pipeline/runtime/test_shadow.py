"""A shadow beside a stream: its rows are exactly once, too, and nothing of it harms production."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from actors.reply import ActorCrashed, DetectorReply
from contracts.position import KafkaPosition
from contracts.result import DeadLetter, FrameResult, Gap, ModelRef, Outcome
from contracts.shadow_run import ShadowRun, in_share
from evaluation.run_diff import MatchRules, sums_of
from pipeline.inference import shadow
from pipeline.inference.shadow import LiveShadow, Shadow
from pipeline.kafka.memory_topic import CRASH, DROP, MemoryTopic, Message, Sentinel
from pipeline.ops.diff import Side, compare_runs
from pipeline.table.compactor import Compactor
from pipeline.table.delta import open_results
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.results import read_rows
from tests.pipeline.runtime.memory_stream import MemoryStream, frames

RUN = "shadow:mine"
SHARE = 0.4
NUM = 60


class Finder(RuleNetworks):
    """A detector that finds one target more than production; `hook` is told the number of its call, from 1, before it answers."""

    def __init__(self, hook: Callable[[int], Any] = lambda call: None) -> None:
        super().__init__()
        self.calls = 0
        self._hook = hook

    async def detect(self, block: Any) -> DetectorReply:
        self.calls += 1
        if (waiting := self._hook(self.calls)) is not None:
            await waiting
        reply = await super().detect(block)
        marked = await self._marks(block)
        more = await _Marked([mark + 1 for mark in marked]).detect(block)
        return replace(reply, outputs=more.outputs, model=ModelRef("detection", "finder", "f" * 64))


class _Marked(RuleNetworks):
    def __init__(self, marks: list[int]) -> None:
        super().__init__()
        self._given = marks

    async def _marks(self, block: Any) -> list[int]:
        return self._given


def at_work(stream: MemoryStream, candidate: RuleNetworks, share: float = SHARE, **more: Any) -> tuple[list[str], list[Shadow]]:
    """A shadow of the stream; what is said, and which shadows end."""
    said: list[str] = []
    ended: list[Shadow] = []
    terms = ShadowRun(run_id=RUN, of="live", role="detector", share=share, digest="f" * 64)
    patience = {"patience_s": 60.0, "max_lag_s": None} | more
    job = stream.job
    job.shadow.heard_by(said.append, ended.append)
    job.shadow.exchange(Shadow(terms, candidate.detect, job.models, job.stream, job.rules, **patience))
    return said, ended


def shared(partition: int, offsets: range, share: float = SHARE) -> list[int]:
    return [offset for offset in offsets if in_share(KafkaPosition("frames", partition, offset), share)]


def covered(rows: list[Outcome]) -> Counter[int]:
    stops = {row.position: row.stop if isinstance(row, Gap) else row.position.offset + 1 for row in rows}
    return Counter(offset for row in rows for offset in range(row.position.offset, stops[row.position]))


def told(stream: MemoryStream) -> set[tuple[str, str, int]]:
    """Topic, position and number of targets of every message."""
    bodies = [(message.position.topic, json.loads(message.value or b"")) for message in stream.producer.log]
    return {(topic, f"{body['partition']}/{body['offset']}", len(body.get("detections", ()))) for topic, body in bodies}


def answered(rows: list[Outcome], partition: int = 0) -> list[int]:
    return [row.position.offset for row in rows if not isinstance(row, Gap) and row.position.partition == partition]


def test_whatever_crashes_each_frame_of_the_share_has_one_row_and_production_is_as_without(tmp_path: Path) -> None:
    no_image = frames(1)[0]._replace(value=b"no image")
    log: dict[int, list[Message | Sentinel | None]] = {
        0: [*frames(20), no_image, *frames(20), CRASH, *frames(20)],
        1: [*frames(7), DROP, *frames(15)],
    }
    alone = MemoryStream(MemoryTopic(log), tmp_path / "alone", policy="detections")
    alone.catch_up()
    stream = MemoryStream(MemoryTopic(log), tmp_path / "beside", policy="detections")
    said, ended = at_work(stream, Finder())
    assert stream.catch_up().progress.generation > 1
    rows = read_rows(stream.path, RUN)
    for partition, offsets in stream.offsets().items():
        assert answered(rows, partition) == shared(partition, range(len(offsets)))
    ok = [row for row in rows if isinstance(row, FrameResult)]
    assert {len(row.detections) for row in ok} == {2}
    assert {row.models for row in ok} == {
        (ModelRef("detection", "finder", "f" * 64), *(each for each in live.models if each.task != "detection"))
        for live in stream.rows()
        if isinstance(live, FrameResult)
    }
    table = DeltaTable(stream.path)
    for partition in (0, 1):
        stands = [table.transaction_version(f"{run}/frames/{partition}") for run in ("live", RUN)]
        assert stands[0] == stands[1] == len(stream.offsets()[partition])
    assert table.transaction_version(f"{RUN}/frames/0@memory-1") == 0
    assert (said, ended) == ([], [])
    # Production: the same rows, alerts and dead letters as without a shadow. A crash may send some again.
    assert [(row.position, type(row)) for row in stream.rows()] == [(row.position, type(row)) for row in alone.rows()]
    assert told(stream) == told(alone)


def test_rejections_of_the_share_are_rows_of_the_shadow_and_no_second_dead_letter(tmp_path: Path) -> None:
    topic = MemoryTopic({0: frames(8, mark=255)})  # poison for production's detector
    stream = MemoryStream(topic, tmp_path)
    at_work(stream, Finder(), share=1.0)
    stream.catch_up()
    rows = read_rows(tmp_path, RUN)
    assert [type(row) for row in rows] == [DeadLetter] * 8
    assert Counter(message.position.topic for message in stream.producer.log) == {"frames.dead": 8}


def test_a_shadow_that_comes_later_goes_and_comes_again_has_gap_rows_and_compares(tmp_path: Path) -> None:
    topic = MemoryTopic({0: frames(20)})
    stream = MemoryStream(topic, tmp_path)
    stream.catch_up()
    for comes in (True, False, True):
        topic.append(0, frames(20))
        stream = MemoryStream(topic, tmp_path)
        if comes:
            at_work(stream, Finder())
        stream.catch_up()
    rows = read_rows(tmp_path, RUN)
    assert [(row.position.offset, row.stop) for row in rows if isinstance(row, Gap)] == [(0, 20), (40, 60)]
    assert answered(rows) == [*shared(0, range(20, 40)), *shared(0, range(60, 80))]
    table = open_results(str(tmp_path), {})
    found = compare_runs(Side(table, "live"), Side(table, RUN), MatchRules())
    sums = sums_of(list(found.frames))
    assert (found.match_by, found.num_frames, found.only_b) == ("position", len(answered(rows)), 0)
    assert sums.change == pytest.approx(0.5)
    # Background merges take its files, too.
    compactor = Compactor(str(tmp_path), "live", {}, 1)
    compactor.count_commit([RUN])
    compactor.wait()
    assert read_rows(tmp_path, RUN) == rows
    files = [file.partition(".zstd")[0] for file in DeltaTable(tmp_path).file_uris()]
    assert sum("run_id=shadow-mine" in file for file in files) == len(files) // 2
    assert not any(":" in file.removeprefix("file://") for file in files), "a reader in Java takes it for a scheme"


def fails(call: int) -> None:
    if call == 2:
        raise RuntimeError("no such layer")


def test_a_candidate_that_fails_ends_alone(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(NUM)}), tmp_path)
    said, ended = at_work(stream, Finder(fails), share=1.0)
    assert stream.catch_up().progress.generation == 1
    assert stream.offsets() == {0: list(range(NUM))}
    assert len(said) == len(ended) == 1
    assert "has ended, production goes on: no such layer" in said[0]
    stands = DeltaTable(tmp_path).transaction_version(f"{RUN}/frames/0") or 0
    assert covered(read_rows(tmp_path, RUN)) == Counter(range(stands))


@pytest.mark.parametrize(
    ("hook", "more", "why"),
    [
        pytest.param(lambda call: asyncio.sleep(60), {"patience_s": 0.001}, "within 0.001 s", id="slow"),
        pytest.param(lambda call: None, {"max_lag_s": 1e-9}, "the stream is", id="behind"),
    ],
)
def test_what_is_passed_over_is_said_once_and_stands_in_gap_rows(tmp_path: Path, hook: Any, more: dict[str, float], why: str) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(NUM)}), tmp_path)
    said, _ = at_work(stream, Finder(hook), **more)
    stream.catch_up()
    assert stream.offsets() == {0: list(range(NUM))}
    rows = read_rows(tmp_path, RUN)
    assert rows
    assert all(isinstance(row, Gap) and why in row.detail for row in rows)
    assert set(shared(0, range(NUM))) <= set(covered(rows))
    assert set(covered(rows).values()) == {1}
    assert len(said) == 1
    assert why in said[0]


def test_one_that_never_answers_is_put_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "_UNANSWERED_AT_MOST", 2)
    stream = MemoryStream(MemoryTopic({0: frames(20)}), tmp_path)
    said, ended = at_work(stream, Finder(lambda call: asyncio.sleep(60)), share=1.0, patience_s=0.001)
    stream.catch_up()
    assert len(ended) == 1
    assert "no answer in time for 2 blocks" in said[-1]
    assert stream.offsets() == {0: list(range(20))}


def test_a_process_that_dies_costs_a_second_call(tmp_path: Path) -> None:
    def dies(call: int) -> None:
        if call == 1:
            raise ActorCrashed(expected="an answer", got="its process died", where="test", action="again")

    stream = MemoryStream(MemoryTopic({0: frames(12)}), tmp_path)
    said, _ = at_work(stream, Finder(dies), share=1.0)
    stream.catch_up()
    assert answered(read_rows(tmp_path, RUN)) == list(range(12))
    assert said == []


def test_none_is_at_work_by_default() -> None:
    nothing: Any = None
    assert LiveShadow().begin(nothing) is None


def test_a_share_is_even_the_same_each_time_and_grows_by_frames() -> None:
    chosen = {share: {offset for offset in range(4000) if in_share(KafkaPosition("frames", 3, offset), share)} for share in (0.1, 0.3, 1.0)}
    assert [len(each) / 4000 for each in chosen.values()] == [pytest.approx(0.1, abs=0.02), pytest.approx(0.3, abs=0.03), 1.0]
    assert chosen[0.1] < chosen[0.3]
    assert shared(0, range(20), 0.2) == [1, 3, 4, 11, 16, 18], "tables that exist rely on it"
