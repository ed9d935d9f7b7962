"""The bookkeeping of a producer, without a broker."""

from __future__ import annotations

import threading
import time

import pytest

from contracts.errors import RetryLater, SettingsError
from pipeline.backlog import Backlog, Message


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


def test_room_is_given_as_soon_as_there_is_some() -> None:
    backlog = Backlog(100, "here")
    numbers = [backlog.add(message(50)) for _ in range(2)]
    threading.Timer(0.05, backlog.acknowledge, [numbers[0]]).start()
    began = time.monotonic()
    backlog.wait_for_room(50, 10.0)
    assert time.monotonic() - began < 5


def test_waiting_ends_with_what_was_there_before() -> None:
    backlog = Backlog(100, "here")
    first = backlog.add(message(1))

    def meanwhile() -> None:
        backlog.add(message(1))
        backlog.acknowledge(first)

    threading.Timer(0.2, meanwhile).start()
    backlog.wait_until_acked(10.0)
    assert len(backlog) == 1


def test_an_error_is_raised_once_by_whoever_waits_next() -> None:
    backlog = Backlog(100, "here")
    backlog.raise_later(SettingsError(expected="a", got="b", where="c", action="d"))
    with pytest.raises(SettingsError):
        backlog.wait_for_room(1, 0.0)
    backlog.wait_for_room(1, 0.0)


def test_quiet_time_runs_only_while_something_waits() -> None:
    backlog = Backlog(100, "here")
    assert backlog.quiet_s == 0.0
    backlog.add(message(1))
    time.sleep(0.02)
    assert backlog.quiet_s >= 0.02
    backlog.restart_clock()
    assert backlog.quiet_s < 0.02
