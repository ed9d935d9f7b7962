"""From the results table and the log to the tiles of a contact sheet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from contracts.arrow import Status, table_to_outcomes
from contracts.frame import Frame
from contracts.limits import InputLimits
from contracts.position import KafkaPosition, TopicPartition
from contracts.result import FrameResult
from pipeline.kafka.settings import KafkaSettings

_FETCH_WAIT_S = 5.0


def read_results(table: str, run_id: str) -> list[FrameResult]:
    """The rows of a run that the networks have seen, in log order per partition."""
    from deltalake import DeltaTable

    rows = DeltaTable(table).to_pyarrow_table(filters=[("run_id", "=", run_id), ("status", "=", Status.OK.value)])
    results = [outcome for outcome in table_to_outcomes(rows) if isinstance(outcome, FrameResult)]
    return sorted(results, key=lambda result: result.position)


def choose(results: Iterable[FrameResult], num: int) -> list[FrameResult]:
    """Frames worth looking at: every sensor in turn, frames with detections first, spread evenly over time.

    Returns:
        At most `num` results, grouped by sensor, each group in order of time.
    """
    by_sensor: defaultdict[str, list[FrameResult]] = defaultdict(list)
    for result in results:
        by_sensor[result.sensor_id].append(result)
    quotas = _quotas({sensor: len(group) for sensor, group in by_sensor.items()}, num)
    chosen: list[FrameResult] = []
    for sensor in sorted(quotas):
        found = [result for result in by_sensor[sensor] if result.shown]
        picked = _spread(found, quotas[sensor])
        empty = [result for result in by_sensor[sensor] if not result.shown]
        picked += _spread(empty, quotas[sensor] - len(picked))
        chosen += sorted(picked, key=lambda result: (result.captured_at, result.position))
    return chosen


def _quotas(sizes: Mapping[str, int], num: int) -> dict[str, int]:
    """Number of frames for each sensor: one each in turn until `num` are given out or no sensor has more."""
    quotas = dict.fromkeys(sorted(sizes), 0)
    while sum(quotas.values()) < num:
        wanting = [sensor for sensor in quotas if quotas[sensor] < sizes[sensor]]
        if not wanting:
            break
        for sensor in wanting[: num - sum(quotas.values())]:
            quotas[sensor] += 1
    return {sensor: quota for sensor, quota in quotas.items() if quota}


def _spread(group: Sequence[FrameResult], num: int) -> list[FrameResult]:
    """`num` of the group at even distances (all of it when it is smaller)."""
    if num >= len(group):
        return list(group)
    return [group[int((index + 0.5) * len(group) / num)] for index in range(num)]


def fetch_frames(kafka: KafkaSettings, positions: Iterable[KafkaPosition], limits: InputLimits) -> dict[KafkaPosition, Frame]:
    """Read single messages again from the log: the table names them by position and keeps no pixels.

    Positions whose message is gone or cannot be decoded are left out.

    Raises:
        RetryLater: Kafka does not answer.
        StopPipeline: the topic is gone.
    """
    from pipeline.ingest.decode import decode_record
    from pipeline.kafka.reader import LogReader

    offsets: defaultdict[TopicPartition, list[int]] = defaultdict(list)
    for position in positions:
        offsets[position.topic_partition].append(position.offset)
    frames: dict[KafkaPosition, Frame] = {}
    for partition, wanted in offsets.items():
        with LogReader(kafka, partition.topic, partition.partition, min(wanted)) as reader:
            for offset in sorted(wanted):
                reader.seek_to(offset)
                for record in reader.poll(1, _FETCH_WAIT_S):
                    frame = decode_record(record, limits)
                    if record.position.offset == offset and isinstance(frame, Frame):
                        frames[record.position] = frame
    return frames
