"""The stream on a real broker and a real Ray; the networks answer by rule, so every row is known beforehand."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaProducer
from kafka import TopicPartition as ClientTopicPartition

from actors.reply import SegmenterReply
from contracts.errors import StopPipeline
from pipeline.kafka.client import connect_admin
from pipeline.kafka.reader import LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ensure_topic
from pipeline.runtime.progress import StreamProgress
from pipeline.stream import run_stream
from tests.conftest import FragileKafka, RealKafka
from tests.integration.feeds import Message, assert_exactly_once, catch_up, feed, frames, job, marked_frame, rows
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.waiting import GUARD_S, wait_until

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture
def settings(kafka: RealKafka) -> KafkaSettings:
    """Three topics of its own for each test."""
    return kafka.settings(
        topic=kafka.new_topic(2),
        alerts_topic=kafka.new_topic(1),
        dead_letter_topic=kafka.new_topic(1),
    )


class Until(RuleNetworks):
    """Answers eight blocks, and the others when something has happened."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        super().__init__()
        self._calls = 0
        self._happened = happened

    async def segment(self, block: Any) -> SegmenterReply:
        self._calls += 1
        if self._calls > 8:
            while not self._happened():
                await asyncio.sleep(0.05)
        return await super().segment(block)


def messages_in(settings: KafkaSettings, topic: str, num: int) -> list[dict[str, object]]:
    with LogReader(settings, topic, 0, 0) as reader:
        found: list[dict[str, object]] = []
        deadline = time.monotonic() + GUARD_S
        while len(found) < num and time.monotonic() < deadline:
            found += [json.loads(record.value or b"null") for record in reader.poll(1000, 0.5)]
        # One poll more: nothing may follow.
        return found + [json.loads(record.value or b"null") for record in reader.poll(1000, 0.5)]


def test_every_message_becomes_one_row_and_bad_ones_a_dead_letter_too(settings: KafkaSettings, tmp_path: Path) -> None:
    bad: list[Message] = [
        (None, marked_frame(1), [], 0),
        (b"cam", None, [], 1),
        (b"cam", b"not an image", [], 0),
        (b"cam", marked_frame(1)[:-9], [], 1),
    ]
    poison: list[Message] = [(b"cam", marked_frame(255), [], 0)]
    feed(settings, [*frames(60), *bad, *frames(40), *poison, *frames(20)])
    each_frame = job(settings, tmp_path / "table", RuleNetworks().handles())
    each_frame = replace(each_frame, sink=each_frame.sink.model_copy(update={"alerts": "detections"}))
    summary = catch_up(each_frame)
    found = rows(tmp_path / "table")
    assert_exactly_once(found, settings)
    rejected = [row for row in found if row["status"] == "rejected"]
    assert sorted(row["reason"] for row in rejected) == ["corrupt_image", "key_missing", "poison", "tombstone", "unsupported_codec"]
    assert (summary.drained, summary.progress.frames_out, summary.progress.rejected, summary.progress.detections) == (True, 125, 5, 120)
    assert summary.progress.lag == 0
    letters = messages_in(settings, settings.dead_letter_topic, 5)
    assert sorted((letter["partition"], letter["offset"]) for letter in letters) == sorted(
        (row["source_partition"], row["source_offset"]) for row in rejected
    )
    assert len(messages_in(settings, settings.alerts_topic, 120)) == 120


def test_a_restart_goes_on_exactly_where_the_table_stands(settings: KafkaSettings, tmp_path: Path) -> None:
    one = job(settings, tmp_path / "table", RuleNetworks().handles())
    feed(settings, frames(30))
    assert catch_up(one).progress.frames_out == 30
    assert catch_up(one).progress.frames_out == 0
    feed(settings, frames(25))
    assert catch_up(one).progress.frames_out == 25
    assert_exactly_once(rows(tmp_path / "table"), settings)


def test_stop_drains_and_leaves_nothing_half_done(settings: KafkaSettings, tmp_path: Path) -> None:
    # Of 50 blocks, four at a time, the networks answer the first eight before the stop: it comes in the middle.
    stop = threading.Event()
    one = job(settings, tmp_path / "table", Until(stop.is_set).handles(), in_flight_blocks=2)
    feed(settings, frames(400))

    def watch(progress: StreamProgress) -> None:
        if progress.frames_out > 0:
            stop.set()

    summary = run_stream(one, stop=stop, on_progress=watch)
    assert summary.drained
    first = len(rows(tmp_path / "table"))
    assert 0 < first < 400
    assert summary.progress.frames_out == first == summary.progress.frames_in, "what was read is visible"
    assert catch_up(one).progress.frames_out == 400 - first
    assert_exactly_once(rows(tmp_path / "table"), settings)


