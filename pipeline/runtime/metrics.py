"""Metrics of a stream for Prometheus; names and meanings are in `observability.metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from contracts.arrow import Status
from contracts.errors import RejectReason
from contracts.result import KEPT_BESIDE, DeadLetter, FrameResult, Gap, ModelRef, Outcome, StageTimes
from observability.metrics import Meter, NoMeter
from pipeline.inference.rules import suppressed_by
from pipeline.runtime.header_notes import not_understood
from pipeline.runtime.silence import NO_ID, OTHER_SENSORS, SENSORS_AT_MOST
from pipeline.table.beside import BesideRows

_STAGES = tuple(item.name for item in fields(StageTimes))


class StreamMetrics:
    """Counts of one run; thread-safe as its meter is."""

    def __init__(self, meter: Meter | None = None, run_id: str = "live") -> None:
        """Without a meter nothing is measured."""
        self._meter = meter or NoMeter()
        self._run_id = run_id
        self._sensors: set[str] = set()
        self._models: dict[str, ModelRef] = {}
        # A rate over counts that begin with their first event misses it, so those whose labels are known begin at 0.
        for status in Status:
            self._meter.count("irstream_rows_total", 0, run_id=run_id, status=status.value)
        for reason in RejectReason:
            self._meter.count("irstream_rejections_total", 0, run_id=run_id, reason=reason.value)
        for mark in sorted(KEPT_BESIDE):
            self._meter.count("irstream_kept_beside_total", 0, run_id=run_id, mark=mark)
        self._meter.count("irstream_weak_left_out_total", 0, run_id=run_id)

    def on_visible(self, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Rows became visible in the table."""
        self._count_rows(outcomes, self._run_id)
        results = [outcome for outcome in outcomes if isinstance(outcome, FrameResult)]
        letters = [outcome for outcome in outcomes if isinstance(outcome, DeadLetter)]
        for name, count in suppressed_by(results).items():
            self._meter.count("irstream_suppressed_total", count, run_id=self._run_id, filter=name)
        beside = Counter(each.suppressed_by for result in results for each in result.detections if each.suppressed_by in KEPT_BESIDE)
        for mark in sorted(KEPT_BESIDE):
            self._meter.count("irstream_kept_beside_total", beside[mark], run_id=self._run_id, mark=mark)
        self._meter.count("irstream_weak_left_out_total", sum(result.weak_left_out for result in results), run_id=self._run_id)
        for reason, count in Counter(letter.reason.value for letter in letters).items():
            self._meter.count("irstream_rejections_total", count, run_id=self._run_id, reason=reason)
        for header, count in Counter(name for _, name, _ in not_understood(outcomes)).items():
            self._meter.count("irstream_headers_not_understood_total", count, run_id=self._run_id, header=header)
        latencies_s = [max(0.0, (now - outcome.ingested_at).total_seconds()) for outcome in outcomes if not isinstance(outcome, Gap)]
        self._meter.observe("irstream_visible_latency_seconds", latencies_s, run_id=self._run_id)
        self._on_results(results)
        self._on_sensors([*results, *letters], now)

    def on_beside(self, rows: Sequence[BesideRows]) -> None:
        """Rows of other runs became visible beside ours."""
        for each in rows:
            self._count_rows(each.outcomes, each.run_id)
            self._meter.count("irstream_shadow_passed_over_total", each.passed_over, run_id=each.run_id)

    def _count_rows(self, outcomes: Sequence[Outcome], run_id: str) -> None:
        kinds = Counter(map(type, outcomes))
        for status, kind in ((Status.OK, FrameResult), (Status.REJECTED, DeadLetter), (Status.GAP, Gap)):
            self._meter.count("irstream_rows_total", kinds[kind], run_id=run_id, status=status.value)
        labels = Counter(each.label for outcome in outcomes if isinstance(outcome, FrameResult) for each in outcome.sure)
        for label, count in labels.items():
            self._meter.count("irstream_detections_total", count, run_id=run_id, label=label)

    def _on_results(self, results: Sequence[FrameResult]) -> None:
        for stage in _STAGES:
            times_s = [ms / 1000 for result in results if (ms := getattr(result.stage_ms, stage))]
            self._meter.observe("irstream_stage_seconds", times_s, run_id=self._run_id, stage=stage)
        for (task, closed_by), count in Counter((batch.task, batch.closed_by) for result in results for batch in result.batch).items():
            self._meter.count("irstream_batched_items_total", count, run_id=self._run_id, task=task, closed_by=closed_by)
        for model in {model.task: model for result in results for model in result.models}.values():
            if (before := self._models.get(model.task)) != model:
                self._models[model.task] = model
                for each, value in ((before, 0), (model, 1)):
                    if each is not None:
                        tags = {"task": each.task, "network": each.name, "digest": each.digest}
                        self._meter.gauge("irstream_model_info", value, run_id=self._run_id, **tags)

    def _on_sensors(self, outcomes: Sequence[FrameResult | DeadLetter], now: datetime) -> None:
        status = {FrameResult: Status.OK.value, DeadLetter: Status.REJECTED.value}
        counts = Counter((self._bounded(each.sensor_id), status[type(each)]) for each in outcomes)
        for (sensor, each), count in counts.items():
            self._meter.count("irstream_sensor_rows_total", count, run_id=self._run_id, sensor=sensor, status=each)
        for sensor in {sensor for sensor, _ in counts}:
            stamp_s = now.timestamp()
            self._meter.gauge("irstream_sensor_last_row_timestamp_seconds", stamp_s, run_id=self._run_id, sensor=sensor)

    def _bounded(self, sensor_id: str | None) -> str:
        """A producer may use any key, a new one for each message even."""
        name = sensor_id or NO_ID
        if name not in self._sensors and len(self._sensors) >= SENSORS_AT_MOST:
            return OTHER_SENSORS
        self._sensors.add(name)
        return name

    def on_in_flight(self, messages: int) -> None:
        """Messages between Kafka and the table."""
        self._meter.gauge("irstream_in_flight_messages", messages, run_id=self._run_id)

    def on_kafka(self, *, up: bool) -> None:
        """Kafka answers, or does not."""
        self._meter.gauge("irstream_kafka_up", int(up), run_id=self._run_id)

    def on_lag(self, lag_messages: int) -> None:
        """Messages in Kafka without a row."""
        self._meter.gauge("irstream_lag_messages", lag_messages, run_id=self._run_id)

    def on_generation(self, number: int) -> None:
        """A generation began."""
        self._meter.gauge("irstream_generation", number, run_id=self._run_id)
