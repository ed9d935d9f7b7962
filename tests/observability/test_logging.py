"""Log lines: the same for structlog and the standard library, JSON where nobody watches."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from observability.logging import formatter, send_structlog_to_logging


@contextmanager
def capture(*, human: bool) -> Iterator[io.StringIO]:
    """What is logged."""
    send_structlog_to_logging()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(human=human))
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


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    record = logging.LogRecord("kafka", logging.WARNING, "", 0, "topic cam\x1b[2J of %s\x9b", ("a\x07",), None)
    line = formatter(human=True).format(record)
    assert line == "WARNING: topic cam\\x1b[2J of a\\x07\\x9b"
    assert "\x1b" not in formatter(human=False).format(record)
