"""The committer: what goes along with a commit, its pace after a large one, and who hears of a failure."""

from __future__ import annotations

import threading

import pytest

from contracts.errors import GenerationFailed
from tests.outcomes import result
from tests.pipeline.table.test_committer import NEVER_S, TIMEOUT_S, Stage, running, span


def test_the_topic_id_goes_along() -> None:
    stage = Stage()
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        committer.drain(TIMEOUT_S)
    assert set(stage.storage.topic_ids.values()) == {"id-1"}


def test_after_a_large_commit_the_pace_holds_again() -> None:
    stage = Stage(commit_interval_s=NEVER_S, max_rows_per_commit=10)
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        stage.wait_for_rows(1)
        committer.add(span(1, 11), [result(offset) for offset in range(1, 11)])  # exactly the bound: at once
        stage.wait_for_rows(11)
        stage.table.entered.clear()
        committer.add(span(11, 12), [result(11)])
        assert not stage.table.entered.wait(0.1), "one row is no full commit"
    assert stage.table.sizes == [1, 10]


def test_drain_waits_for_the_commit_under_way() -> None:
    stage = Stage()
    stage.table.gate.clear()
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        assert stage.table.entered.wait(TIMEOUT_S)
        draining = threading.Thread(target=committer.drain, args=(TIMEOUT_S,))
        draining.start()
        draining.join(0.05)
        assert draining.is_alive()
        stage.table.gate.set()
        draining.join(TIMEOUT_S)
        assert stage.committed == [span(0, 1)]


@pytest.mark.parametrize("kind", [ValueError, KeyError, MemoryError])
def test_any_bug_is_a_failure_too(kind: type[Exception]) -> None:
    def broken(_: float) -> None:
        raise kind("bug")

    stage = Stage(before_commit=broken)
    with running(stage) as committer:
        committer.add(span(0, 1), [result(0)])
        assert stage.failed.wait(TIMEOUT_S)
        with pytest.raises(kind):
            committer.drain(TIMEOUT_S)


def test_the_bound_of_waiting_spans_is_the_settings() -> None:
    stage = Stage(max_waiting_spans=2)
    with running(stage) as committer:
        committer.add(span(1, 2), [])
        committer.add(span(2, 3), [])
        with pytest.raises(GenerationFailed, match="at most 2 spans"):
            committer.add(span(3, 4), [])


def test_the_owner_may_close_when_it_hears_of_a_failure() -> None:
    closed = threading.Event()

    class ClosingStage(Stage):
        def on_failure(self, error: BaseException) -> None:
            self.committer.close()
            closed.set()

    stage = ClosingStage()
    with running(stage) as committer:
        committer.add(span(0, 1), [result(7)])
        assert closed.wait(TIMEOUT_S), "a thread that waits for its own end"
