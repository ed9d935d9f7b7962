"""Clocks that are ahead: said once for each sensor; its frames are taken as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from contracts.result import Gap, Outcome

_NO_MATTER = timedelta(minutes=1)
_SENSORS_AT_MOST = 1000  # a producer may use any key
log = structlog.get_logger(__name__)


class ClockNotes:
    """Logs each sensor once whose frames are of a time that has not come yet."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said: set[tuple[str, str]] = set()

    def on_visible(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Rows became visible in the table."""
        for outcome in outcomes:
            if isinstance(outcome, Gap):
                continue
            sensor_id = outcome.sensor_id or ""
            # Against our clock: the producer's, which stamps messages, may be ahead with its camera.
            if outcome.captured_at is not None and outcome.captured_at - now > _NO_MATTER:
                self._say(sensor_id, "sensor_clock_ahead", outcome.captured_at - now)
            if outcome.ingested_at - now > _NO_MATTER:
                self._say(sensor_id, "producer_clock_ahead", outcome.ingested_at - now)

    def _say(self, sensor_id: str, event: str, ahead: timedelta) -> None:
        if (sensor_id, event) not in self._said and len(self._said) < _SENSORS_AT_MOST:
            self._said.add((sensor_id, event))
            log.warning(event, sensor_id=sensor_id, by_s=round(ahead.total_seconds()), taken_as="it is")
