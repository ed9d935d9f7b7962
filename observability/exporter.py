"""Metrics of this process in Prometheus' text format, complete from the first scrape on: names, buckets, and sums that are sums.

Ray's own exporter gives a histogram's sum from the middles of its buckets and knows a value for some seconds only. Whoever scrapes
this one gets what was measured.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from observability.metrics import METRICS, Kind, MetricName, require_kind

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_Tags = tuple[str, ...]


class ScrapedMeter:
    """Keeps values until somebody asks; a `Meter`."""

    def __init__(self) -> None:
        """Nothing is measured yet; every name is exported all the same, with its meaning."""
        self._lock = threading.Lock()
        self._values: dict[MetricName, dict[_Tags, float]] = {}
        self._buckets: dict[MetricName, dict[_Tags, Any]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        """Add to a counter."""
        require_kind(name, Kind.COUNTER)
        with self._lock:
            each, key = self._values.setdefault(name, {}), _key(name, tags)
            each[key] = each.get(key, 0.0) + value

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        """Set a gauge."""
        require_kind(name, Kind.GAUGE)
        with self._lock:
            self._values.setdefault(name, {})[_key(name, tags)] = value

    def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
        """Put values into a histogram."""
        require_kind(name, Kind.HISTOGRAM)
        if not len(values):
            return
        bounds = METRICS[name].boundaries
        counts = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)
        with self._lock:
            each, key = self._buckets.setdefault(name, {}), _key(name, tags)
            before, total = each.get(key, (0, 0.0))
            each[key] = (before + counts, total + float(np.sum(values)))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Families of the registry, in the order of `METRICS`."""
        with self._lock:
            values = {name: dict(each) for name, each in self._values.items()}
            buckets = {name: dict(each) for name, each in self._buckets.items()}
        for name, metric in METRICS.items():
            meaning = f"{metric.meaning} ({metric.unit})"
            if metric.kind is Kind.HISTOGRAM:
                histogram = HistogramMetricFamily(name, meaning, labels=metric.tags)
                for key, (counts, total) in buckets.get(name, {}).items():
                    bounds = [*(str(bound) for bound in metric.boundaries), "+Inf"]
                    histogram.add_metric(key, list(zip(bounds, np.cumsum(counts).tolist(), strict=True)), total)
                yield histogram
                continue
            kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = kind(name, meaning, labels=metric.tags)
            for key, value in values.get(name, {}).items():
                family.add_metric(key, value)
            yield family


def _key(name: MetricName, tags: dict[str, str]) -> _Tags:
    wanted = METRICS[name].tags
    if set(tags) != set(wanted):
        raise ValueError(f"expected the tags {', '.join(wanted)} of {name}, got {', '.join(tags) or 'none'}")
    return tuple(tags[tag] for tag in wanted)
