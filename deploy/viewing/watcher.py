"""Threads that carry the feeds to the wall, only while somebody looks; a feed that fails is opened again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from contracts.errors import IrstreamError
from contracts.frame import RawRecord
from deploy.viewing.interfaces import RowFeed, Tail
from deploy.viewing.wall import Wall
from pipeline.events.targets import TargetMessage

_LOG = logging.getLogger(__name__)
_TICK_S, _POLL_S, _ROWS_S, _LAG_S, _AGAIN_S = 0.2, 0.5, 1.0, 2.0, 3.0
_LINGER_S = 20.0  # somebody who loads the page again finds it as it was
_MOST_EVENT_BYTES = 64 * 1024


class Watcher:
    """Reads while at least one page is open."""

    def __init__(self, wall: Wall, open_frames: Callable[[], Tail], open_events: Callable[[], Tail] | None, rows: RowFeed) -> None:
        """Nothing is read before somebody watches.

        Args:
            wall: what is read goes there.
            open_frames: the topic of frames.
            open_events: the topic of alerts; None where there is none.
            rows: of the results table.
        """
        self._wall, self._open_frames, self._open_events, self._rows = wall, open_frames, open_events, rows
        self._lock = threading.Lock()
        self._num = 0
        self._left_at = float("-inf")
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For as long as a page is open."""
        with self._lock:
            self._num += 1
            if not self._threads:
                self._start()
            self._wanted.set()
        try:
            yield
        finally:
            with self._lock:
                self._num -= 1
                self._left_at = time.monotonic()

    @property
    def num_watching(self) -> int:
        """Pages that are open."""
        return self._num

    def close(self) -> None:
        """End the threads."""
        self._closed.set()
        self._wanted.set()
        for each in self._threads:
            each.join(10)

    def _start(self) -> None:
        jobs: dict[str, Callable[[], None]] = {"frames": self._read_frames, "rows": self._read_rows, "clock": self._tick}
        if self._open_events is not None:
            jobs["events"] = self._read_events
        self._threads = [
            threading.Thread(target=self._run, args=(name, job), name=f"view-{name}", daemon=True) for name, job in jobs.items()
        ]
        for each in self._threads:
            each.start()

    def _goes_on(self) -> bool:
        """False once nobody has looked for a while."""
        if self._closed.is_set():
            return False
        with self._lock:
            if self._num or time.monotonic() - self._left_at < _LINGER_S:
                return True
            self._wanted.clear()
            return False

    def _run(self, name: str, job: Callable[[], None]) -> None:
        while self._wanted.wait() and not self._closed.is_set():
            try:
                job()
            except IrstreamError as error:
                self._wall.set_feed(name, str(error))
                self._closed.wait(_AGAIN_S)
            except Exception as error:  # noqa: BLE001 - one feed must not end the others
                self._wall.set_feed(name, f"a fault of irstream: {type(error).__name__}")
                _LOG.exception("feed %s failed", name)
                self._closed.wait(_AGAIN_S)

    def _read_frames(self) -> None:
        tail = self._open_frames()
        try:
            asked_at = float("-inf")
            while self._goes_on():
                self._wall.add_frames(tail.poll(_POLL_S))
                self._wall.set_skipped(tail.skipped)
                if time.monotonic() - asked_at > _LAG_S:
                    self._wall.set_lag(tail.end_offsets(), self._rows.next_offsets)
                    asked_at = time.monotonic()
                self._wall.set_feed("frames", None)
        finally:
            tail.close()

    def _read_events(self) -> None:
        assert self._open_events is not None
        tail = self._open_events()
        try:
            while self._goes_on():
                self._wall.add_events(_events(tail.poll(_POLL_S)))
                self._wall.set_feed("events", None)
        finally:
            tail.close()

    def _read_rows(self) -> None:
        while self._goes_on():
            self._wall.add_rows(self._rows.poll())
            self._wall.set_feed("rows", None)
            self._closed.wait(_ROWS_S)

    def _tick(self) -> None:
        while self._goes_on():
            self._wall.tick()
            self._closed.wait(_TICK_S)


def _events(records: Iterable[RawRecord]) -> Iterator[TargetMessage]:
    """Events among the messages of the topic; others are left out."""
    for record in records:
        if record.value is None or len(record.value) > _MOST_EVENT_BYTES:
            continue
        try:
            yield TargetMessage.model_validate_json(record.value)
        except ValidationError:
            continue
