"""Metrics: the published names, and that the meters and the stream keep to them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import get_args
from urllib.request import urlopen
from uuid import uuid4

import pytest

from contracts.position import OffsetRange
from contracts.result import ModelRef, Outcome
from observability.exporter import ScrapedMeter
from observability.metrics import METRICS, Kind, Meter, MetricName, RayMeter
from pipeline.runtime.metrics import StreamMetrics
from pipeline.table.beside import BesideRows
from tests import outcomes as make
from tests.outcomes import NOON, gap, letter, result
from tests.pinned import assert_pinned

ROOT = Path(__file__).parents[2]
KEPT_TAGS = {"run_id", "le"} | {tag for metric in METRICS.values() for tag in metric.tags}


INTRODUCTION = """`irstream stream` serves metrics of its own, at port 9464 unless `metrics.port` and `metrics.host` say otherwise:

```bash
curl -s http://127.0.0.1:9464/metrics    # Prometheus text format; every name below is there from the first scrape on
curl -s http://127.0.0.1:9464/healthz    # 200 while it lives, else 503, and why
curl -s http://127.0.0.1:9464/readyz     # 200 while frames that come now get their rows
```

- **Healthy**: rows are written while messages wait. A stream that wrote none for `metrics.stall_s` is not.
  While Kafka is away it is healthy, and not ready.
- A port that is taken is said at the start and is no reason not to stream. Several streams on one machine want a port each.
- Under `serve run` the process that streams serves them; set `metrics.host: 0.0.0.0` where others scrape it.
- [Scrape configuration](../deploy/prometheus/prometheus.yml), [alert rules](../deploy/prometheus/alerts.yml) and a
  [Grafana board](../deploy/grafana/irstream.json) are files to start from. Import the board by its file, with a Prometheus as data source.
- A rate by sensor is `rate(irstream_sensor_rows_total[1m])`, its staleness `time() - irstream_sensor_last_row_timestamp_seconds`.
- Ray exports those marked `ray`, too, on every node, with `ray_` before the name. There the
  sum of a histogram is made of the middles of its buckets.

This page is written by `tests/observability/test_metrics.py`, which fails when it and the code differ."""


class MemoryMeter:
    """Keeps values, and refuses what `METRICS` does not describe."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, dict[str, str]]] = []

    def count(self, name: MetricName, value: float, **tags: str) -> None:
        self._keep(Kind.COUNTER, name, value, tags)

    def gauge(self, name: MetricName, value: float, **tags: str) -> None:
        self._keep(Kind.GAUGE, name, value, tags)

    def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
        for value in values:
            self._keep(Kind.HISTOGRAM, name, value, tags)

    def _keep(self, kind: Kind, name: MetricName, value: float, tags: dict[str, str]) -> None:
        assert (METRICS[name].kind, METRICS[name].tags) == (kind, tuple(tags))
        if value or kind is not Kind.COUNTER:
            self.values.append((name, value, tags))


def exercise(meter: Meter, run_id: str = "live") -> None:
    """Everything a stream tells a meter."""
    metrics = StreamMetrics(meter, run_id)
    outcomes: list[Outcome] = [
        replace(
            result(0),
            headers={"ir_band": "x-ray"},
            detections=tuple(replace(make.detection(), suppressed_by=name) for name in (None, "display", "weak", "weak", "double")),
            weak_left_out=7,
        ),
        result(1, num_detections=0),
        letter(2),
        gap(3, 9),
    ]
    metrics.on_visible(outcomes, NOON + timedelta(seconds=2))
    metrics.on_lag(17)
    metrics.on_generation(2)
    metrics.on_kafka(up=False)
    metrics.on_in_flight(5)
    metrics.on_beside([BesideRows("shadow:mine", OffsetRange("frames", 0, 0, 9), (result(0), gap(3, 9)), passed_over=2)])


def test_counts_whose_labels_are_known_are_there_before_the_first_row() -> None:
    meter = ScrapedMeter()
    StreamMetrics(meter, "live")
    text = meter.text().decode()
    for line in ('irstream_rows_total{run_id="live",status="gap"} 0', 'irstream_rejections_total{reason="corrupt_image",run_id="live"} 0'):
        assert line in text


