"""Headers whose value nobody understood: said once for each sensor and header, however many frames carry it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from contracts.headers import CONTRACT_HEADERS
from contracts.result import Gap, Outcome

_PAIRS_AT_MOST = 1000  # a producer may use any key
_NEVER_KEPT = frozenset(CONTRACT_HEADERS) - {"ce_source"}
log = structlog.get_logger(__name__)


def not_understood(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str, str]]:
    """Sensor, header and value of each header of the contract that is kept in a row: it is there only when it was not understood."""
    for outcome in outcomes:
        if not isinstance(outcome, Gap):
            for name in _NEVER_KEPT.intersection(outcome.headers):
                yield outcome.sensor_id or "", name, outcome.headers[name]


class HeaderNotes:
    """Logs each pair of sensor and header once."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said: set[tuple[str, str]] = set()

    def on_visible(self, outcomes: Sequence[Outcome]) -> None:
        """Rows became visible in the table."""
        for sensor, name, value in not_understood(outcomes):
            if (sensor, name) not in self._said and len(self._said) < _PAIRS_AT_MOST:
                self._said.add((sensor, name))
                log.warning("header_not_understood", sensor_id=sensor, header=name, value=value[:80], taken_as="missing")