def test_a_continuous_stream_passes_from_epoch_to_epoch_without_loss(settings: KafkaSettings, tmp_path: Path) -> None:
    one = job(settings, tmp_path / "table", RuleNetworks().handles(), epoch_s=3.0, epoch_overlap_s=1.0)
    stop, everything = threading.Event(), threading.Event()
    seen: list[StreamProgress] = []

    def watch(progress: StreamProgress) -> None:
        seen.append(progress)
        if progress.frames_out >= 400:
            everything.set()

    runner = threading.Thread(target=run_stream, args=(one,), kwargs={"stop": stop, "on_progress": watch})
    runner.start()
    try:
        feed(settings, frames(10))
        wait_until(lambda: seen and seen[-1].frames_out >= 10, "the first rows")
        for _ in range(39):
            feed(settings, frames(10))
            everything.wait(0.2)  # feeding takes more than two epochs
        assert everything.wait(GUARD_S), "only a later epoch can have read the last frames"
    finally:
        stop.set()
        runner.join(GUARD_S)
    assert not runner.is_alive()
    assert {progress.generation for progress in seen} == {1}, [progress.note for progress in seen]
    assert_exactly_once(rows(tmp_path / "table"), settings)


def test_partitions_that_are_added_while_it_runs_are_read(settings: KafkaSettings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"probe_interval_s": 1.0})
    one = job(settings, tmp_path / "table", RuleNetworks().handles())
    stop, some, everything = threading.Event(), threading.Event(), threading.Event()

    def watch(progress: StreamProgress) -> None:
        if progress.frames_out >= 20:
            some.set()
        if progress.frames_out >= 60:
            everything.set()

    runner = threading.Thread(target=run_stream, args=(one,), kwargs={"stop": stop, "on_progress": watch})
    runner.start()
    try:
        feed(settings, frames(20))
        assert some.wait(GUARD_S)
        admin = connect_admin(settings)
        admin.create_partitions({settings.topic: 4})
        admin.close()
        feed(settings, frames(40, partitions=4))
        assert everything.wait(GUARD_S), "the new partitions hold 20 of 60 frames"
    finally:
        stop.set()
        runner.join(GUARD_S)
    assert not runner.is_alive()
    found = rows(tmp_path / "table")
    assert {row["source_partition"] for row in found} == {0, 1, 2, 3}
    assert_exactly_once(found, settings)


def test_what_retention_deleted_is_one_gap_row(settings: KafkaSettings, tmp_path: Path) -> None:
    one = job(settings, tmp_path / "table", RuleNetworks().handles())
    feed(settings, frames(20))
    catch_up(one)
    feed(settings, frames(40))
    admin = connect_admin(settings)
    admin.delete_records({ClientTopicPartition(settings.topic, 0): 18})
    admin.close()
    summary = catch_up(one)
    found = rows(tmp_path / "table")
    (gap,) = [row for row in found if row["status"] == "gap"]
    assert (gap["source_partition"], gap["source_offset"], gap["source_offset_end"]) == (0, 10, 18)
    assert (summary.progress.gaps, summary.progress.generation) == (1, 1)
    assert_exactly_once(found, settings, holes=7)  # one row stands for eight offsets


def test_transaction_markers_and_aborted_records_have_no_row_and_are_no_gap(settings: KafkaSettings, tmp_path: Path) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.topic)
    producer.init_transactions()
    for commit in (True, False, True):
        producer.begin_transaction()
        for _ in range(5):
            producer.send(settings.topic, key=b"cam", value=marked_frame(1), partition=0)
        producer.flush()  # what is aborted unsent never reaches the log
        _ = producer.commit_transaction() if commit else producer.abort_transaction()
    producer.close()
    summary = catch_up(job(settings, tmp_path / "table", RuleNetworks().handles()))
    found = rows(tmp_path / "table")
    assert [row["status"] for row in found] == ["ok"] * 10
    assert (summary.progress.lag, summary.progress.generation) == (0, 1)
    assert_exactly_once(found, settings, holes=5 + 3)


