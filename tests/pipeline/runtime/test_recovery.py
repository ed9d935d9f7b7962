"""Whatever goes wrong: every offset has its row, once, and it costs so many generations."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.reply import DetectorReply, SegmenterReply
from contracts.errors import RetryLater, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Gap
from pipeline.kafka.group import Assignment, TakenOver
from pipeline.kafka.memory_group import MemoryMembership
from pipeline.kafka.memory_topic import CRASH, DAMAGE, DROP, EOF, REPLAY, STALL, MemoryTopic, Sentinel
from pipeline.runtime.progress import StreamProgress, StreamSummary
from pipeline.table.committer import Committer
from pipeline.table.results_table import ResultsTable
from pipeline.table.watermark import CommitRefused
from tests.outcomes import result
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.runtime.memory_stream import MemoryStream, frames


class Hooked(RuleNetworks):
    """Does something before the segmenter answers; calls are counted from 1."""

    def __init__(self, hook: Callable[[int], None]) -> None:
        super().__init__()
        self.calls = 0
        self._hook = hook

    async def segment(self, block: Any) -> SegmenterReply:
        self.calls += 1
        self._hook(self.calls)
        return await super().segment(block)


def other_writer(path: Path, num: int, partition: int = 0) -> None:
    """Another process commits the next rows of this run, as soon as it comes between our commits."""
    table = ResultsTable(str(path), "live")
    table.open_or_create()
    while True:
        start = table.next_offsets("frames", [partition]).get(partition, 0)
        rows = [result(offset, partition=partition) for offset in range(start, start + num)]
        with suppress(CommitRefused):
            table.append(rows, [OffsetRange("frames", partition, start, start + num)], {"frames": "memory-1"})
            return


def test_a_crash_costs_a_generation_but_no_row(tmp_path: Path) -> None:
    topic = MemoryTopic({0: [*frames(20), CRASH, *frames(20)], 1: frames(30)})
    stream = MemoryStream(topic, tmp_path)
    assert stream.catch_up().progress.generation == 2
    assert stream.offsets() == {0: list(range(40)), 1: list(range(30))}


def test_a_generation_that_does_not_begin_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is out of threads: the reading is open by then, and nothing of the generation runs."""
    begin, tries = Committer.start, []

    def start(committer: Committer) -> None:
        tries.append(committer)
        if len(tries) == 1:
            raise RuntimeError("can't start new thread")
        begin(committer)

    monkeypatch.setattr(Committer, "start", start)
    stream = MemoryStream(MemoryTopic({0: frames(20)}), tmp_path)
    summary = stream.catch_up()
    assert (summary.progress.generation, summary.progress.note) == (2, "can't start new thread")
    assert stream.offsets() == {0: list(range(20))}
    assert {thread.name for thread in threading.enumerate()} & {"read-coordinator", "committer"} == set()


@pytest.mark.parametrize(
    ("sentinel", "note"),
    [
        pytest.param(CRASH, "read task of epoch 0, partition 0", id="worker died"),
        pytest.param(REPLAY, "expected each read task to run once", id="read task replayed"),
        pytest.param(EOF, "expected its reader to finish, got", id="read task ended short"),
        pytest.param(DROP, r"expected the 40 offsets \[0, 40\), got 36 offsets", id="block lost"),
    ],
)
@pytest.mark.parametrize("before", [0, 39])
def test_what_ray_data_may_do_to_a_read_ends_the_generation(tmp_path: Path, sentinel: Sentinel, note: str, before: int) -> None:
    stream = MemoryStream(MemoryTopic({0: [*frames(before), sentinel, *frames(40 - before)], 1: frames(8)}), tmp_path)
    summary = stream.catch_up()
    assert (summary.drained, summary.progress.generation) == (True, 2)
    assert re.search(note, summary.progress.note), summary.progress.note
    assert stream.offsets() == {0: list(range(40)), 1: list(range(8))}


@pytest.mark.slow
def test_each_generation_starts_where_the_table_is(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: [*frames(20), CRASH, *frames(10), CRASH, *frames(10)]}), tmp_path, in_flight_blocks=1)
    assert stream.catch_up().progress.generation == 3
    starts = [plan.starts[0] for plan in stream.plans]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[1] <= 20
    assert 0 < starts[2] <= 30
    assert stream.offsets() == {0: list(range(40))}


