"""Log of kafka-python: shortened for people, and searched for the reason of a failure."""

from __future__ import annotations

import logging
import re
import threading
import time

_LOGGER = logging.getLogger("kafka")
_REPEAT_AFTER_S = 10.0
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
# What kafka-python warns of and nobody can act on: a step of its own loop that took 0.1 s, normal on a busy machine; our listener, which
# waits for the driver and blocks nothing.
_NO_NEWS = re.compile("blocking the event loop|^Rebalance listener .* took")


# What its clients say one after the other, each in words of its own, when a broker does not answer.
_AWAY = re.compile(r"Connection (failed|lost)|^Bootstrap |ECONN|[Dd]isconnected|Unable to bootstrap")
_REASON = re.compile(r"\w+Error: .*")


class Reasons(logging.Handler):
    """Collects why a connection failed: what kafka-python raises is only that the time is up.

    Attributes:
        num_connecting: connections that are being made in this process; who makes one raises an error with the reason, which is enough.
    """

    num_connecting = 0
    _counting = threading.Lock()

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
        self._count(1)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._count(-1)
        _LOGGER.removeHandler(self)

    @classmethod
    def _count(cls, change: int) -> None:
        with cls._counting:
            cls.num_connecting += change


class CalmHandler(logging.Handler):
    """Passes on the first of equal log records, and again after `_REPEAT_AFTER_S` with how many were held back.

    During an outage kafka-python logs four errors per attempt and client: they become one line of ours, and none while somebody connects.
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
        if _AWAY.search(record.getMessage()):
            if Reasons.num_connecting:
                return
            record = _not_answering(record)
        away = record.name == __name__  # then whatever the reason is
        key = (record.name, "" if away else _NUMBER.sub("#", str(record.msg)))  # some are finished texts with numbers in them
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


def _not_answering(record: logging.LogRecord) -> logging.LogRecord:
    """The same in our words, equal for all clients and attempts."""
    text = record.getMessage()
    found = _REASON.search(text)
    reason = found[0] if found else text
    return logging.LogRecord(__name__, logging.WARNING, record.pathname, record.lineno, f"Kafka does not answer: {reason}", None, None)


def calm_kafka_logging() -> None:
    """Put a `CalmHandler` between the loggers of kafka-python and everybody else's. Does nothing the second time."""
    if not any(isinstance(handler, CalmHandler) for handler in _LOGGER.handlers):
        _LOGGER.addHandler(CalmHandler())
        _LOGGER.propagate = False