def test_rows_that_pile_up_before_the_table_hold_the_readers_and_let_them_go(settings: KafkaSettings, tmp_path: Path) -> None:
    feed(settings, frames(200))
    limits: dict[str, Any] = {"uncommitted_rows": 8, "in_flight_blocks": 1, "in_flight_bytes": 2000, "block_max_bytes": 600}
    summary = catch_up(job(settings, tmp_path / "table", RuleNetworks().handles(), **limits))
    assert (summary.drained, summary.progress.generation) == (True, 1)
    assert_exactly_once(rows(tmp_path / "table"), settings)


def test_networks_that_fail_for_a_while_cost_a_restart_but_no_row(settings: KafkaSettings, tmp_path: Path) -> None:
    class Failing(RuleNetworks):
        calls = 0

        async def segment(self, block: object) -> object:  # type: ignore[override]
            Failing.calls += 1
            if Failing.calls in (3, 9):
                raise RuntimeError("the actor died")
            return await super().segment(block)

    feed(settings, frames(120))
    # Few blocks in flight, so that the second failure falls into the second generation.
    one = job(settings, tmp_path / "table", Failing().handles(), restart_backoff_s=0.1, in_flight_blocks=1)
    summary = catch_up(one)
    assert summary.progress.generation == 3
    assert_exactly_once(rows(tmp_path / "table"), settings)


def test_runs_lie_beside_each_other(settings: KafkaSettings, tmp_path: Path) -> None:
    feed(settings, frames(20))
    for run_id in ("live", "again"):
        catch_up(job(settings, tmp_path / "table", RuleNetworks().handles(), run_id=run_id))
    found = rows(tmp_path / "table")
    for run_id in ("live", "again"):
        assert_exactly_once([row for row in found if row["run_id"] == run_id], settings)


def test_another_topic_of_the_same_name_stops_the_stream(kafka: RealKafka, settings: KafkaSettings, tmp_path: Path) -> None:
    one = job(settings, tmp_path / "table", RuleNetworks().handles())
    feed(settings, frames(10))
    catch_up(one)
    admin = connect_admin(settings)
    admin.delete_topics([settings.topic])
    admin.close()
    ensure_topic(settings, settings.topic, 2)
    feed(settings, frames(30))
    with pytest.raises(StopPipeline, match=r"another topic|other messages"):
        catch_up(one)
    assert len(rows(tmp_path / "table")) == 10


def test_what_lies_before_a_damaged_batch_gets_its_rows_before_the_stream_stops(fragile_kafka: FragileKafka, tmp_path: Path) -> None:
    topics = {name: fragile_kafka.new_topic(1) for name in ("topic", "alerts_topic", "dead_letter_topic")}
    settings = fragile_kafka.settings(**topics)
    feed(settings, frames(40, partitions=1))
    feed(settings, [(b"cam", b"DAMAGE ME " * 50, [], 0)])
    log = Path(fragile_kafka.broker.home.data, f"{settings.topic}-0", "00000000000000000000.log")
    stored = log.read_bytes()
    with log.open("r+b") as data:
        data.seek(stored.rindex(b"DAMAGE"))
        data.write(b"damage")
        os.fsync(data.fileno())
    with pytest.raises(StopPipeline, match="offset 40"):
        catch_up(job(settings, tmp_path / "table", RuleNetworks(delay_s=0.02).handles()))
    assert sorted(row["source_offset"] for row in rows(tmp_path / "table")) == list(range(40))


def test_a_killed_read_worker_costs_a_restart_but_no_row(settings: KafkaSettings, tmp_path: Path) -> None:
    feed(settings, frames(600))
    killed: list[int] = []
    networks = Until(lambda: bool(killed))  # its reader waits meanwhile, with most of the frames before it
    one = job(settings, tmp_path / "table", networks.handles(), in_flight_blocks=4, restart_backoff_s=0.1)

    def kill_a_reader(progress: StreamProgress) -> None:
        with suppress(psutil.NoSuchProcess):
            reader = next((process for process in read_workers() if "KafkaEpoch" in " ".join(process.cmdline())), None)
            if progress.frames_out > 0 and reader is not None and not killed:
                reader.kill()
                killed.append(reader.pid)

    summary = run_stream(one, stop=threading.Event(), until_caught_up=True, on_progress=kill_a_reader)
    assert killed
    assert summary.progress.generation > 1, "Ray Data would have replayed the task silently"
    assert_exactly_once(rows(tmp_path / "table"), settings)


def read_workers() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)
