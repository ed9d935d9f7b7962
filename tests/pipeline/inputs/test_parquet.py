"""Parquet of frames: each row is a picture with what it says of itself, from any row on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.codecs import encode_pixels
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform
from contracts.result import DeadLetter, FrameResult
from pipeline.inputs.feeds import FrameSource, FrameToSend
from pipeline.inputs.find import Labels, find_inputs
from pipeline.inputs.parquet import ParquetInput
from pipeline.inputs.pictures import Picture, Unusable
from tests.pipeline.archives import ArchiveRun
from tests.pipeline.results import read_rows

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def image(mark: int) -> bytes:
    return encode_pixels(np.full((64, 96), mark, np.uint8), ContentType.PNG)


def write(path: Path, num: int, first: int = 0) -> None:
    numbers = range(first, first + num)
    rows = {
        "image": pa.array([None if number == 4 else image(number % 3) for number in numbers], pa.binary()),
        "sensor_id": [f"mast-{number % 2}" for number in numbers],
        "sample_id": [f"s{number}" for number in numbers],
        "captured_at": pa.array([NOON.replace(second=number) for number in numbers], pa.timestamp("ms", "UTC")),
        "platform": ["Land"] * num,
        "band": ["LWIR"] * num,
        "split": ["test" if number >= 6 else "train" for number in numbers],
    }
    pq.write_table(pa.table(rows), path, row_group_size=3)


def test_rows_say_what_they_are(tmp_path: Path) -> None:
    write(tmp_path / "part.parquet", 8)
    found = find_inputs([tmp_path / "part.parquet"], Labels())
    source = FrameSource(found.sequences)
    entries = list(source.frames())
    assert source.num_frames == len(entries) == 8
    (bad,) = [each for each in entries if isinstance(each, Unusable)]
    assert "row 4" in bad.what
    frame = next(each for each in entries if isinstance(each, FrameToSend))
    meta = frame.meta(frame_id="x", number=0, captured_at=datetime.now(UTC))
    assert (meta.sensor_id, meta.frame_id, meta.captured_at, meta.platform, meta.band) == ("mast-0", "s0", NOON, Platform.LAND, Band.LWIR)
    (sequence,) = find_inputs([tmp_path / "part.parquet"], Labels(split="test", band=Band.MWIR)).sequences
    pictures = [each for each in sequence.pictures() if isinstance(each, Picture)]
    assert [(each.frame_id, each.band) for each in pictures] == [("s6", Band.MWIR), ("s7", Band.MWIR)]


def test_images_of_other_programs_lie_in_a_struct(tmp_path: Path) -> None:
    rows = pa.table({"image": [{"bytes": image(1), "path": "a.png"}], "label": [0]})
    pq.write_table(rows, tmp_path / "hub.parquet")
    (sequence,) = find_inputs([tmp_path / "hub.parquet"], Labels()).sequences
    (picture,) = sequence.pictures()
    assert isinstance(picture, Picture)
    assert (picture.payload, picture.sensor_id, picture.headers) == (image(1), None, {"item": "hub/0"})
    pq.write_table(pa.table({"label": [0]}), tmp_path / "labels.parquet")
    with pytest.raises(SettingsError, match="a column of encoded images"):
        find_inputs([tmp_path / "labels.parquet"], Labels())
    found = find_inputs([tmp_path], Labels())
    assert (len(found.sequences), found.left_out) == (1, (f"{tmp_path}: 1 file without the name of an image or video (1 .parquet)",))


def test_an_archive_of_parquet_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "part-0.parquet", 8)
    write(folder / "part-1.parquet", 5, first=8)
    run = ArchiveRun(tmp_path / "table", uncommitted_rows=16)
    assert run.process(run.files(folder)).complete
    assert run.offsets() == {0: list(range(13))}
    rows = read_rows(tmp_path / "table", "again")
    assert [row.frame_id for row in rows if isinstance(row, FrameResult)] == [f"s{number}" for number in range(13) if number != 4]
    assert [len(row.detections) for row in rows if isinstance(row, FrameResult)] == [number % 3 for number in range(13) if number != 4]
    assert [row.position.offset for row in rows if isinstance(row, DeadLetter)] == [4]
    assert all(each.clean for each in run.audit())


def test_a_damaged_page_costs_its_rows_and_odd_text_its_row(tmp_path: Path) -> None:
    """The row groups behind the damage are read, from any offset on."""
    (tmp_path / "night").mkdir()
    path = tmp_path / "night" / "part.parquet"
    write(path, 12)
    rows = pq.read_table(path).append_column("nodata", pa.array(["abc" if number == 7 else None for number in range(12)]))
    pq.write_table(rows, path, row_group_size=3, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    value = bytearray(path.read_bytes())
    stop = column.data_page_offset + column.total_compressed_size
    value[column.data_page_offset + 30 : stop] = bytes(stop - column.data_page_offset - 30)
    path.write_bytes(value)
    (sequence,) = find_inputs([path], Labels()).sequences
    entries = [1 if isinstance(each, Picture) else -each.num for each in sequence.pictures()]
    assert entries == [1, 1, 1, -3, 1, -1, 1, 1, 1, 1]
    later = ParquetInput(path).pictures(4)
    assert [1 if isinstance(each, Picture) else -each.num for each in later] == [-2, 1, -1, 1, 1, 1, 1]
    (test,) = find_inputs([path], Labels(split="test")).sequences
    assert [1 if isinstance(each, Picture) else -each.num for each in test.pictures()] == [1, -1, 1, 1, 1, 1]
    run = ArchiveRun(tmp_path / "table")
    assert run.process(run.files(tmp_path / "night")).complete
    rejected = {row.position.offset for row in read_rows(tmp_path / "table", "again") if isinstance(row, DeadLetter)}
    assert (run.offsets(), rejected) == ({0: list(range(12))}, {3, 4, 5, 7})
