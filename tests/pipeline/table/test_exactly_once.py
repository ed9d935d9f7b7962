"""Exactly once: whatever crashes when, every position ends as one row, in order (docs/architecture.md, rules 1, 2, 4 and 5)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import pytest
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contracts.arrow import table_to_outcomes
from contracts.errors import IrstreamError, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import DeadLetter, Outcome
from pipeline.events.dead_letters import DeadLetterPublisher
from pipeline.table.beside import BesideRows
from pipeline.table.committer import Committer
from pipeline.table.results_table import CommitInfo, OutcomeTable, ResultsTable
from pipeline.table.settings import SinkSettings
from tests.outcomes import gap, letter, result
from tests.pipeline.fakes import MemoryProducer, MemoryStorage, MemoryTable

NUM_PARTITIONS = 2
TIMEOUT_S = 120.0  # only against hanging
TOPIC_IDS = {"frames": "id-1"}
# After the first commit of a generation, which is made at once, only drain commits.
BY_HAND = SinkSettings(commit_interval_s=1e6, max_rows_per_commit=10_000)


class CrashError(IrstreamError):
    """The process died here."""


class CrashPoint(Enum):
    """Where in a commit."""

    NOWHERE = auto()
    BEFORE_DEAD_LETTERS = auto()
    BEFORE_DATA_FILE = auto()
    AFTER_DATA_FILE = auto()
    AFTER_COMMIT = auto()


class CrashPlan:
    """Crashes once at the chosen point."""

    point = CrashPoint.NOWHERE

    def reach(self, point: CrashPoint) -> None:
        if point is self.point:
            self.point = CrashPoint.NOWHERE
            raise CrashError(point.name)


class CrashingDeltaTable(ResultsTable):
    plan: CrashPlan

    def _write_files(self, rows: object) -> list[AddAction | RemoveAction]:
        self.plan.reach(CrashPoint.BEFORE_DATA_FILE)
        return super()._write_files(rows)

    def _commit_files(self, files: list[AddAction | RemoveAction], properties: CommitProperties) -> None:
        self.plan.reach(CrashPoint.AFTER_DATA_FILE)
        super()._commit_files(files, properties)
        self.plan.reach(CrashPoint.AFTER_COMMIT)


class CrashingMemoryTable(MemoryTable):
    plan: CrashPlan

    def append(
        self, outcomes: Sequence[Outcome], spans: Sequence[OffsetRange], topic_ids: Mapping[str, str], beside: Sequence[BesideRows] = ()
    ) -> CommitInfo:
        self.plan.reach(CrashPoint.BEFORE_DATA_FILE)
        self.plan.reach(CrashPoint.AFTER_DATA_FILE)
        info = super().append(outcomes, spans, topic_ids, beside)
        self.plan.reach(CrashPoint.AFTER_COMMIT)
        return info


class Machine(RuleBasedStateMachine):
    """A log of two partitions, a stream that reads it in blocks, and crashes."""

    runs_with_crashes = 0

    def open_table(self, plan: CrashPlan) -> OutcomeTable:
        raise NotImplementedError

    def snapshot(self) -> tuple[list[Outcome], dict[int, int]]:
        """Rows and offsets as a reader sees them at one moment (the committer's thread may be at work)."""
        raise NotImplementedError

    def rows(self) -> list[Outcome]:
        return self.snapshot()[0]

    @initialize(
        kinds=st.lists(st.lists(st.sampled_from("rrrrdmg"), min_size=1, max_size=40), min_size=NUM_PARTITIONS, max_size=NUM_PARTITIONS)
    )
    def fill_the_log(self, kinds: list[list[str]]) -> None:
        make: dict[str, Callable[[int, int], Outcome | None]] = {
            "r": lambda offset, partition: result(offset, partition=partition),
            "d": lambda offset, partition: letter(offset, partition=partition),
            "g": lambda offset, partition: gap(offset, offset + 1, partition=partition),
            "m": lambda offset, partition: None,  # a transaction marker
        }
        self.log = [[make[kind](offset, partition) for offset, kind in enumerate(row)] for partition, row in enumerate(kinds)]
        self.producer = MemoryProducer(instant=True)
        self.num_crashes = 0
        self.zombies: list[tuple[OutcomeTable, int]] = []
        self.begin_generation()

    def begin_generation(self) -> None:
        self.plan = CrashPlan()
        self.table = self.open_table(self.plan)
        next_offsets = self.table.next_offsets("frames", range(NUM_PARTITIONS))
        self.read_to = [next_offsets.get(partition, 0) for partition in range(NUM_PARTITIONS)]
        self.finished: list[OffsetRange] = []
        self.committer = Committer(
            self.table,
            topic_ids=TOPIC_IDS,
            settings=BY_HAND,
            dead_letters=DeadLetterPublisher(self.producer, "frames.dead", "live"),
            starts={TopicPartition("frames", partition): offset for partition, offset in enumerate(self.read_to)},
            on_committed=lambda spans, outcomes: None,
            on_failure=lambda error: None,
            before_commit=lambda timeout_s: self.plan.reach(CrashPoint.BEFORE_DEAD_LETTERS),
        )
        self.committer.start()

    def end_generation(self) -> None:
        self.committer.close()
        self.plan.point = CrashPoint.NOWHERE  # a crash that was never reached must not hit the zombie
        self.num_crashes += 1
        self.zombies.append((self.table, self.table.next_offsets("frames", [0]).get(0, 0)))
        self.begin_generation()

    def dead_letters_sent(self) -> Counter[str]:
        return Counter(dict(message.headers)["ce_id"].decode() for message in self.producer.log)

    def outcomes_of(self, span: OffsetRange) -> list[Outcome]:
        return [outcome for outcome in self.log[span.partition][span.start : span.stop] if outcome is not None]

    @rule(
        partition=st.integers(0, NUM_PARTITIONS - 1),
        lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
        order=st.permutations(range(4)),
    )
    def blocks_finish_in_any_order(self, partition: int, lengths: list[int], order: list[int]) -> None:
        spans = []
        for length in lengths:
            start = self.read_to[partition]
            stop = min(start + length, len(self.log[partition]))
            if stop > start:
                spans.append(OffsetRange("frames", partition, start, stop))
                self.read_to[partition] = stop
        try:
            for number in order:
                if number < len(spans):
                    self.committer.add(spans[number], self.outcomes_of(spans[number]))
        except StopPipeline:
            self.end_generation()

    @rule(point=st.sampled_from(CrashPoint))
    def commit(self, point: CrashPoint) -> None:
        self.plan.point = point
        try:
            self.committer.drain(TIMEOUT_S)
        except (CrashError, StopPipeline):
            self.end_generation()
        self.plan.point = CrashPoint.NOWHERE
        if not self.num_crashes:
            assert self.dead_letters_sent() == Counter(str(row.position) for row in self.rows() if isinstance(row, DeadLetter))

    @rule()
    def crash_between_commits(self) -> None:
        self.end_generation()

    @rule(number=st.integers(0, 3), length=st.integers(1, 3))
    def a_zombie_wakes_up(self, number: int, length: int) -> None:
        """It commits what it had in flight when it was left; the heir finds out at its own next commit."""
        if not self.zombies:
            return
        zombie, start = self.zombies[number % len(self.zombies)]
        span = OffsetRange("frames", 0, start, max(start, min(start + length, len(self.log[0]))))
        letters = [outcome for outcome in self.outcomes_of(span) if isinstance(outcome, DeadLetter)]
        DeadLetterPublisher(self.producer, "frames.dead", "live").send(letters)
        with suppress(StopPipeline):
            zombie.append(self.outcomes_of(span), [span], TOPIC_IDS)

    @invariant()
    def one_row_for_every_position_below_the_offset_and_none_above(self) -> None:
        if not hasattr(self, "log"):
            return
        rows, next_offsets = self.snapshot()
        accounted = [
            outcome
            for partition, next_offset in sorted(next_offsets.items())
            for outcome in self.log[partition][:next_offset]
            if outcome is not None
        ]
        assert sorted(rows, key=lambda row: row.position) == accounted

    @invariant()
    def every_rejected_row_has_its_dead_letter(self) -> None:
        if not hasattr(self, "log"):
            return
        rejected = [str(row.position) for row in self.rows() if isinstance(row, DeadLetter)]
        assert set(rejected) <= set(self.dead_letters_sent())

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        self.end_generation()
        for partition, start in enumerate(self.read_to):
            if (stop := len(self.log[partition])) > start:
                span = OffsetRange("frames", partition, start, stop)
                self.committer.add(span, self.outcomes_of(span))
        self.committer.drain(TIMEOUT_S)
        self.committer.close()
        type(self).runs_with_crashes += self.num_crashes > 1  # the last is that of the end
        everything = [outcome for partition in self.log for outcome in partition if outcome is not None]
        assert sorted(self.rows(), key=lambda row: row.position) == everything


class MemoryMachine(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.storage = MemoryStorage()

    def open_table(self, plan: CrashPlan) -> OutcomeTable:
        table = CrashingMemoryTable(self.storage, "live")
        table.plan = plan
        return table

    def snapshot(self) -> tuple[list[Outcome], dict[int, int]]:
        with self.storage.lock:
            return [row for _, row in self.storage.rows], {
                name.partition: offset for (_, name), offset in self.storage.next_offsets.items()
            }


class DeltaMachine(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "results"

    def open_table(self, plan: CrashPlan) -> OutcomeTable:
        table = CrashingDeltaTable(str(self.path), "live")
        table.open_or_create()
        table.plan = plan
        return table

    def snapshot(self) -> tuple[list[Outcome], dict[int, int]]:
        table = DeltaTable(self.path)
        next_offsets = {partition: table.transaction_version(f"live/frames/{partition}") for partition in range(NUM_PARTITIONS)}
        return table_to_outcomes(table.to_pyarrow_table()), {name: offset for name, offset in next_offsets.items() if offset is not None}

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


@pytest.mark.parametrize(
    ("machine", "examples", "steps"),
    [pytest.param(MemoryMachine, 40, 40, id="memory"), pytest.param(DeltaMachine, 6, 12, id="delta", marks=pytest.mark.slow)],
)
def test_every_position_exactly_one_row_whatever_crashes(machine: type[Machine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)),
    )
    # The machine compares rows with the log after each step and at the end; a machine that never crashed would compare little.
    assert machine.runs_with_crashes > examples / 4
