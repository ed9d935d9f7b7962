"""How log lines look: one line for people on a terminal, one JSON object a line for everything else.

structlog and the standard library end in the same handlers and look the same. Code logs through
`structlog.get_logger(__name__)`: an event in snake_case and key-value pairs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
]


def formatter(*, human: bool) -> logging.Formatter:
    """The format of one line; send structlog through the standard library first (`send_structlog_to_logging`).

    Args:
        human: `WARNING: event key=value`; else JSON with timestamp (UTC), level, logger and event.
    """
    render: list[Any]
    if human:
        render = [structlog.processors.format_exc_info, _line]
    else:
        render = [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render]
    )


def send_structlog_to_logging() -> None:
    """Let structlog's loggers use the levels, filters and handlers of the standard library."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class RateLimit(logging.Filter):
    """Lets the same line of one logger through once in a while and says how often it was left out.

    Clients of a broker that is away repeat themselves several times a second, for hours.
    """

    def __init__(
        self, interval_s: float = 10.0, *, loggers: tuple[str, ...] = ("kafka",), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Limit records of `loggers` and their children; others pass."""
        super().__init__()
        self._interval_s = interval_s
        self._loggers = loggers
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; the first one after a pause carries the count of those left out."""
        if not any(record.name == name or record.name.startswith(f"{name}.") for name in self._loggers):
            return True
        # By place in the source: the texts of one place differ in counters and addresses, and would never repeat.
        place = (record.name, record.lineno, record.levelname)
        now = self._clock()
        passed_at, left_out = self._seen.get(place, (-self._interval_s, 0))
        if now - passed_at < self._interval_s:
            self._seen[place] = (passed_at, left_out + 1)
            return False
        self._seen[place] = (now, 0)
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} like it)"
            record.args = None
        return True


def _line(_: object, __: str, event: dict[str, Any]) -> str:
    level = str(event.pop("level", "info")).upper()
    event.pop("logger", None)
    exception = event.pop("exception", None)
    words = [f"{level}: {event.pop('event', '')}", *(f"{key}={value!r}" for key, value in event.items())]
    return " ".join(words) + (f"\n{exception}" if exception else "")
