"""Frames of rows, fetched again by reference: from Kafka, or from the files of an archive run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deltalake import DeltaTable

from contracts.archive_range import ARCHIVE_PREFIX
from contracts.frame import Frame
from contracts.result import FrameResult
from deploy.archives.frames import FrameFinder
from deploy.labelling import require_same_topics
from deploy.settings.app_settings import AppSettings
from pipeline.ingest.decode import decode_record
from pipeline.ops.refetch import FrameLog, KafkaLog, fetch_again


def frames_of(
    settings: AppSettings, table: DeltaTable, rows: Sequence[FrameResult], log: FrameLog | None = None
) -> Iterator[tuple[FrameResult, Frame]]:
    """Row and frame of those that are still there, by position.

    Args:
        settings: table, run and Kafka.
        table: of the rows.
        rows: of one run.
        log: None: Kafka as the settings say.

    Raises:
        StopPipeline: a topic was deleted and created again, or files of an archive have changed.
        RetryLater: Kafka or the disk does not answer.
    """
    by_position = {row.position: row for row in sorted(rows, key=lambda row: row.position)}
    logged = [place for place in by_position if not place.topic.startswith(ARCHIVE_PREFIX)]
    if logged:
        frames = log or KafkaLog(settings.kafka)
        require_same_topics(settings, frames, logged)
        for record in fetch_again(frames, logged):
            frame = decode_record(record, settings.preprocess)
            if isinstance(frame, Frame):
                yield by_position[record.position], frame
    finder = FrameFinder(settings, table)
    for place, row in by_position.items():
        if place.topic.startswith(ARCHIVE_PREFIX):
            found = finder.frame(settings.run_id, place)
            if isinstance(found, Frame):
                yield row, found
