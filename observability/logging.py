"""Format of log lines: one line for people on a terminal, one JSON object a line for everything else.

structlog and the standard library end in the same handlers and look the same. Code logs through
`structlog.get_logger(__name__)`: an event in snake_case and key-value pairs.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

from contracts.text import escaped

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


def _line(_: object, __: str, event: dict[str, Any]) -> str:
    level = str(event.pop("level", "info")).upper()
    event.pop("logger", None)
    exception = event.pop("exception", None)
    words = [f"{level}: {event.pop('event', '')}", *(f"{key}={value!r}" for key, value in event.items())]
    return escaped(" ".join(words) + (f"\n{exception}" if exception else ""))  # what cameras and brokers say reaches a terminal here
