"""The committer: pace, order of the steps, and what its owner hears of failures."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from contracts.errors import GenerationFailed, RetryLater, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Outcome
from pipeline.events.dead_letters import DeadLetterPublisher
from pipeline.table.beside import BesideRows
from pipeline.table.committer import Committer
from pipeline.table.results_table import CommitInfo, OutcomeTable
from pipeline.table.settings import SinkSettings
from pipeline.table.watermark import CommitRefused
from tests.outcomes import letter, result
from tests.pipeline.fakes import MemoryProducer, MemoryStorage, MemoryTable

TIMEOUT_S = 120.0  # only against hanging
NEVER_S = 1e6


def span(start: int, stop: int, partition: int = 0) -> OffsetRange:
    return OffsetRange("frames", partition, start, stop)


class Stage:
    """A committer with everything around it in memory, and a record of what happened in which order."""

    def __init__(self, table: OutcomeTable | None = None, before_commit: Callable[[float], None] | None = None, **settings: float) -> None:
        self.storage = MemoryStorage()
        self.producer = MemoryProducer()
        self.events: list[str] = []
        self.committed: list[OffsetRange] = []
        self.visible: list[Outcome] = []
        self.failures: list[BaseException] = []
        self.failed = threading.Event()
        self.seen = threading.Condition()
        self.ordered: list[tuple[OffsetRange, str]] = []
        self.table = Recording(table or MemoryTable(self.storage, "live"), self)
        self.committer = Committer(
            self.table,
            topic_ids={"frames": "id-1"},
            settings=SinkSettings.model_validate({"commit_interval_s": 0.01} | settings),
            dead_letters=DeadLetterPublisher(self.producer, "frames.dead", "live"),
            starts={TopicPartition("frames", 0): 0, TopicPartition("frames", 1): 0},
            on_committed=self.on_committed,
            on_failure=self.on_failure,
            before_commit=before_commit,
            in_order=self.in_order,
        )

    def in_order(self, span: OffsetRange, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
        self.ordered.append((span, threading.current_thread().name))
        return tuple(outcomes)

    def on_committed(self, spans: Sequence[OffsetRange], outcomes: Sequence[Outcome]) -> None:
        with self.seen:
            self.events.append("committed")
            self.committed += spans
            self.visible += outcomes
            self.seen.notify_all()

    def on_failure(self, error: BaseException) -> None:
        self.failures.append(error)
        self.failed.set()

    def wait_for_rows(self, num_rows: int) -> None:
        with self.seen:
            assert self.seen.wait_for(lambda: len(self.visible) >= num_rows, TIMEOUT_S)


class Recording:
    """The table, writing down when it is called and with how much; `gate` holds a commit up."""

    def __init__(self, table: OutcomeTable, stage: Stage) -> None:
        self._table = table
        self._stage = stage
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def next_offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        return self._table.next_offsets(topic, partitions)

    def append(
        self, outcomes: Sequence[Outcome], spans: Sequence[OffsetRange], topic_ids: Mapping[str, str], beside: Sequence[BesideRows] = ()
    ) -> CommitInfo:
        self.entered.set()
        assert self.gate.wait(TIMEOUT_S)
        self._stage.events.append(f"append after {len(self._stage.producer.log)} dead letters")
        self.sizes.append(len(outcomes))
        return self._table.append(outcomes, spans, topic_ids, beside)


@contextmanager
def running(stage: Stage) -> Iterator[Committer]:
    stage.committer.start()
    try:
        yield stage.committer
    finally:
        stage.table.gate.set()
        stage.committer.close()


def test_what_is_ready_becomes_visible_by_itself_in_log_order() -> None:
    stage = Stage()
    with running(stage) as committer:
        committer.add(span(2, 4), [result(2), result(3)])
        committer.add(span(0, 1, partition=1), [result(0, partition=1)])
        committer.add(span(0, 2), [result(0), result(1)])
        stage.wait_for_rows(5)
    assert [row.position.offset for _, row in stage.storage.rows if row.position.partition == 0] == [0, 1, 2, 3]
    assert sorted(stage.committed) == [span(0, 2), span(2, 4), span(0, 1, partition=1)]


def test_the_pace_bounds_the_number_of_commits_and_drain_does_not_wait_for_it() -> None:
    stage = Stage(commit_interval_s=NEVER_S)
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        stage.wait_for_rows(1)
        for offset in range(1, 50):
            committer.add(span(offset, offset + 1), [result(offset)])
        committer.drain(TIMEOUT_S)
    assert stage.table.sizes == [1, 49]


def test_many_rows_are_committed_at_once_and_no_commit_is_larger_than_the_bound() -> None:
    stage = Stage(commit_interval_s=NEVER_S, max_rows_per_commit=10)
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        stage.wait_for_rows(1)
        committer.add(span(4, 12), [result(offset) for offset in range(4, 12)])
        committer.add(span(1, 4), [result(offset) for offset in range(1, 4)])
        stage.wait_for_rows(4)
        committer.drain(TIMEOUT_S)
    assert stage.table.sizes == [1, 3, 8]


def test_spans_without_rows_and_empty_spans_are_given_back() -> None:
    stage = Stage()
    with running(stage) as committer:
        committer.add(span(0, 5), [])
        committer.add(span(9, 9), [])
        committer.drain(TIMEOUT_S)
    assert stage.committed == [span(0, 5), span(9, 9)]
    assert stage.table.next_offsets("frames", range(2)) == {0: 5}


def test_alerts_then_dead_letters_then_rows_then_their_owner() -> None:
    events: list[str] = []
    stage = Stage(before_commit=lambda timeout_s: events.append(f"alerts within {timeout_s:g} s"), publish_timeout_s=7)
    stage.events = events
    with running(stage) as committer:
        committer.add(span(0, 3), [letter(0), result(1), letter(2, sensor_id=None)])
        committer.drain(TIMEOUT_S)
    assert events == ["alerts within 7 s", "append after 2 dead letters", "committed"]
    first, second = stage.producer.log
    assert (first.position.topic, first.key, second.key) == ("frames.dead", b"cam-1", None)
    body = json.loads(first.value or b"")
    assert body | {"id": "frames/0/0", "topic": "frames", "partition": 0, "offset": 0, "run_id": "live", "reason": "corrupt_image"} == body


def test_no_row_without_its_dead_letter() -> None:
    stage = Stage()
    stage.producer.away = True
    with running(stage) as committer:
        committer.add(span(0, 1), [letter(0)])
        with pytest.raises(RetryLater):
            committer.drain(0.2)
        assert stage.storage.rows == []
        stage.producer.away = False
        stage.wait_for_rows(1)
    assert len(stage.producer.log) == 1, "it was sent once, and waited for twice"
    assert stage.failures == []


def test_no_row_without_its_alert() -> None:
    back = threading.Event()

    def flush_alerts(_: float) -> None:
        if not back.is_set():
            raise RetryLater(expected="a broker", got="silence", where="alerts", action="Wait.")

    stage = Stage(before_commit=flush_alerts)
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        with pytest.raises(RetryLater):
            committer.drain(0.2)
        assert stage.storage.rows == []
        back.set()
        stage.wait_for_rows(1)


class Unsteady(MemoryTable):
    """Fails once before the commit, and once after it: the second time its answer is lost."""

    attempts = 0

    def append(
        self, outcomes: Sequence[Outcome], spans: Sequence[OffsetRange], topic_ids: Mapping[str, str], beside: Sequence[BesideRows] = ()
    ) -> CommitInfo:
        self.attempts += 1
        if self.attempts > 1:
            info = super().append(outcomes, spans, topic_ids, beside)
        if self.attempts <= 2:
            raise RetryLater(expected="a table", got="no space left on device", where="memory", action="Wait.")
        return info


def test_rows_wait_for_a_table_that_is_away_and_are_written_once() -> None:
    storage = MemoryStorage()
    stage = Stage(Unsteady(storage, "live"))
    with running(stage) as committer:
        committer.add(span(0, 2), [result(0), result(1)])
        stage.wait_for_rows(2)
        committer.add(span(2, 3), [result(2)])
        stage.wait_for_rows(3)
    assert [row.position.offset for _, row in storage.rows] == [0, 1, 2]
    assert stage.failures == []


def test_while_the_table_is_away_what_depends_on_the_order_is_done_for_one_commit_only() -> None:
    """Its events are sent before the commit: they run ahead of their rows by no more than that, and never in the thread that adds."""
    stage = Stage()
    stage.table.gate.clear()
    with running(stage) as committer:
        committer.add(span(0, 2), [result(0), result(1)])
        assert stage.table.entered.wait(TIMEOUT_S)
        for offset in range(2, 9):
            committer.add(span(offset, offset + 1), [result(offset)])
        assert stage.ordered == [(span(0, 2), "committer")]
        stage.table.gate.set()
        stage.wait_for_rows(9)
    assert [each for each, _ in stage.ordered] == stage.committed
    assert {thread for _, thread in stage.ordered} == {"committer"}


def test_the_end_of_the_generation_ends_the_waiting() -> None:
    class Gone(MemoryTable):
        def append(
            self, outcomes: Sequence[Outcome], spans: Sequence[OffsetRange], topic_ids: Mapping[str, str], beside: Sequence[BesideRows] = ()
        ) -> CommitInfo:
            raise RetryLater(expected="a table", got="silence", where="memory", action="Wait.")

    stage = Stage(Gone(MemoryStorage(), "live"))
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        assert stage.table.entered.wait(TIMEOUT_S)
    assert [type(failure) for failure in stage.failures] == [GenerationFailed]
    assert not stage.committer._thread.is_alive()


def test_a_failure_reaches_the_owner_on_every_way() -> None:
    stage = Stage()
    with running(stage) as committer:
        MemoryTable(stage.storage, "live").append([result(0)], [span(0, 1)], {})
        committer.add(span(0, 1), [result(0)])
        assert stage.failed.wait(TIMEOUT_S)
        assert [type(failure) for failure in stage.failures] == [CommitRefused]
        with pytest.raises(StopPipeline):
            committer.add(span(1, 2), [result(1)])
        with pytest.raises(StopPipeline):
            committer.drain(TIMEOUT_S)
    assert stage.committed == []


def test_a_bug_is_a_failure_too() -> None:
    stage = Stage()
    with running(stage) as committer:
        committer.add(span(0, 1), [result(5)])
        assert stage.failed.wait(TIMEOUT_S)
        with pytest.raises(ValueError, match="inside the spans"):
            committer.drain(TIMEOUT_S)


def test_drain_finds_a_lost_span() -> None:
    stage = Stage()
    with running(stage) as committer:
        committer.add(span(1, 2), [result(1)])
        with pytest.raises(GenerationFailed, match="starts at frames/0/0"):
            committer.drain(TIMEOUT_S)


def test_rows_behind_a_piece_that_a_stop_cut_short_are_dropped() -> None:
    stage = Stage()
    with running(stage) as committer:
        committer.add(span(1, 2), [result(1)])
        committer.add(span(3, 4), [result(3)])
        committer.add(span(0, 1), [result(0)])
        committer.drain(TIMEOUT_S, holes=True)
        assert committer.num_waiting == 1
    assert [(each.start, each.stop) for each in stage.committed] == [(0, 1), (1, 2)]


def test_drain_is_bounded_in_time() -> None:
    stage = Stage()
    stage.table.gate.clear()
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        with pytest.raises(RetryLater, match=r"within 0\.05 s"):
            committer.drain(0.05)


def test_close_ends_the_commit_under_way_and_begins_no_other() -> None:
    stage = Stage()
    stage.table.gate.clear()
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        assert stage.table.entered.wait(TIMEOUT_S)
        committer.add(span(1, 2), [result(1)])
        closing = threading.Thread(target=committer.close)
        closing.start()

        def add_until_refused() -> None:
            while True:
                committer.add(span(2, 2), [])

        with pytest.raises(GenerationFailed, match="after its end"):
            add_until_refused()
        stage.table.gate.set()
        closing.join(TIMEOUT_S)
        assert not closing.is_alive()
    assert [row.position.offset for _, row in stage.storage.rows] == [0]


def test_a_commit_that_comes_after_the_end_of_its_generation_makes_no_row() -> None:
    """The next generation has read where the table stands: a late row would look like another process."""
    entered, go_on = threading.Event(), threading.Event()

    def slow_broker(_: float) -> None:
        entered.set()
        go_on.wait(TIMEOUT_S)

    stage = Stage(before_commit=slow_broker)
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        assert entered.wait(TIMEOUT_S)
        closing = threading.Thread(target=committer.close)
        closing.start()
        while not committer._closed:
            time.sleep(0.001)
        go_on.set()
        closing.join(TIMEOUT_S)
    assert stage.storage.rows == []
    assert isinstance(stage.failures[0], GenerationFailed)


def test_overlap_is_refused_to_the_caller() -> None:
    stage = Stage(commit_interval_s=NEVER_S)
    with running(stage) as committer:
        committer.add(span(0, 2), [])
        with pytest.raises(GenerationFailed):
            committer.add(span(1, 3), [])
