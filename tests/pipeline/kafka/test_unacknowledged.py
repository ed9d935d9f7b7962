"""The bookkeeping of a producer, without a broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from contracts.errors import RetryLater, SettingsError
from pipeline.kafka.unacknowledged import Backlog, Message

TIMEOUT_S = 120.0  # only against hanging
NEVER_S = 1e6


def message(num_bytes: int) -> Message:
    return Message("topic", b"", bytes(num_bytes), [], 0, None)


def test_messages_leave_in_any_order_and_are_counted_once() -> None:
    backlog = Backlog(100, "here")
    numbers = [backlog.add(message(10)) for _ in range(3)]
    backlog.acknowledge(numbers[1])
    backlog.acknowledge(numbers[1])
    assert (len(backlog), backlog.num_acked) == (2, 1)
    assert [number for number, _ in backlog.snapshot()] == [numbers[0], numbers[2]]
    assert backlog.drop(numbers[0])
    assert not backlog.drop(numbers[0])
    assert (len(backlog), backlog.num_acked) == (1, 1)


def test_size_counts_key_value_and_headers() -> None:
    assert Message("topic", b"key", b"value", [("name", b"text")], 0, None).num_bytes == 3 + 5 + 4 + 4
    assert Message("topic", None, None, [], 0, None).num_bytes == 0


def test_one_message_above_the_limit_passes_alone() -> None:
    backlog = Backlog(100, "here")
    backlog.wait_for_room(1000, 0.0)
    number = backlog.add(message(1000))
    with pytest.raises(RetryLater, match=r"here.*1 messages \(1000 bytes\)"):
        backlog.wait_for_room(1, 0.01)
    backlog.acknowledge(number)
    backlog.wait_for_room(1, 0.0)


class WatchedBacklog(Backlog):
    """`waits` is set once somebody waits."""

    def __init__(self) -> None:
        super().__init__(100, "here")
        self.waits = threading.Event()

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> None:
        self.waits.set()
        super()._wait(done, timeout_s)


@contextmanager
def waiting(backlog: WatchedBacklog, wait: Callable[[], None]) -> Iterator[None]:
    """Have a thread wait while the block runs; after the block it must return."""
    returned = threading.Event()

    def call() -> None:
        wait()
        returned.set()

    threading.Thread(target=call, daemon=True).start()
    assert backlog.waits.wait(TIMEOUT_S)
    assert not returned.is_set()
    yield
    assert returned.wait(TIMEOUT_S)


def test_room_is_given_as_soon_as_there_is_some() -> None:
    backlog = WatchedBacklog()
    numbers = [backlog.add(message(50)) for _ in range(2)]
    with waiting(backlog, lambda: backlog.wait_for_room(50, NEVER_S)):
        backlog.acknowledge(numbers[0])
    assert [number for number, _ in backlog.snapshot()] == numbers[1:], "the other is still there"


def test_waiting_ends_with_what_was_there_before() -> None:
    backlog = WatchedBacklog()
    first = backlog.add(message(1))
    with waiting(backlog, lambda: backlog.wait_until_acked(NEVER_S)):
        backlog.add(message(1))
        backlog.acknowledge(first)
    assert len(backlog) == 1


def test_an_error_is_raised_once_by_whoever_waits_next() -> None:
    backlog = Backlog(100, "here")
    backlog.raise_later(SettingsError(expected="a", got="b", where="c", action="d"))
    with pytest.raises(SettingsError):
        backlog.wait_for_room(1, 0.0)
    backlog.wait_for_room(1, 0.0)


def test_quiet_time_runs_only_while_something_waits() -> None:
    now_s = 100.0
    backlog = Backlog(100, "here", clock=lambda: now_s)
    now_s += 5
    assert backlog.quiet_s == 0.0
    first = backlog.add(message(1))
    now_s += 2
    backlog.add(message(1))
    assert backlog.quiet_s == 2.0
    backlog.restart_clock()
    assert backlog.quiet_s == 0.0
    now_s += 3
    assert backlog.quiet_s == 3.0
    backlog.acknowledge(first)
    now_s += 1
    assert backlog.quiet_s == 1.0
