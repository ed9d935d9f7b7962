"""The last frames of each partition: all that a start needs of the table, and little more."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from contracts.position import OffsetRange, TopicPartition
from pipeline.table import delta
from pipeline.table.merge import merge_small_files
from pipeline.table.results_table import ResultsTable
from pipeline.table.settings import MergePolicy
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.tracker import PartitionTracks
from tests.pipeline.tracks.scenes import frame, seen

FAST, SLOW = 60, 6


def partition_tracks(partition: int) -> PartitionTracks:
    return PartitionTracks(TopicPartition("frames", partition), TrackSettings(), 0.5)


def test_a_slow_partition_does_not_make_a_start_read_the_fast_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merged files keep partitions apart, and the sights that come back are those that live tracks go on from."""
    monkeypatch.setattr(delta, "_FEW_ROWS", 4)
    monkeypatch.setattr(delta, "_GROUP_ROWS", 20)
    table = ResultsTable(str(tmp_path), "live", compact_after_commits=0)
    table.open_or_create()
    tracks = {partition: partition_tracks(partition) for partition in (0, 1, 2)}
    for at in range(SLOW):
        spans = [OffsetRange("frames", each, at * step, (at + 1) * step) for each, step in ((0, FAST // SLOW), (1, 1), (2, FAST // SLOW))]
        frames = [
            frame(n, seen(50 + n, 50), seen(150, 150, score=0.9 if n % 2 else 0.3), partition=span.partition)
            for span in spans
            for n in range(span.start, span.stop)
        ]
        table.append([tracks[each.position.partition].advance(each)[0] for each in frames], spans, {})
    merge_small_files(DeltaTable(tmp_path), {}, MergePolicy())
    (path,) = DeltaTable(tmp_path).file_uris()
    metadata = pq.ParquetFile(path).metadata
    names = metadata.schema.to_arrow_schema().names
    groups = [metadata.row_group(each).column(names.index("source_partition")).statistics for each in range(metadata.num_row_groups)]
    assert [(each.min, each.max, each.num_values) for each in groups] == [*[(0, 0, 20)] * 3, (1, 1, SLOW), *[(2, 2, 20)] * 3]
    recent = table.recent_frames("frames", {0: range(50, FAST), 1: range(SLOW), 2: range(50, FAST)})
    assert {each: [found.offset for found in of_it] for each, of_it in recent.items()} == {
        0: list(range(50, FAST)),
        1: list(range(SLOW)),
        2: list(range(50, FAST)),
    }
    for partition, of_it in recent.items():
        assert sum(len(found.sights) for found in of_it) == 2
        again = partition_tracks(partition)
        for found in of_it:
            again.replay(found.sensor_id, found.captured_at, found.offset, found.sights)
        told = [
            [(each.track_id, each.memory, each.steps, each.last_offset, each.last.label) for each in of.tracks()]
            for of in (again, tracks[partition])
        ]
        assert told[0] == told[1]
