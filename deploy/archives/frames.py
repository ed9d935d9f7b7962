"""Frames found again by their positions: in Kafka, or in the files that an archive run was made of."""

from __future__ import annotations

from contextlib import closing

from deltalake import DeltaTable

from contracts.archive_range import ARCHIVE_PREFIX, ArchiveRange
from contracts.errors import IrstreamError, StopPipeline
from contracts.frame import Frame, RawRecord
from contracts.position import KafkaPosition
from deploy.archives.inputs import file_request, frames_of, paths_of
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
        self._archives: dict[str, tuple[dict[int, ArchivePart], ArchiveRange] | None] = {}
        self._compared: set[tuple[str, int]] = set()

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
        if archive is None:
            return None, True
        parts, stored = archive
        part = parts.get(position.partition)
        if (run_id, position.partition) not in self._compared:
            _require_the_same(part, stored, position.partition)
            self._compared.add((run_id, position.partition))
        if part is None:
            return None, True
        with closing(ArchiveReader(position.topic, part, position.offset, stored.stored_at)) as reader:
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

    def _open(self, run_id: str) -> tuple[dict[int, ArchivePart], ArchiveRange] | None:
        stored = stored_range(self._table, run_id, self._settings.sink.plain_storage_options())
        if stored is None:
            return None
        request = file_request(self._settings, self._table, stored)
        parts = list_parts(frames_of(request), paths_of(request))
        return {part.number: part for part in parts}, stored


def _require_the_same(part: ArchivePart | None, stored: ArchiveRange, number: int) -> None:
    """Check that a position means the frame that it meant when the range was fixed.

    Raises:
        StopPipeline: the files have changed, or others came before them.
    """
    was = next((each for each in stored.partitions if each.number == number), None)
    now = None if part is None else part.described()
    if was is not None and (now is None or now.digest != was.digest):
        raise StopPipeline(
            expected=f"the files of run {stored.run_id} from {was.first} to {was.last}",
            got="nothing there" if now is None else f"{now.first} to {now.last}: the files have changed, or others came",
            where=", ".join(stored.request.inputs),
            action="Put them back as they were: a position would be another frame.",
        )
