"""Log of kafka-python: shortened for people, and searched for the reason of a failure."""

from __future__ import annotations

import logging
import re
import time

_LOGGER = logging.getLogger("kafka")
_REPEAT_AFTER_S = 10.0
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
# What kafka-python warns of and nobody can act on: a step of its own loop that took 0.1 s, normal on a busy machine; our listener, which
# waits for the driver and blocks nothing.
_NO_NEWS = re.compile("blocking the event loop|^Rebalance listener .* took")


class Reasons(logging.Handler):
    """Collects why a connection failed: what kafka-python raises is only that the time is up."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        super().__init__(logging.WARNING)
        self._seen: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what reports a failure."""
        text = record.getMessage()
        if "ailed" in text and not text.startswith("Bootstrap failed"):
            self._seen[text] = None

    def __str__(self) -> str:
        """The last one, in parentheses; empty when there is none."""
        return f" ({list(self._seen)[-1]})" if self._seen else ""

    def __enter__(self) -> Reasons:
        """Listen."""
        _LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        _LOGGER.removeHandler(self)


class CalmHandler(logging.Handler):
    """Passes on the first of equal log records, and again after `_REPEAT_AFTER_S` with how many were held back.

    During an outage kafka-python logs four errors per attempt and client.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self._last: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on or count."""
        if _NO_NEWS.search(str(record.msg)):
            return
        if record.exc_info and isinstance(record.exc_info[1], AttributeError) and "closing socket" in str(record.msg):
            return  # it reads once more from a socket that it has just closed itself
        key = (record.name, _NUMBER.sub("#", str(record.msg)))  # some of its messages are finished texts with numbers in them
        now = time.monotonic()
        last_at, held_back = self._last.get(key, (-_REPEAT_AFTER_S, 0))
        if now - last_at < _REPEAT_AFTER_S:
            self._last[key] = (last_at, held_back + 1)
            return
        self._last[key] = (now, 0)
        if held_back:
            record.msg = f"{record.getMessage()} ({held_back} more like it in {now - last_at:.0f} s)"
            record.args = None
        logging.getLogger().handle(record)


def calm_kafka_logging() -> None:
    """Put a `CalmHandler` between the loggers of kafka-python and everybody else's. Does nothing the second time."""
    if not any(isinstance(handler, CalmHandler) for handler in _LOGGER.handlers):
        _LOGGER.addHandler(CalmHandler())
        _LOGGER.propagate = False
