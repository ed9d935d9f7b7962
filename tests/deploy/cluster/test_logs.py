"""Log lines of every library end in the view, warnings only unless asked for more."""

from __future__ import annotations

import logging

import pytest
import structlog

from deploy.cluster.logs import logs_to


def test_warnings_of_structlog_and_logging_come_as_lines() -> None:
    said: list[str] = []
    with logs_to(said.append):
        structlog.get_logger("pipeline.stream").warning("generation_failed", next_generation=2)
        structlog.get_logger("pipeline.stream").info("committed", rows=3)
        logging.getLogger("pipeline.kafka.topics").warning("lag unknown: %s", "timeout")
        logging.getLogger("kafka.net.selector").warning("busy")
    logging.getLogger("pipeline.kafka.topics").warning("after the end")
    assert said == ["WARNING: generation_failed next_generation=2", "WARNING: lag unknown: timeout"]


def test_debug_shows_ours_and_not_the_libraries() -> None:
    said: list[str] = []
    with logs_to(said.append, debug=True):
        structlog.get_logger("pipeline.stream").debug("committed", rows=3)
        logging.getLogger("urllib3").debug("connection")
    assert said == ["DEBUG: committed rows=3"]
    assert logging.getLogger("pipeline").level == logging.NOTSET


def test_a_view_that_fails_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(text: str) -> None:
        raise OSError(text)

    with logs_to(broken):
        logging.getLogger("pipeline").warning("on the way")
    assert "OSError: WARNING: on the way" in capsys.readouterr().err
