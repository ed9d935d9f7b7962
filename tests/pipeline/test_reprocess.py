"""Archive runs: every position of a fixed range has one row, whatever happens in between, and no other has."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from deltalake import DeltaTable

from actors.reply import SegmenterReply
from contracts.codecs import encode_pixels
from contracts.errors import RejectReason, RetryLater, SettingsError, StopPipeline
from contracts.frame import ContentType, RawRecord
from contracts.result import DeadLetter, FrameResult, Gap
from contracts.video_files import video_info
from pipeline.ingest import archive_files
from pipeline.ingest.thread_source import open_thread_reading
from pipeline.kafka.memory_topic import CRASH, DROP, EOF, MemoryReader, MemoryTopic, Message
from tests.pipeline.archives import ArchiveRun
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.results import read_rows
from tests.pipeline.runtime.memory_stream import MemoryStream, frames

GUARD_S = 120.0  # only against hanging


class StopsAfter(RuleNetworks):
    """Stops a run when the segmenter is asked for the n-th time, and answers when the readers have been told."""

    def __init__(self, num: int, run: ArchiveRun) -> None:
        super().__init__()
        self.calls, self._num, self._run = 0, num, run

    async def segment(self, block: Any) -> SegmenterReply:
        self.calls += 1
        if self.calls >= self._num:
            self._run.stop.set()
            await asyncio.to_thread(self._run.stopping.wait, GUARD_S)
        return await super().segment(block)


def write_images(folder: Path, num: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + num):
        (folder / f"{number}.png").write_bytes(encode_pixels(np.full((64, 96), number % 3, np.uint8), ContentType.PNG))


def write_video(path: Path, num: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (96, 64))
    for number in range(num):
        writer.write(np.full((64, 96, 3), number, np.uint8))
    writer.release()


@pytest.mark.slow
def test_a_partition_is_read_by_several_and_each_offset_gets_one_row_whatever_fails(tmp_path: Path) -> None:
    """Pieces of five offsets; what Ray Data may do to a read happens to some of them."""
    items = [*frames(33), CRASH, *frames(17), None, None, *frames(20), DROP, *frames(10), EOF, *frames(20), None]
    topic = MemoryTopic({0: items, 1: frames(3)})
    # A lost block is noticed when nothing has moved for so long; so has a machine that is slow, now and then.
    run = ArchiveRun(tmp_path, uncommitted_rows=40, drain_timeout_s=2.0)
    summary = run.process(run.topic(topic))
    assert (summary.complete, summary.rows_now) == (True, 103 + 3)
    assert summary.stream.progress.generation >= 3, "two of the three may happen in one generation"
    expected = [offset for offset in range(103) if offset not in (50, 51, 102)]
    assert run.offsets() == {0: expected, 1: [0, 1, 2]}
    splits = run.plans[0].splits
    assert splits is not None
    assert [len(span) for span in splits.spans if span.partition == 0] == [5] * 20 + [3]
    assert [plan.starts[0] for plan in run.plans] == sorted(plan.starts[0] for plan in run.plans), "each from where the table stands"


class SlowBeginning(MemoryReader):
    """The disk of the first piece is slow."""

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        if self.position < 2:
            time.sleep(0.2)
        return super().poll(max_records, max_wait_s)


@pytest.mark.slow
def test_rows_behind_a_slow_piece_do_not_take_the_room_it_needs(tmp_path: Path) -> None:
    topic = MemoryTopic({0: frames(120)})
    run = ArchiveRun(tmp_path, uncommitted_rows=16, in_flight_blocks=1, block_max_frames=1)
    opened = partial(open_thread_reading, lambda _: lambda plan, partition, start: SlowBeginning(topic, partition, start, plan.topic_id))
    summary = run.process(replace(run.topic(topic), open_reading=opened))
    assert (summary.complete, summary.stream.progress.generation) == (True, 1)
    assert run.offsets() == {0: list(range(120))}


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_the_table_stands_and_its_end_stays_where_it_was(tmp_path: Path) -> None:
    topic = MemoryTopic({0: frames(200), 1: frames(40)})
    first = ArchiveRun(tmp_path, uncommitted_rows=80)
    networks = StopsAfter(12, first)
    first.job = ArchiveRun(tmp_path, models=networks.handles(), uncommitted_rows=80, in_flight_blocks=1).job
    began = first.process(first.topic(topic, "0:20"))
    assert not began.complete
    assert 0 < began.rows_now < 220
    topic.append(0, frames(50))
    second = ArchiveRun(tmp_path, uncommitted_rows=80)
    ended = second.process(second.topic(topic, "0:20"))
    assert (ended.complete, ended.rows_before) == (True, began.rows_now)
    assert second.offsets() == {0: list(range(20, 200)), 1: list(range(40))}
    once_more = second.process(second.topic(topic, "0:20"))
    assert (once_more.complete, once_more.stream.progress.frames_out, len(second.plans)) == (True, 0, 1)


def test_bounds_are_offsets_or_times_and_what_retention_deleted_since_is_a_gap(tmp_path: Path) -> None:
    at_s = 1_750_000_000
    messages = [Message(b"cam", frames(1)[0].value, (), (at_s + 60 * minute) * 1000) for minute in range(30)]
    topic = MemoryTopic({0: messages, 1: messages[:5]})
    run = ArchiveRun(tmp_path)
    archive = run.topic(topic, "2025-06-15T15:08:20Z", "2025-06-15T15:26:40")
    assert [(each.number, each.start, each.stop) for each in archive.range.partitions] == [(0, 2, 20), (1, 2, 5)]
    topic.delete_before(0, 7)
    assert run.process(archive).complete
    rows = read_rows(tmp_path, "again")
    assert [(row.position.offset, row.stop) for row in rows if isinstance(row, Gap)] == [(2, 7)]
    assert run.offsets() == {0: list(range(2, 20)), 1: [2, 3, 4]}
    for wrong in ("yesterday", "2:0", "-1"):
        with pytest.raises(SettingsError, match=r"^from: "):
            ArchiveRun(tmp_path, "other").topic(topic, wrong)
    with pytest.raises(SettingsError, match="messages between the two bounds"):
        ArchiveRun(tmp_path, "other").topic(topic, "30")


@pytest.mark.slow
def test_files_have_positions_and_each_gets_one_row_also_what_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "night"
    write_images(folder / "cam", 12)
    (folder / "cam" / "5.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    tifffile.imwrite(folder / "cam" / "20.tiff", np.zeros((3, 64, 96), np.uint16), photometric="minisblack")
    write_video(folder / "clip.avi", 30)
    stopped = ArchiveRun(tmp_path / "table", uncommitted_rows=16)
    networks = StopsAfter(3, stopped)
    stopped.job = ArchiveRun(tmp_path / "table", models=networks.handles(), uncommitted_rows=16, in_flight_blocks=1).job
    assert not stopped.process(stopped.files(folder)).complete
    assert any(each.lost for each in stopped.audit())

    (tmp_path / "copy").mkdir()
    moved = folder.rename(tmp_path / "copy" / "night")
    run = ArchiveRun(tmp_path / "table", uncommitted_rows=16)
    summary = run.process(run.files(moved))
    assert (summary.complete, summary.range.topic) == (True, "archive:night")
    rows = read_rows(tmp_path / "table", "again")
    by_sensor = {row.sensor_id for row in rows if not isinstance(row, Gap)}
    assert by_sensor == {"clip", "cam"}
    assert sorted(map(len, run.offsets().values())) == [15, 30]
    assert all(offsets == list(range(len(offsets))) for offsets in run.offsets().values())
    (bad,) = [row for row in rows if isinstance(row, DeadLetter)]
    assert (bad.position.offset, bad.reason, bad.frame_id) == (5, RejectReason.CORRUPT_IMAGE, "cam/5")
    assert "5.png" in bad.detail
    assert [len(row.detections) for row in rows if isinstance(row, FrameResult) and row.sensor_id == "cam"][:4] == [0, 1, 2, 0]
    assert all(each.clean for each in run.audit())
    assert sum(each.expected for each in run.audit()) == 45

    DeltaTable(str(tmp_path / "table")).delete("run_id = 'again' and source_offset = 14")
    assert sum(len(span) for each in run.audit() for span in each.lost) == 2, "one of each partition"


@pytest.mark.parametrize("block_max_frames", [1, 64])
def test_files_that_change_under_a_run_end_it(tmp_path: Path, block_max_frames: int) -> None:
    folder = tmp_path / "night"
    write_images(folder, 6)
    run = ArchiveRun(tmp_path / "table", block_max_frames=block_max_frames, block_max_wait_s=0.2)
    archive = run.files(folder)
    (folder / "4.png").write_bytes(b"another")
    with pytest.raises(StopPipeline, match=r"4\.png: expected the file as it was when the range was fixed"):
        run.process(archive)
    assert run.offsets() == {0: [0, 1, 2, 3]}
    with pytest.raises(SettingsError, match="changed or other files"):
        run.files(folder)


def test_a_file_of_the_same_size_is_another_file_and_names_need_not_be_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write_images(folder, 2)
    odd = folder / os.fsdecode(b"2\xff.png")
    odd.write_bytes((folder / "1.png").read_bytes() + b"a")
    run = ArchiveRun(tmp_path / "table")
    assert run.process(run.files(folder, name="cafe")).complete
    assert run.offsets() == {0: [0, 1, 2]}
    (part,) = run.range().partitions
    assert (part.sensor_id, part.first, part.last) == ("caf\\udce9", "caf\\udce9/0.png", "caf\\udce9/2\\udcff.png")
    odd.write_bytes((folder / "1.png").read_bytes() + b"b")
    with pytest.raises(SettingsError, match="changed or other files"):
        run.files(folder, name="cafe")


def test_a_file_that_cannot_be_read_for_a_moment_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "night"
    write_images(folder, 9)
    failing = [3, 3, 4, 7]
    require = archive_files._require_as_it_was

    def sometimes(file: archive_files.ArchiveFile) -> datetime:
        if file.first in failing:
            failing.remove(file.first)
            raise RetryLater(expected="a file", got="a network that is away", where=file.name, action="It is tried again.")
        return require(file)

    monkeypatch.setattr(archive_files, "_require_as_it_was", sometimes)
    monkeypatch.setattr(archive_files, "_POLL_BYTES", 600)
    run = ArchiveRun(tmp_path / "table", block_max_frames=64, block_max_wait_s=0.2)
    assert run.process(run.files(folder)).complete
    assert not failing
    assert len(read_rows(tmp_path / "table", "again")) == 9
    assert run.offsets() == {0: list(range(9))}
    assert all(each.clean for each in run.audit())


def test_a_video_has_the_frames_it_has_whatever_its_header_counts(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    path = tmp_path / "night" / "clip.avi"
    write_video(path, 20)
    value = bytearray(path.read_bytes())
    for place in (value.index(b"avih") + 8 + 16, value.index(b"strh") + 8 + 32):
        assert int.from_bytes(value[place : place + 4], "little") == 20
        value[place : place + 4] = (12).to_bytes(4, "little")
    path.write_bytes(value)
    assert video_info(path).num_frames == 12
    run = ArchiveRun(tmp_path / "table")
    assert run.process(run.files(tmp_path / "night")).complete
    assert run.offsets() == {0: list(range(20))}


def test_a_run_id_is_that_of_one_range(tmp_path: Path) -> None:
    live = MemoryStream(MemoryTopic({0: frames(4)}), tmp_path / "table")
    live.catch_up()
    with pytest.raises(SettingsError, match="under which a stream or a replay has written"):
        ArchiveRun(tmp_path / "table", "live").topic(live.topic)
    run = ArchiveRun(tmp_path / "table")
    first = run.topic(live.topic, None, "3")
    live.topic.append(0, frames(4))
    assert run.topic(live.topic, None, "3").range == first.range
    for begin, end in ((None, None), ("1", "3"), (None, "4")):
        with pytest.raises(SettingsError, match="the input it began with: topic frames, to 3"):
            run.topic(live.topic, begin, end)
    write_images(tmp_path / "night", 2)
    with pytest.raises(SettingsError, match="the input it began with"):
        run.files(tmp_path / "night")


def test_rows_of_another_run_are_made_again_and_no_other(tmp_path: Path) -> None:
    write_images(tmp_path / "night" / "a", 9)
    write_images(tmp_path / "night" / "b", 4)
    first = ArchiveRun(tmp_path / "table", "first")
    assert first.process(first.files(tmp_path / "night")).complete
    DeltaTable(str(tmp_path / "table")).delete("source_partition = 0 and source_offset in (3, 4, 8)")
    again = ArchiveRun(tmp_path / "table")
    archive = again.rows_of(first.range(), tmp_path / "night")
    assert [(each.start, each.stop, each.selected) for each in archive.range.partitions] == [(0, 8, ((0, 3), (5, 8))), (0, 4, None)]
    assert again.process(archive).complete
    assert again.offsets() == {0: [0, 1, 2, 5, 6, 7], 1: [0, 1, 2, 3]}
    assert [(each.clean, each.ok, each.empty) for each in again.audit()] == [(True, 6, 0), (True, 4, 0)]
    DeltaTable(str(tmp_path / "table")).delete("run_id = 'again' and source_offset = 5")
    assert [len(each.lost) for each in again.audit()] == [1, 0]


def test_drivers_share_an_archive_and_none_does_the_work_of_another(tmp_path: Path) -> None:
    for number, num in enumerate((7, 1, 4, 4, 2)):
        write_images(tmp_path / "night" / f"cam{number}", num)
    runs = [ArchiveRun(tmp_path / "table") for _ in range(3)]
    ended = [run.process(run.files(tmp_path / "night"), (number, 3)) for number, run in enumerate(runs, 1)]
    assert [each.complete for each in ended] == [True] * 3
    assert sorted(each.rows_now for each in ended) == [5, 6, 7]
    assert ended[-1].all_rows_now == 18
    assert all(each.clean for each in runs[0].audit())
    idle = ArchiveRun(tmp_path / "table").process(runs[0].files(tmp_path / "night"), (9, 9))
    assert (idle.complete, idle.rows_now) == (True, 0)


def test_the_first_to_store_a_range_decides(tmp_path: Path) -> None:
    topic = MemoryTopic({0: frames(4)})
    found = []

    def race(num: int) -> None:
        with suppress(SettingsError):
            found.append(ArchiveRun(tmp_path).topic(topic).range)

    ArchiveRun(tmp_path, "prepared").topic(topic)
    threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
        topic.append(0, frames(1))
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({each.model_dump_json() for each in found}) == 1
    (path,) = (file for file in (tmp_path / "_irstream" / "ranges").iterdir() if found[0].model_dump_json() == file.read_text())
    os.truncate(path, 10)
    with pytest.raises(StopPipeline, match="the range that was stored for run again"):
        ArchiveRun(tmp_path).topic(topic)
