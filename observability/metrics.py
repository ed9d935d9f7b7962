"""Every metric irstream exports: name, unit, tags and meaning in one place, and the meters that carry them.

Names end in their unit (`_total` for counts, `_seconds`). Ray adds the prefix `ray_` and exports them to Prometheus on
every node. `docs/metrics.md` is written from `METRICS` by a test.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

MetricName = Literal[
    "irstream_rows_total",
    "irstream_detections_total",
    "irstream_suppressed_total",
    "irstream_kept_beside_total",
    "irstream_weak_left_out_total",
    "irstream_rejections_total",
    "irstream_headers_not_understood_total",
    "irstream_visible_latency_seconds",
    "irstream_lag_messages",
    "irstream_generation",
    "irstream_kafka_up",
    "irstream_in_flight_messages",
    "irstream_stage_seconds",
    "irstream_batched_items_total",
    "irstream_sensor_rows_total",
    "irstream_sensor_last_row_timestamp_seconds",
    "irstream_model_info",
    "irstream_shadow_passed_over_total",
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
        tags: every value carries exactly these; few values each, never a frame.
        boundaries: upper bounds of the buckets of a histogram.
        by_ray: whether Ray exports it, too.
    """

    kind: Kind
    unit: str
    tags: tuple[str, ...]
    meaning: str
    boundaries: tuple[float, ...] = ()
    by_ray: bool = True


METRICS: Mapping[MetricName, Metric] = {
    "irstream_rows_total": Metric(Kind.COUNTER, "rows", ("run_id", "status"), "rows made visible in the results table"),
    "irstream_detections_total": Metric(Kind.COUNTER, "detections", ("run_id", "label"), "detections in those rows"),
    "irstream_suppressed_total": Metric(
        Kind.COUNTER, "detections", ("run_id", "filter"), "of those, detections that the filter of this name keeps out of alerts"
    ),
    "irstream_kept_beside_total": Metric(
        Kind.COUNTER, "detections", ("run_id", "mark"), "weak and double detections that rows keep beside their targets", by_ray=False
    ),
    "irstream_weak_left_out_total": Metric(
        Kind.COUNTER, "detections", ("run_id",), "weak and double detections beyond `stream.max_weak`, which rows leave out", by_ray=False
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
    "irstream_kafka_up": Metric(Kind.GAUGE, "count", ("run_id",), "1 while Kafka answers, else 0", by_ray=False),
    "irstream_in_flight_messages": Metric(
        Kind.GAUGE,
        "messages",
        ("run_id",),
        "messages that are read and have no row yet: in the queues of the stream",
        by_ray=False,
    ),
    "irstream_stage_seconds": Metric(
        Kind.HISTOGRAM,
        "seconds",
        ("run_id", "stage"),
        "time of a frame in a stage: `read`, `decode`, `wait` (queues of the networks), `detect`, `segment`, `classify`, `fuse`",
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
        by_ray=False,
    ),
    "irstream_batched_items_total": Metric(
        Kind.COUNTER,
        "frames",
        ("run_id", "task", "closed_by"),
        "frames by what closed the batch they were in: `full`, `waited`, `drained`, `deadline`",
        by_ray=False,
    ),
    "irstream_sensor_rows_total": Metric(
        Kind.COUNTER, "rows", ("run_id", "sensor", "status"), "rows of each sensor; of more than a thousand sensors together", by_ray=False
    ),
    "irstream_sensor_last_row_timestamp_seconds": Metric(
        Kind.GAUGE, "seconds", ("run_id", "sensor"), "Unix time at which the newest row of a sensor became visible", by_ray=False
    ),
    "irstream_model_info": Metric(
        Kind.GAUGE,
        "count",
        ("run_id", "task", "network", "digest"),
        "1 for weights that make rows now, 0 for those that did",
        by_ray=False,
    ),
    "irstream_shadow_passed_over_total": Metric(
        Kind.COUNTER, "frames", ("run_id",), "frames of a shadow's share that its candidate gave no answer for: production came first"
    ),
}


class Meter(Protocol):
    """Takes values of metrics. Thread-safe, never blocks, never raises for what happens outside."""

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Add to a counter; 0 is left out."""
        ...

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
        """Put values into a histogram."""
        ...


class NoMeter:
    """Measures nothing: where no Ray runs."""

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Drop the value."""

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Drop the value."""

    def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
        """Drop the values."""


class Meters:
    """Several meters as one."""

    def __init__(self, *meters: Meter) -> None:
        """All of them get every value."""
        self._meters = meters

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Add to a counter."""
        for meter in self._meters:
            meter.count(name, value, **tags)

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Set a gauge."""
        for meter in self._meters:
            meter.gauge(name, value, **tags)

    def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
        """Put values into a histogram."""
        for meter in self._meters:
            meter.observe(name, values, **tags)


class RayMeter:
    """Carries values to Ray's exporter of this node; not those that only one process knows (`Metric.by_ray`)."""

    def __init__(self) -> None:
        """Metrics are registered at their first value."""
        self._metrics: dict[MetricName, Any] = {}
        self._lock = threading.Lock()

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Add to a counter; 0 is left out (Ray refuses it)."""
        if value and METRICS[name].by_ray:
            self._metric(name, Kind.COUNTER).inc(value, tags=tags)

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Set a gauge."""
        if METRICS[name].by_ray:
            self._metric(name, Kind.GAUGE).set(value, tags=tags)

    def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
        """Put values into a histogram."""
        if METRICS[name].by_ray:
            metric = self._metric(name, Kind.HISTOGRAM)
            for value in values:
                metric.observe(value, tags=tags)

    def _metric(self, name: MetricName, kind: Kind) -> Any:
        require_kind(name, kind)
        with self._lock:
            if name not in self._metrics:
                self._metrics[name] = _register(name)
            return self._metrics[name]


def require_kind(name: MetricName, kind: Kind) -> None:
    """Make sure that a metric is used as what it is.

    Raises:
        ValueError: it is of another kind.
    """
    if METRICS[name].kind is not kind:
        raise ValueError(f"expected {name} to be used as a {METRICS[name].kind}, got {kind}")


def _register(name: MetricName) -> Any:
    from ray.util import metrics as ray_metrics

    metric = METRICS[name]
    description = f"{metric.meaning} ({metric.unit})"
    if metric.kind is Kind.COUNTER:
        return ray_metrics.Counter(name, description, tag_keys=metric.tags)
    if metric.kind is Kind.GAUGE:
        return ray_metrics.Gauge(name, description, tag_keys=metric.tags)
    return ray_metrics.Histogram(name, description, boundaries=list(metric.boundaries), tag_keys=metric.tags)
