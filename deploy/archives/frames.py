"""Frames found again by their positions: in Kafka, or in the files that an archive run was made of."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

from deltalake import DeltaTable

from contracts.archive_range import ARCHIVE_PREFIX
from contracts.errors import IrstreamError
from contracts.frame import Frame, RawRecord
from contracts.position import KafkaPosition
from deploy.archives.inputs import file_request, frames_of
from deploy.settings.app_settings import AppSettings
from pipeline.ingest.archive_files import ArchivePart, ArchiveReader, list_parts
from pipeline.ingest.decode import decode_record
from pipeline.ops.explain import fetch_message
from pipeline.table.run_range import stored_range


class FrameFinder:
    """Finds messages and pixels of rows; inputs are looked at once."""

    def __init__(self, settings: AppSettings, table: DeltaTable) -> None:
        """Nothing is looked for yet.

        Args:
            settings: where Kafka and the table are.
            table: of the rows.
        """
        self._settings, self._table = settings, table
        self._archives: dict[str, tuple[dict[int, ArchivePart], datetime] | None] = {}

    def message(self, run_id: str, position: KafkaPosition) -> tuple[RawRecord | None, bool]:
        """The message of a row, made again where it came from a file; and whether it is gone for good.

        Raises:
            SettingsError: the input of an archive run cannot be found.
            StopPipeline: a file of it has changed.
            RetryLater: Kafka or the disk does not answer.
        """
        if not position.topic.startswith(ARCHIVE_PREFIX):
            return fetch_message(self._settings.kafka, position)
        if run_id not in self._archives:
            self._archives[run_id] = self._open(run_id)
        archive = self._archives[run_id]
        part = None if archive is None else archive[0].get(position.partition)
        if archive is None or part is None:
            return None, True
        with closing(ArchiveReader(position.topic, part, position.offset, archive[1])) as reader:
            records = reader.poll(1, 0.0)
        return (records[0] if records else None), not records

    def frame(self, run_id: str, position: KafkaPosition) -> Frame | str:
        """The decoded frame of a row, or why it cannot be had."""
        try:
            message, _ = self.message(run_id, position)
        except IrstreamError as error:
            return str(error)
        if message is None:
            return "it is not there any more"
        frame = decode_record(message, self._settings.preprocess)
        return frame if isinstance(frame, Frame) else frame.detail

    def _open(self, run_id: str) -> tuple[dict[int, ArchivePart], datetime] | None:
        stored = stored_range(self._table, run_id, self._settings.sink.plain_storage_options())
        if stored is None:
            return None
        request = file_request(self._settings, self._table, stored)
        parts = list_parts(frames_of(request), [Path(each) for each in request.inputs])
        return {part.number: part for part in parts}, stored.stored_at