def test_a_stream_emits_every_documented_metric_and_no_other() -> None:
    meter = MemoryMeter()
    exercise(meter)
    run = {"run_id": "live"}
    assert meter.values == [
        ("irstream_rows_total", 2, run | {"status": "ok"}),
        ("irstream_rows_total", 1, run | {"status": "rejected"}),
        ("irstream_rows_total", 1, run | {"status": "gap"}),
        ("irstream_detections_total", 2, run | {"label": "drone"}),
        ("irstream_suppressed_total", 1, run | {"filter": "display"}),
        ("irstream_kept_beside_total", 1, run | {"mark": "double"}),
        ("irstream_kept_beside_total", 2, run | {"mark": "weak"}),
        ("irstream_weak_left_out_total", 7, run),
        ("irstream_rejections_total", 1, run | {"reason": "corrupt_image"}),
        ("irstream_headers_not_understood_total", 1, run | {"header": "ir_band"}),
        *[("irstream_visible_latency_seconds", 2.0, run)] * 3,
        *[("irstream_stage_seconds", 0.0005, run | {"stage": "read"})] * 2,
        *[("irstream_stage_seconds", 0.012, run | {"stage": "detect"})] * 2,
        ("irstream_batched_items_total", 2, run | {"task": "detection", "closed_by": "full"}),
        ("irstream_model_info", 1, run | {"task": "detection", "network": "fcos_light", "digest": "0" * 64}),
        ("irstream_sensor_rows_total", 2, run | {"sensor": "cam-1", "status": "ok"}),
        ("irstream_sensor_rows_total", 1, run | {"sensor": "cam-1", "status": "rejected"}),
        ("irstream_sensor_last_row_timestamp_seconds", (NOON + timedelta(seconds=2)).timestamp(), run | {"sensor": "cam-1"}),
        ("irstream_lag_messages", 17, run),
        ("irstream_generation", 2, run),
        ("irstream_kafka_up", 0, run),
        ("irstream_in_flight_messages", 5, run),
        ("irstream_rows_total", 1, {"run_id": "shadow:mine", "status": "ok"}),
        ("irstream_rows_total", 1, {"run_id": "shadow:mine", "status": "gap"}),
        ("irstream_detections_total", 1, {"run_id": "shadow:mine", "label": "drone"}),
        ("irstream_shadow_passed_over_total", 2, {"run_id": "shadow:mine"}),
    ]
    assert {name for name, _, _ in meter.values} == set(METRICS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("meter", "expected"),
    [
        pytest.param("NoMeter()", "'ray' not in sys.modules", id="no meter"),
        pytest.param("RayMeter()", "not sys.modules['ray'].is_initialized()", id="ray"),
    ],
)
def test_meters_take_every_metric_without_a_running_ray(meter: str, expected: str) -> None:
    # In a process of its own: in this one a Ray may run.
    code = f"""
import sys
from observability.metrics import NoMeter, RayMeter
from tests.observability.test_metrics import exercise

exercise({meter})
assert {expected}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def exported_by_ray() -> str:
    """What Prometheus would read of this node, without the tags that Ray adds."""
    import ray

    (node,) = ray.nodes()
    with urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}", timeout=60) as answer:
        text: str = answer.read().decode()
    return re.sub(r'(\w+)="[^"]*",?', lambda tag: tag[0] if tag[1] in KEPT_TAGS else "", text).replace(",}", "}")


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_exports_every_value() -> None:
    run_id = f"test-{uuid4().hex}"
    exercise(RayMeter(), run_id)
    run = f'run_id="{run_id}"'
    wanted = {
        f'ray_irstream_rows_total{{{run},status="ok"}} 2.0',
        f'ray_irstream_rows_total{{{run},status="rejected"}} 1.0',
        f'ray_irstream_rows_total{{{run},status="gap"}} 1.0',
        f'ray_irstream_detections_total{{label="drone",{run}}} 2.0',
        f'ray_irstream_rejections_total{{reason="corrupt_image",{run}}} 1.0',
        f'ray_irstream_visible_latency_seconds_bucket{{le="1.0",{run}}} 0.0',
        f'ray_irstream_visible_latency_seconds_bucket{{le="2.0",{run}}} 3.0',
        f"ray_irstream_visible_latency_seconds_count{{{run}}} 3.0",
        f"ray_irstream_lag_messages{{{run}}} 17.0",
        f"ray_irstream_generation{{{run}}} 2.0",
    }
    deadline = time.monotonic() + 240  # every process reports every 10 s
    missing = wanted
    while missing and time.monotonic() < deadline:
        time.sleep(1)
        lines = [line for line in exported_by_ray().splitlines() if run_id in line]
        missing = wanted - set(lines)
    assert not missing, lines


def test_what_is_scraped_has_every_name_at_once_and_sums_that_are_sums() -> None:
    meter = ScrapedMeter()
    bare = meter.text().decode()
    for name, metric in METRICS.items():
        assert f"# TYPE {name} {metric.kind}\n" in bare
    exercise(meter)
    StreamMetrics(meter).on_visible([replace(result(9), ingested_at=NOON)], NOON + timedelta(seconds=500))
    lines = meter.text().decode().splitlines()
    for line in (
        'irstream_rows_total{run_id="live",status="ok"} 3.0',
        'irstream_visible_latency_seconds_bucket{le="1.0",run_id="live"} 0.0',
        'irstream_visible_latency_seconds_bucket{le="2.0",run_id="live"} 3.0',
        'irstream_visible_latency_seconds_bucket{le="+Inf",run_id="live"} 4.0',
        'irstream_visible_latency_seconds_count{run_id="live"} 4.0',
        'irstream_visible_latency_seconds_sum{run_id="live"} 506.0',
        'irstream_generation{run_id="live"} 2.0',
        'irstream_suppressed_total{filter="display",run_id="live"} 1.0',
        'irstream_kafka_up{run_id="live"} 0.0',
    ):
        assert line in lines, line


def test_weights_that_are_exchanged_are_zero_and_the_new_ones_one() -> None:
    meter = ScrapedMeter()
    metrics = StreamMetrics(meter)
    for digest in ("a" * 64, "b" * 64):
        metrics.on_visible([replace(result(0), models=(ModelRef("detection", "fcos_light", digest),))], NOON)
    values = [line.rsplit(" ", 1) for line in meter.text().decode().splitlines() if line.startswith("irstream_model_info{")]
    assert sorted((re.findall('digest="(.)', name)[0], value) for name, value in values) == [("a", "0.0"), ("b", "1.0")]


def test_a_new_sensor_id_in_every_message_is_one_series() -> None:
    meter = ScrapedMeter()
    StreamMetrics(meter).on_visible([replace(result(number), sensor_id=f"one-off-{number}") for number in range(1500)], NOON)
    rows = [line for line in meter.text().decode().splitlines() if line.startswith("irstream_sensor_rows_total{")]
    assert len(rows) == 1001
    assert any('sensor="(others)"' in line and line.endswith(" 500.0") for line in rows)


def test_a_metric_is_used_as_what_it_is() -> None:
    with pytest.raises(ValueError, match="used as a gauge, got counter"):
        RayMeter().count("irstream_lag_messages", 1, run_id="live")
    with pytest.raises(ValueError, match="tags run_id of irstream_lag_messages, got none"):
        ScrapedMeter().gauge("irstream_lag_messages", 1)


def test_names_end_in_their_unit_and_are_all_described() -> None:
    assert get_args(MetricName) == tuple(METRICS)
    endings = {
        "rows": ("_total",),
        "detections": ("_total",),
        "messages": ("_total", "_messages"),
        "seconds": ("_seconds",),
        "count": ("",),
        "frames": ("_total",),
    }
    assert [name for name, metric in METRICS.items() if not name.endswith(endings[metric.unit])] == []


def test_the_document_says_what_the_code_does() -> None:
    lines = [
        "# Metrics",
        "",
        *INTRODUCTION.splitlines(),
        "",
        "| name | kind | unit | tags | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, metric in METRICS.items():
        tags, ray = ", ".join(f"`{tag}`" for tag in metric.tags), " (ray)" if metric.by_ray else ""
        lines.append(f"| `{name}` | {metric.kind} | {metric.unit} | {tags} | {metric.meaning}{ray} |")
    assert_pinned("metrics.md", "\n".join([*lines, ""]))