def test_no_data_for_longer_than_an_epoch_ends_nothing(tmp_path: Path) -> None:
    """The data comes when whole epochs have passed without any."""
    topic = MemoryTopic({0: [*frames(6), STALL, *frames(6)]})
    stream = MemoryStream(topic, tmp_path, epoch_s=0.2, epoch_overlap_s=0.05)
    epochs_at_the_stall: list[int] = []

    def watch(progress: StreamProgress) -> None:
        if progress.frames_out == 6:
            epochs_at_the_stall.append(len(stream.epochs))
            if epochs_at_the_stall[-1] >= epochs_at_the_stall[0] + 3:
                topic.go_on()
        if progress.frames_out == 12:
            stream.stop.set()

    summary = stream.run({}, watch)
    assert (summary.drained, summary.progress.generation) == (True, 1)
    assert epochs_at_the_stall, "the stall was seen"
    assert stream.offsets() == {0: list(range(12))}


@pytest.mark.slow
@pytest.mark.parametrize("error", [RuntimeError("the actor died"), RetryLater(expected="a", got="b", where="c", action="d"), MemoryError()])
def test_networks_that_fail_cost_a_generation_but_no_row(tmp_path: Path, error: Exception) -> None:
    calls: Counter[int] = Counter()

    def fail(_: int) -> None:
        generation = len(stream.plans)
        calls[generation] += 1
        if generation < 3 and calls[generation] > 3:
            raise error

    stream = MemoryStream(MemoryTopic({0: frames(80)}), tmp_path, Hooked(fail).handles(), in_flight_blocks=1)
    assert stream.catch_up().progress.generation == 3
    assert stream.offsets() == {0: list(range(80))}


def test_failures_that_never_end_end_the_stream(tmp_path: Path) -> None:
    def fail(call: int) -> None:
        raise RuntimeError("no CUDA here")

    stream = MemoryStream(MemoryTopic({0: frames(8)}), tmp_path, Hooked(fail).handles(), restart_backoff_s=0.001)
    with pytest.raises(StopPipeline, match=r"10 failures in a row, the last: RuntimeError.*no CUDA here"):
        stream.catch_up()
    assert len(stream.plans) == 10
    assert stream.rows() == []


def test_what_retention_deleted_is_one_gap_row(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(20)}), tmp_path)
    stream.catch_up()
    stream.topic.append(0, frames(20))
    stream.topic.delete_before(0, 31)
    summary = stream.catch_up()
    assert (summary.progress.generation, summary.progress.gaps, summary.progress.lag) == (1, 1, 0)
    assert [(row.position.offset, row.stop) for row in stream.rows() if isinstance(row, Gap)] == [(20, 31)]
    assert stream.offsets() == {0: list(range(40))}


def test_a_partition_the_table_does_not_know_begins_where_the_log_begins(tmp_path: Path) -> None:
    topic = MemoryTopic({0: frames(20)})
    topic.delete_before(0, 15)
    stream = MemoryStream(topic, tmp_path)
    assert stream.catch_up().progress.gaps == 0, "nobody has ever promised these"
    assert stream.offsets() == {0: list(range(15, 20))}


def test_offsets_without_a_record_have_no_row(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: [*frames(3), None, None, *frames(3), None]}), tmp_path)
    assert stream.catch_up().progress.lag == 0
    assert stream.offsets() == {0: [0, 1, 2, 5, 6, 7]}


def test_a_bounded_stream_ends_at_its_ends(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(20), 1: frames(9), 2: []}), tmp_path)
    ends = stream.topic.end_offsets("frames")
    stream.topic.append(0, frames(11))
    summary = stream.run(ends)
    assert (summary.drained, summary.progress.frames_out, summary.progress.state) == (True, 20 + 9, "done")
    assert stream.offsets() == {0: list(range(20)), 1: list(range(9))}
    assert len(stream.plans) == 1
    assert stream.catch_up().progress.frames_out == 11
    assert stream.catch_up().progress.frames_out == 0


def test_stop_drains_what_was_read(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(400)}), tmp_path, Hooked(lambda call: stream.stop.set() if call == 5 else None).handles())
    summary = stream.run({})
    read = summary.progress.frames_in
    assert (summary.drained, summary.progress.generation) == (True, 1)
    assert 20 <= read < 400
    assert stream.offsets() == {0: list(range(read))}
    assert summary.progress.frames_out == read


