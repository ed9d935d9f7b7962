"""Log lines: the same for structlog and the standard library, JSON where nobody watches, repetitions bounded."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from observability.logging import RateLimit, formatter, send_structlog_to_logging


@contextmanager
def capture(*, human: bool, limit: RateLimit | None = None) -> Iterator[io.StringIO]:
    """What is logged below `irtest` and `kafka`."""
    send_structlog_to_logging()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(human=human))
    if limit is not None:
        handler.addFilter(limit)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        structlog.reset_defaults()


def test_json_has_time_level_logger_event_and_values() -> None:
    with capture(human=False) as stream:
        structlog.get_logger("irtest.sink").warning("commit_late", rows=3, where="cam-ü")
        logging.getLogger("irtest.kafka").warning("no answer for %s s", 7)
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "commit_late", "level": "warning", "logger": "irtest.sink", "rows": 3, "where": "cam-ü"}
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("no answer for 7 s", "irtest.kafka", "warning")


def test_an_exception_stays_one_json_line() -> None:
    with capture(human=False) as stream:
        try:
            raise RuntimeError("boom")
        except RuntimeError:
            structlog.get_logger("irtest").exception("committer_failed")
    (line,) = stream.getvalue().splitlines()
    assert "RuntimeError: boom" in json.loads(line)["exception"]


def test_people_read_one_line() -> None:
    with capture(human=True) as stream:
        structlog.get_logger("irtest").warning("alerts_wait", error="no broker", tries=2)
    assert stream.getvalue() == "WARNING: alerts_wait error='no broker' tries=2\n"


def test_repetitions_of_the_client_come_once_in_a_while_with_their_number() -> None:
    now = [0.0]
    with capture(human=True, limit=RateLimit(10.0, clock=lambda: now[0])) as stream:
        for second in range(21):
            now[0] = second
            logging.getLogger("kafka.conn").warning("no connection, try %d", second)
            logging.getLogger("irtest").warning("ours %d", second)
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if "try" in line] == [
        "WARNING: no connection, try 0",
        "WARNING: no connection, try 10 (and 9 like it)",
        "WARNING: no connection, try 20 (and 9 like it)",
    ]
    assert sum("ours" in line for line in lines) == 21
