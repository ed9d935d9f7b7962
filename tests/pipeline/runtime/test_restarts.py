"""When a stream tries again, how long it waits before, and when it gives up."""

from __future__ import annotations

from contextlib import suppress

import pytest

from contracts.errors import RetryLater, StopPipeline
from pipeline.runtime.restarts import RestartPolicy
from pipeline.table.watermark import CommitRefused

AWAY = RetryLater(expected="a", got="b", where="c", action="d")
REFUSED = CommitRefused(expected="a", got="b", where="c", action="d")
BUG = RuntimeError("a bug")


def test_the_pause_doubles_up_to_five_seconds() -> None:
    policy = RestartPolicy(0.5)
    assert [policy.pause_after(AWAY, committed=False) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_generation_that_brought_rows_begins_the_count_anew() -> None:
    policy = RestartPolicy(0.5)
    for _ in range(9):
        policy.pause_after(BUG, committed=False)
    assert policy.pause_after(BUG, committed=True) == 0.5
    for _ in range(8):
        policy.pause_after(BUG, committed=False)
    with pytest.raises(StopPipeline, match=r"10 failures in a row, the last: RuntimeError\('a bug'\)") as stopped:
        policy.pause_after(BUG, committed=False)
    assert stopped.value.__cause__ is BUG


def test_what_is_away_is_waited_for_without_end() -> None:
    policy = RestartPolicy(0.5)
    assert {policy.pause_after(AWAY, committed=False) for _ in range(3_000)} == {0.5, 1.0, 2.0, 4.0, 5.0}


def test_a_pause_longer_than_the_longest_is_cut() -> None:
    assert RestartPolicy(60.0).pause_after(AWAY, committed=False) == 5.0


@pytest.mark.parametrize(("apart_s", "most"), [(0.0, 4), (29.0, 4), (30.5, 50), (1_000.0, 50)])
def test_five_refused_commits_within_two_minutes_are_too_many(apart_s: float, most: int) -> None:
    now = 0.0
    policy = RestartPolicy(0.5, clock=lambda: now)
    counted = 0
    with suppress(CommitRefused):
        while counted < 50:
            policy.count_refusal(REFUSED)
            counted += 1
            now += apart_s
    assert counted == most
