"""Metrics of a stream for Prometheus; names and meanings are in `observability.metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from contracts.arrow import Status
from contracts.result import DeadLetter, FrameResult, Gap, Outcome
from observability.metrics import Meter, NoMeter
from pipeline.inference.rules import suppressed_by
from pipeline.runtime.header_notes import not_understood


class StreamMetrics:
    """Counts of one run; thread-safe as its meter is."""

    def __init__(self, meter: Meter | None = None, run_id: str = "live") -> None:
        """Without a meter nothing is measured."""
        self._meter = meter or NoMeter()
        self._run_id = run_id

    def on_visible(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Rows became visible in the table."""
        results = [outcome for outcome in outcomes if isinstance(outcome, FrameResult)]
        letters = [outcome for outcome in outcomes if isinstance(outcome, DeadLetter)]
        by_status = {Status.OK: len(results), Status.REJECTED: len(letters), Status.GAP: len(outcomes) - len(results) - len(letters)}
        for status, count in by_status.items():
            self._meter.count("irstream_rows_total", count, run_id=self._run_id, status=status.value)
        for label, count in Counter(detection.label for result in results for detection in result.detections).items():
            self._meter.count("irstream_detections_total", count, run_id=self._run_id, label=label)
        for name, count in suppressed_by(results).items():
            self._meter.count("irstream_suppressed_total", count, run_id=self._run_id, filter=name)
        for reason, count in Counter(letter.reason.value for letter in letters).items():
            self._meter.count("irstream_rejections_total", count, run_id=self._run_id, reason=reason)
        for header, count in Counter(name for _, name, _ in not_understood(outcomes)).items():
            self._meter.count("irstream_headers_not_understood_total", count, run_id=self._run_id, header=header)
        for outcome in outcomes:
            if not isinstance(outcome, Gap):
                latency_s = (now - outcome.ingested_at).total_seconds()
                self._meter.observe("irstream_visible_latency_seconds", latency_s, run_id=self._run_id)

    def on_lag(self, lag_messages: int) -> None:
        """Messages in Kafka without a row."""
        self._meter.gauge("irstream_lag_messages", lag_messages, run_id=self._run_id)

    def on_generation(self, number: int) -> None:
        """A generation began."""
        self._meter.gauge("irstream_generation", number, run_id=self._run_id)
