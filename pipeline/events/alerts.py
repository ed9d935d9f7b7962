"""Alerts on Kafka: what was found, acknowledged before its rows become visible.

Events of targets (they appear, are still there, have left), or one message per frame, at once. `publish` and `publish_events` never block:
they put messages into a bounded queue that a thread empties into the producer. The committer calls `flush` before the commit that
makes the rows visible, so a message is acknowledged at least once before its row is. While the broker is away the queue fills
(`max_waiting_bytes`), `flush` fails, and the stream waits as a whole.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import IrstreamError, RejectRecord, RetryLater, StopPipeline
from contracts.result import Detection, FrameResult, Outcome
from pipeline.events.envelope import OutcomeEvent, event_headers, shared_fields
from pipeline.events.targets import TARGET_TYPES, target_message
from pipeline.kafka.interfaces import Producer
from pipeline.tracks.tracker import TargetEvent

ALERT_TYPE = "irstream.alert.v1"
MAX_DETECTIONS = 500  # about 200 KB: below Kafka's default message limit of 1 MB
_RETRY_PAUSE_S = 0.2
_CLOSE_TIMEOUT_S = 10.0
AlertPolicy = Literal["events", "detections", "all", "off"]
log = structlog.get_logger(__name__)


class AlertDetection(BaseModel):
    """One target, pixel edges in the sensor's frame. The mask is in the results table under the same position."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    label: str
    score: float = Field(description="0 to 1")
    x_min_px: float
    y_min_px: float
    x_max_px: float
    y_max_px: float
    centroid_x_px: float
    centroid_y_px: float
    area_px: float = Field(description="pixels")
    class_scores: dict[str, float]
    found_by: tuple[str, ...] = Field(description="`detector`, `segmenter`, or both")


class AlertModel(BaseModel):
    """Weights that made the result."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    task: str
    name: str
    digest: str = Field(description="sha256 of the weights")


class Alert(OutcomeEvent):
    """Alert: the detections of one frame. Key: the sensor id."""

    model_config = ConfigDict(title="irstream alert, v1")

    sensor_id: str = Field(description="key of the frame's message")
    frame_id: str = Field(description="header `ce_id`, else the position")
    captured_at: datetime = Field(description="header `ce_time`, else Kafka's timestamp, RFC 3339, UTC")
    width_px: int
    height_px: int
    num_detections: int = Field(ge=0, description="targets in the frame that no filter suppresses")
    detections: tuple[AlertDetection, ...] = Field(
        max_length=MAX_DETECTIONS, description=f"the targets, best score first, at most {MAX_DETECTIONS}"
    )
    models: tuple[AlertModel, ...]


def alert_message(result: FrameResult, run_id: str) -> Alert:
    """The alert for one result: the detections that are shown."""
    best = sorted(result.shown, key=lambda detection: -detection.score)[:MAX_DETECTIONS]
    return Alert(
        **shared_fields(result, run_id),
        width_px=result.width_px,
        height_px=result.height_px,
        num_detections=len(result.shown),
        detections=tuple(_detection(detection) for detection in best),
        models=tuple(AlertModel(task=model.task, name=model.name, digest=model.digest) for model in result.models),
    )


@dataclass(frozen=True, slots=True)
class _Message:
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class AlertPublisher:
    """Sends alerts in the background; outlives generations. `publish` and `flush` may be called from any thread."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        run_id: str,
        policy: AlertPolicy = "events",
        max_waiting_bytes: int = 32 * 2**20,
    ) -> None:
        """Start the thread.

        Args:
            producer: shared with others.
            topic: where alerts go.
            run_id: named in every alert.
            policy: events of targets, or one message for frames with a detection, or for all frames with a result, or nothing.
            max_waiting_bytes: most bytes of alerts not yet handed to the producer.
        """
        self._producer = producer
        self._topic = topic
        self._run_id = run_id
        self._policy = policy
        self._max_waiting_bytes = max_waiting_bytes
        self._changed = threading.Condition()  # guards everything below
        self._waiting: deque[_Message] = deque()
        self._waiting_bytes = 0
        self._num_published = 0
        self._num_handed_over = 0
        self._error: StopPipeline | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def publish(self, outcomes: Iterable[Outcome]) -> None:
        """Send the messages of these frames in the background, if frames are what makes messages; never blocks.

        Raises:
            RetryLater: too many wait already: the broker is away or too slow.
        """
        if self._policy not in ("detections", "all"):
            return
        results = [outcome for outcome in outcomes if isinstance(outcome, FrameResult)]
        self._enqueue([self._message(result) for result in results if result.shown or self._policy == "all"])

    def publish_events(self, events: Iterable[TargetEvent]) -> None:
        """Send events of targets in the background, if these are what makes messages; never blocks.

        Raises:
            RetryLater: too many wait already: the broker is away or too slow.
        """
        if self._policy == "events":
            self._enqueue([self._event(event) for event in events])

    def _enqueue(self, messages: Sequence[_Message]) -> None:
        if not messages:
            return
        with self._changed:
            if self._waiting_bytes > self._max_waiting_bytes:
                raise self._late(f"{self._waiting_bytes} bytes of alerts wait")
            self._waiting.extend(messages)
            self._waiting_bytes += sum(len(message.value) for message in messages)
            self._num_published += len(messages)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> None:
        """Return when every alert published so far is acknowledged.

        Raises:
            RetryLater: it is not within the time.
            StopPipeline: the broker refuses alerts for good (no such topic, no right to write).
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            # Not "until nothing waits": under load something always does.
            target = self._num_published
            self._changed.wait_for(lambda: self._error is not None or self._num_handed_over >= target, timeout_s)
            error, self._error = self._error, None
            if error is not None:
                raise error
            if self._num_handed_over < target:
                raise self._late(f"{target - self._num_handed_over} alerts wait after {timeout_s:g} s")
        self._producer.flush(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """End the thread; what was not flushed is dropped (its rows are not committed either)."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # Its thread may stand in `send` while the broker is away; what it sends then belongs to rows nobody will see.
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _message(self, result: FrameResult) -> _Message:
        alert = alert_message(result, self._run_id)
        return _Message(alert.sensor_id.encode(), alert.model_dump_json().encode(), event_headers(ALERT_TYPE, alert.id, self._run_id))

    def _event(self, event: TargetEvent) -> _Message:
        message = target_message(event, self._run_id)
        headers = event_headers(TARGET_TYPES[event.change], message.id, self._run_id)
        return _Message(message.sensor_id.encode(), message.model_dump_json().encode(), headers)

    def _late(self, got: str) -> RetryLater:
        return RetryLater(
            expected="Kafka to take alerts as fast as they arise",
            got=got,
            where=f"alerts to topic {self._topic}",
            action="The stream waits until the broker takes them again.",
        )

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._producer.send(self._topic, message.key, message.value, message.headers)
            except RejectRecord as error:
                log.error("alert_refused", error=str(error), consequence="its row is in the table all the same")
            except IrstreamError as error:
                self._pause(error)
                continue
            with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(message.value)
                self._num_handed_over += 1
                self._changed.notify_all()

    def _next(self) -> _Message | None:
        """The oldest message, which stays in the queue until the producer has taken it."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting[0]

    def _pause(self, error: IrstreamError) -> None:
        log.warning("alerts_wait", error=str(error))
        with self._changed:
            if isinstance(error, StopPipeline):
                # Kept for `flush`: no row may become visible over an alert that was refused.
                self._error = error
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed, _RETRY_PAUSE_S)


def _detection(detection: Detection) -> AlertDetection:
    return AlertDetection(**{name: getattr(detection, name) for name in AlertDetection.model_fields})
