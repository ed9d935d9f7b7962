"""Log lines while a person watches a command: above the live view, one line each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deploy.cluster.ray_internals import TOKEN_LOGGER
from observability.logging import formatter, send_structlog_to_logging

_OURS = ("actors", "contracts", "deploy", "models", "observability", "pipeline")
_CHATTY = (
    "kafka.net.selector",  # a busy machine was slow for a tenth of a second: several times a minute
    TOKEN_LOGGER,  # that a local Ray made itself a token: at every start
)


class _Say(logging.Handler):
    """Hands each record over as one line."""

    def __init__(self, say: Callable[[str], None], line: logging.Formatter) -> None:
        super().__init__()
        self._say = say
        self.setFormatter(line)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._say(self.format(record))
        except Exception:  # noqa: BLE001 - logging must never stop the stream; handleError reports it as logging does
            self.handleError(record)


@contextmanager
def logs_to(say: Callable[[str], None], *, debug: bool = False, human: bool = True) -> Iterator[None]:
    """Send warnings (with `debug`, everything of ours) to `say` while the block runs; structlog goes the same way.

    Args:
        say: takes one line.
        debug: everything of ours, not only warnings.
        human: lines for people; else JSON.
    """
    send_structlog_to_logging()
    handler = _Say(say, formatter(human=human))
    logging.getLogger().addHandler(handler)
    levels = dict.fromkeys(_CHATTY, logging.ERROR) | (dict.fromkeys(_OURS, logging.DEBUG) if debug else {})
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def quiet_ray() -> None:
    """Keep Ray's libraries from writing notes between the lines of the view; their log files keep everything.

    They write to stderr by handlers of their own, which Serve renews whenever it configures itself: hence a filter on its
    logger, and on Ray Data's handlers, whose records come from many loggers below.
    """
    import ray.data
    import ray.serve  # noqa: F401 - both configure their logging when imported

    logging.getLogger("ray.serve").addFilter(_is_error)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and type(handler).__module__.startswith("ray."):  # no other library's
            handler.addFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
