"""Messages that a producer was given and the broker has not acknowledged: kept in order, counted in bytes, waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from contracts.errors import RetryLater, StopPipeline


@dataclass(slots=True, eq=False)
class Message:
    """A message with all that is needed to send it again.

    Attributes:
        attempts: how often it was to blame for the end of a producer.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int
    partition: int | None
    attempts: int = 0

    @property
    def num_bytes(self) -> int:
        """Key, value and headers."""
        return len(self.key or b"") + len(self.value or b"") + sum(len(name) + len(text) for name, text in self.headers)


class Backlog:
    """Numbered messages without acknowledgement; safe for threads."""

    def __init__(self, max_bytes: int, where: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin empty.

        Args:
            max_bytes: `wait_for_room` waits above it; one message may exceed it alone.
            where: for error texts.
            clock: seconds, for `quiet_s`.
        """
        self._max_bytes = max_bytes
        self._where = where
        self._clock = clock
        self._changed = threading.Condition()
        self._messages: dict[int, Message] = {}  # in order of their numbers
        self._bytes = 0
        self._last_number = 0
        self._error: StopPipeline | None = None
        self._quiet_since = self._clock()
        self.num_acked = 0

    def __len__(self) -> int:
        """Number of messages that wait."""
        return len(self._messages)

    @property
    def quiet_s(self) -> float:
        """For how long nothing was acknowledged although something waits."""
        with self._changed:
            return self._clock() - self._quiet_since if self._messages else 0.0

    def add(self, message: Message) -> int:
        """Keep a message; gives its number."""
        num_bytes = message.num_bytes
        with self._changed:
            if not self._messages:
                self._quiet_since = self._clock()
            self._last_number += 1
            self._messages[self._last_number] = message
            self._bytes += num_bytes
            return self._last_number

    def drop(self, number: int) -> bool:
        """Forget a message; False when it was no longer there."""
        with self._changed:
            message = self._messages.pop(number, None)
            if message is None:
                return False
            self._bytes -= message.num_bytes
            self._changed.notify_all()
            return True

    def acknowledge(self, number: int) -> None:
        """Forget a message that is written. A second answer for it (two producers have sent it) changes nothing."""
        with self._changed:
            if self.drop(number):
                self.num_acked += 1
                self._quiet_since = self._clock()

    def get(self, number: int) -> Message | None:
        """A message that still waits."""
        with self._changed:
            return self._messages.get(number)

    def snapshot(self) -> list[tuple[int, Message]]:
        """All that wait, oldest first."""
        with self._changed:
            return list(self._messages.items())

    def restart_clock(self) -> None:
        """A new producer gets its own time."""
        with self._changed:
            self._quiet_since = self._clock()

    def raise_later(self, error: StopPipeline) -> None:
        """Have an error raised, once, by whoever waits next."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def wait_for_room(self, num_bytes: int, timeout_s: float) -> None:
        """Wait until so many bytes more may be kept.

        Raises:
            RetryLater: not within the time.
            StopPipeline: what `raise_later` was given.
        """
        self._wait(lambda: not self._messages or self._bytes + num_bytes <= self._max_bytes, timeout_s)

    def wait_until_acked(self, timeout_s: float) -> None:
        """Wait until everything added before this call has left. Errors as `wait_for_room`."""
        with self._changed:
            last = self._last_number
        self._wait(lambda: next(iter(self._messages), last + 1) > last, timeout_s)

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: done() or self._error is not None, timeout_s)
            error, self._error = self._error, None
            if error is not None:
                raise error
            if not done():
                raise RetryLater(
                    expected=f"Kafka to acknowledge what it was sent within {timeout_s:g} s",
                    got=f"{len(self._messages)} messages ({self._bytes} bytes) without answer for {self.quiet_s:.1f} s",
                    where=self._where,
                    action="They are sent as soon as the broker is back.",
                )