class Held(RuleNetworks):
    """The first two blocks are answered; for the others all networks are silent until `patience_s` have passed since the stop.

    Time is that of this clock, which goes on when the waiting stream looks at it: the speed of the machine has no part in it.
    """

    def __init__(self, patience_s: float) -> None:
        super().__init__()
        self.now_s = 0.0
        self._patience_s = patience_s
        self._begun: Counter[str] = Counter()
        self._answering = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()

    async def detect(self, block: Any) -> DetectorReply:
        await self._hold("detector")
        return await super().detect(block)

    async def segment(self, block: Any) -> SegmenterReply:
        await self._hold("segmenter")
        return await super().segment(block)

    async def _hold(self, network: str) -> None:
        self._begun[network] += 1
        if self._begun[network] > 2:
            self._loop = asyncio.get_running_loop()
            await self._answering.wait()

    def monotonic(self) -> float:
        """Ten seconds later each time the stopped stream asks, as long as the networks are silent."""
        if self._stop.is_set() and self._loop is not None and threading.current_thread() is threading.main_thread():
            if self.now_s < self._patience_s:
                self.now_s += 10.0
            else:
                self._loop.call_soon_threadsafe(self._answering.set)
        return self.now_s

    def run(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryStream, StreamSummary]:
        """A stream that is stopped while these networks are silent; it waits one minute for all else, and two for networks."""
        clock = SimpleNamespace(monotonic=self.monotonic, perf_counter=self.monotonic)
        monkeypatch.setattr("pipeline.runtime.generation.time", clock)
        monkeypatch.setattr("pipeline.inference.router.time", clock)
        topic = MemoryTopic({0: frames(400)})
        stream = MemoryStream(topic, path, self.handles(), in_flight_blocks=2, drain_timeout_s=60.0, model_timeout_s=120.0)
        stream.stop = self._stop

        def watch(progress: StreamProgress) -> None:
            if progress.frames_out == 8 and self._loop is not None:
                self._stop.set()

        return stream, stream.run({}, watch)


