"""Every metric irstream exports: name, unit, tags and meaning in one place, and the meters that carry them.

Names end in their unit (`_total` for counts, `_seconds`). Ray adds the prefix `ray_` and exports them to Prometheus on
every node. `docs/metrics.md` is written from `METRICS` by a test.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

MetricName = Literal[
    "irstream_rows_total",
    "irstream_detections_total",
    "irstream_suppressed_total",
    "irstream_rejections_total",
    "irstream_headers_not_understood_total",
    "irstream_visible_latency_seconds",
    "irstream_lag_messages",
    "irstream_generation",
]


class Kind(StrEnum):
    """Kinds of metric, which say how values add up."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        unit: of its values.
        tags: every value carries exactly these; few values each, never a sensor or a frame.
        boundaries: upper bounds of the buckets of a histogram.
    """

    kind: Kind
    unit: str
    tags: tuple[str, ...]
    meaning: str
    boundaries: tuple[float, ...] = ()


METRICS: Mapping[MetricName, Metric] = {
    "irstream_rows_total": Metric(Kind.COUNTER, "rows", ("run_id", "status"), "rows made visible in the results table"),
    "irstream_detections_total": Metric(Kind.COUNTER, "detections", ("run_id", "label"), "detections in those rows"),
    "irstream_suppressed_total": Metric(
        Kind.COUNTER, "detections", ("run_id", "filter"), "of those, detections that the filter of this name keeps out of alerts"
    ),
    "irstream_rejections_total": Metric(Kind.COUNTER, "messages", ("run_id", "reason"), "messages that could not be used"),
    "irstream_headers_not_understood_total": Metric(
        Kind.COUNTER,
        "messages",
        ("run_id", "header"),
        "headers whose value was not understood: it counts as missing and is kept in the row",
    ),
    "irstream_visible_latency_seconds": Metric(
        Kind.HISTOGRAM,
        "seconds",
        ("run_id",),
        "from Kafka's timestamp of the message to its row being visible",
        (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0),
    ),
    "irstream_lag_messages": Metric(Kind.GAUGE, "messages", ("run_id",), "messages in Kafka without a row yet"),
    "irstream_generation": Metric(Kind.GAUGE, "count", ("run_id",), "1 for the first; every restart after a failure adds one"),
}


class Meter(Protocol):
    """Takes values of metrics. Thread-safe, never blocks, never raises for what happens outside."""

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Add to a counter; 0 is left out."""
        ...

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: MetricName, value: float, **tags: str) -> None:
        """Put a value into a histogram."""
        ...


class NoMeter:
    """Measures nothing: where no Ray runs."""

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Drop the value."""

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Drop the value."""

    def observe(self, name: MetricName, value: float, **tags: str) -> None:
        """Drop the value."""


class RayMeter:
    """Carries values to Ray's exporter of this node."""

    def __init__(self) -> None:
        """Metrics are registered at their first value."""
        self._metrics: dict[MetricName, Any] = {}
        self._lock = threading.Lock()

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Add to a counter; 0 is left out (Ray refuses it)."""
        if value:
            self._metric(name, Kind.COUNTER).inc(value, tags=tags)

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Set a gauge."""
        self._metric(name, Kind.GAUGE).set(value, tags=tags)

    def observe(self, name: MetricName, value: float, **tags: str) -> None:
        """Put a value into a histogram."""
        self._metric(name, Kind.HISTOGRAM).observe(value, tags=tags)

    def _metric(self, name: MetricName, kind: Kind) -> Any:
        if METRICS[name].kind is not kind:
            raise ValueError(f"expected {name} to be used as a {METRICS[name].kind}, got {kind}")
        with self._lock:
            if name not in self._metrics:
                self._metrics[name] = _register(name)
            return self._metrics[name]


def _register(name: MetricName) -> Any:
    from ray.util import metrics as ray_metrics

    metric = METRICS[name]
    description = f"{metric.meaning} ({metric.unit})"
    if metric.kind is Kind.COUNTER:
        return ray_metrics.Counter(name, description, tag_keys=metric.tags)
    if metric.kind is Kind.GAUGE:
        return ray_metrics.Gauge(name, description, tag_keys=metric.tags)
    return ray_metrics.Histogram(name, description, boundaries=list(metric.boundaries), tag_keys=metric.tags)
