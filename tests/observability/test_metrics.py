"""Metrics: the published names, and that the meters and the stream keep to them."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest

from contracts.result import Outcome
from observability.metrics import METRICS, Kind, Meter, MetricName, NoMeter, RayMeter
from pipeline.stream_metrics import StreamMetrics
from tests.outcomes import NOON, gap, letter, result
from tests.pinned import assert_pinned


class MemoryMeter:
    """Keeps values, and refuses what `METRICS` does not describe."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, dict[str, str]]] = []

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        self._keep(Kind.COUNTER, name, value, tags)

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        self._keep(Kind.GAUGE, name, value, tags)

    def observe(self, name: MetricName, value: float, **tags: str) -> None:
        self._keep(Kind.HISTOGRAM, name, value, tags)

    def _keep(self, kind: Kind, name: MetricName, value: float, tags: dict[str, str]) -> None:
        assert (METRICS[name].kind, METRICS[name].tags) == (kind, tuple(tags))
        if value or kind is not Kind.COUNTER:
            self.values.append((name, value, tags))


def exercise(meter: Meter) -> None:
    """Everything a stream tells a meter."""
    metrics = StreamMetrics(meter, "live")
    outcomes: list[Outcome] = [result(0, num_detections=2), result(1, num_detections=0), letter(2), gap(3, 9)]
    metrics.on_visible(outcomes, NOON + timedelta(seconds=2))
    metrics.on_lag(17)
    metrics.on_generation(2)


def test_a_stream_emits_every_documented_metric_and_no_other() -> None:
    meter = MemoryMeter()
    exercise(meter)
    run = {"run_id": "live"}
    assert meter.values == [
        ("irstream_rows_total", 2, run | {"status": "ok"}),
        ("irstream_rows_total", 1, run | {"status": "rejected"}),
        ("irstream_rows_total", 1, run | {"status": "gap"}),
        ("irstream_detections_total", 2, run | {"label": "drone"}),
        ("irstream_rejections_total", 1, run | {"reason": "corrupt_image"}),
        *[("irstream_visible_latency_seconds", 2.0, run)] * 3,
        ("irstream_lag_messages", 17, run),
        ("irstream_generation", 2, run),
    ]
    assert {name for name, _, _ in meter.values} == set(METRICS)


@pytest.mark.parametrize("meter", [NoMeter(), RayMeter()], ids=["no meter", "ray"])
def test_meters_take_every_metric_without_a_running_ray(meter: Meter) -> None:
    exercise(meter)


def test_a_metric_is_used_as_what_it_is() -> None:
    with pytest.raises(ValueError, match="used as a gauge, got counter"):
        RayMeter().count("irstream_lag_messages", 1, run_id="live")


def test_names_end_in_their_unit_and_are_all_described() -> None:
    assert get_args(MetricName) == tuple(METRICS)
    endings = {
        "rows": ("_total",),
        "detections": ("_total",),
        "messages": ("_total", "_messages"),
        "seconds": ("_seconds",),
        "count": ("",),
    }
    assert [name for name, metric in METRICS.items() if not name.endswith(endings[metric.unit])] == []


def test_the_document_says_what_the_code_does() -> None:
    lines = [
        "# Metrics",
        "",
        "Exported by Ray on every node in Prometheus format, with `ray_` before the name.",
        "This page is written by `tests/observability/test_metrics.py`, which fails when it and the code differ.",
        "",
        "| name | kind | unit | tags | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        lines.append(f"| `{name}` | {metric.kind} | {metric.unit} | {', '.join(f'`{tag}`' for tag in metric.tags)} | {metric.meaning} |")
    assert_pinned("metrics.md", "\n".join([*lines, ""]))