def test_a_stop_waits_for_networks_that_are_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their answers take longer than a stop waits for anything else: they compute, so nothing gives up."""
    slow = Held(patience_s=100.0)
    stream, summary = slow.run(tmp_path, monkeypatch)
    assert slow.now_s == 100.0
    assert (summary.drained, summary.progress.generation) == (True, 1)
    assert stream.offsets() == {0: list(range(summary.progress.frames_in))}
    assert summary.progress.frames_in >= 12


def test_a_stop_waits_no_longer_than_its_time_for_networks_that_are_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Held(patience_s=1000.0)
    stream, summary = silent.run(tmp_path, monkeypatch)
    assert not summary.drained
    assert 120.0 < silent.now_s < 200.0
    assert stream.offsets() == {0: list(range(8))}, "what was computed before"


class AwayTopic(MemoryTopic):
    """Away from `leave` on, until a reader and the committer have both been refused."""

    refused: frozenset[str] = frozenset()

    def leave(self) -> None:
        self.away = True

    def _require_readable(self, topic_id: str | None = None) -> None:
        try:
            super()._require_readable(topic_id)
        except RetryLater:
            self.refused |= {threading.current_thread().name.split("-")[0]}
            self.away = not {"read", "committer"} <= self.refused
            raise


def test_a_broker_that_is_away_for_a_while_ends_nothing(tmp_path: Path) -> None:
    topic = AwayTopic({0: frames(200)})
    stream = MemoryStream(topic, tmp_path, Hooked(lambda call: topic.leave() if call == 4 else None).handles(), in_flight_blocks=1)
    summary = stream.catch_up()
    assert {"read", "committer"} <= topic.refused
    assert (summary.drained, summary.progress.generation) == (True, 1)
    assert stream.offsets() == {0: list(range(200))}


def test_what_lies_before_damage_gets_its_rows_before_the_stream_stops(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: [*frames(22), DAMAGE, *frames(5)], 1: frames(10)}), tmp_path)
    with pytest.raises(StopPipeline, match="offset 22"):
        stream.catch_up()
    assert stream.offsets()[0] == list(range(22))


def test_another_topic_of_the_same_name_stops_the_stream(tmp_path: Path) -> None:
    def recreate(call: int) -> None:
        if call == 6:
            stream.topic.recreate("memory-2")
            stream.topic.append(0, frames(200, mark=2))

    stream = MemoryStream(MemoryTopic({0: frames(200)}), tmp_path, Hooked(recreate).handles(), in_flight_blocks=1)
    with pytest.raises(StopPipeline, match="id memory-2"):
        stream.run({})
    found = stream.offsets().get(0, [])
    assert found == list(range(len(found)))
    assert len(found) < 200
    with pytest.raises(StopPipeline, match="memory-2"):
        stream.catch_up()


def test_a_topic_that_is_gone_stops_the_stream(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(4)}), tmp_path, epoch_s=0.2)

    def watch(progress: StreamProgress) -> None:
        if progress.frames_out == 4:
            stream.topic.recreate(None)

    with pytest.raises(StopPipeline, match="it was deleted"):
        stream.run({}, watch)
    assert stream.offsets() == {0: [0, 1, 2, 3]}


def test_partitions_that_are_added_are_read(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(10)}), tmp_path)

    def watch(progress: StreamProgress) -> None:
        if progress.frames_out == 10 and len(stream.topic.end_offsets("frames")) == 1:
            stream.topic.append(1, frames(7))
            stream.members.reassign({0, 1})
        if progress.frames_out == 17:
            stream.stop.set()

    summary = stream.run({}, watch)
    assert (summary.drained, summary.progress.generation) == (True, 1), "a rebalance is no failure"
    assert [plan.partitions for plan in stream.plans] == [(0,), (0, 1)]
    assert stream.offsets() == {0: list(range(10)), 1: list(range(7))}


class Waiting(MemoryMembership):
    """Does something when it is asked for the fourth time: our part was done by the second."""

    def __init__(self, partitions: Iterable[int], then: Callable[[], None]) -> None:
        super().__init__(partitions)
        self._asked = 0
        self._then = then

    def assignment(self, timeout_s: float) -> Assignment | None:
        self._asked += 1
        if self._asked == 4:
            self._then()
        return super().assignment(timeout_s)


def test_only_our_partitions_are_read_and_others_are_waited_for(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(8), 1: frames(6)}), tmp_path)
    stream.members = Waiting({0}, lambda: other_writer(tmp_path, 6, 1))
    summary = stream.catch_up()
    assert summary.progress.frames_out == 8
    assert [plan.partitions for plan in stream.plans] == [(0,)]
    assert stream.offsets() == {0: list(range(8)), 1: list(range(6))}, "caught up is the whole topic, whoever wrote it"


def test_a_driver_that_was_away_too_long_ends_and_doubles_nothing(tmp_path: Path) -> None:
    def meanwhile(call: int) -> None:
        if call == 4:
            stream.members.reassign((), lost=True)
            other_writer(tmp_path, 12)

    stream = MemoryStream(MemoryTopic({0: frames(80)}), tmp_path, Hooked(meanwhile).handles(), in_flight_blocks=1)
    with pytest.raises(TakenOver, match="another driver has taken them over"):
        stream.catch_up()
    found = stream.offsets()[0]
    assert found == list(range(len(found)))
    assert len(found) >= 12


def test_the_owner_goes_on_after_one_who_had_woken_up(tmp_path: Path) -> None:
    stream = MemoryStream(
        MemoryTopic({0: frames(80)}),
        tmp_path,
        Hooked(lambda call: other_writer(tmp_path, 12) if call == 4 else None).handles(),
        in_flight_blocks=1,
    )
    assert stream.catch_up().progress.generation == 2
    assert stream.offsets() == {0: list(range(80))}


@pytest.mark.slow
def test_somebody_who_writes_again_and_again_ends_the_stream(tmp_path: Path) -> None:
    stream = MemoryStream(
        MemoryTopic({0: frames(400)}), tmp_path, Hooked(lambda call: other_writer(tmp_path, 1)).handles(), in_flight_blocks=1
    )
    with pytest.raises(CommitRefused, match="Another process writes this run"):
        stream.catch_up()
    assert len(stream.plans) == 5
    found = stream.offsets()[0]
    assert found == list(range(len(found)))


@pytest.mark.parametrize("num_partitions", [1, 3])
def test_epochs_follow_each_other_in_the_order_of_the_log(tmp_path: Path, num_partitions: int) -> None:
    topic = MemoryTopic({number: frames(60) for number in range(num_partitions)})
    stream = MemoryStream(topic, tmp_path, epoch_max_blocks=3, epoch_s=5.0, epoch_overlap_s=1.0)

    def watch(progress: StreamProgress) -> None:
        if progress.frames_out == 60 * num_partitions:
            stream.stop.set()

    summary = stream.run({}, watch)
    assert (summary.drained, summary.progress.generation) == (True, 1)
    assert stream.epochs == list(range(len(stream.epochs)))
    assert len(stream.epochs) >= 5, "15 blocks per partition, three an epoch"
    assert stream.offsets() == {number: list(range(60)) for number in range(num_partitions)}


def test_selected_offsets_are_read_and_no_others(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(20), 1: frames(20)}), tmp_path)
    stream.job = replace(stream.job, selected_offsets={0: (3, 4, 9), 1: (0,)})
    stream.run({TopicPartition("frames", 0): 10, TopicPartition("frames", 1): 1})
    assert stream.offsets() == {0: [3, 4, 9], 1: [0]}


@pytest.mark.slow
def test_rows_that_wait_for_the_table_hold_the_readers_and_let_them_go(tmp_path: Path) -> None:
    stream = MemoryStream(MemoryTopic({0: frames(100), 1: frames(100)}), tmp_path, uncommitted_rows=8, in_flight_blocks=1)
    assert stream.catch_up().progress.generation == 1
    assert stream.offsets() == {0: list(range(100)), 1: list(range(100))}
