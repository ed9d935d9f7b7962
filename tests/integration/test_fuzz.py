"""1,200 hostile messages through the real broker and the real stream: one outcome each, nothing crashes, nothing grows."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from contracts.limits import InputLimits
from contracts.result import DeadLetter
from pipeline.ingest.decode import decode_record
from pipeline.kafka.settings import KafkaSettings
from tests.conftest import RealKafka
from tests.fuzz_messages import Fuzz, messages, seeded
from tests.integration.feeds import Message, assert_exactly_once, catch_up, feed, frames, job, marked_frame, rows
from tests.pipeline.inference.rule_networks import RuleNetworks

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]
SEEDED, DRAWN, SEED = 900, 300, 20_260_301
GOOD_EVERY = 8
# Measured: see the report line of the test. A bomb that is really there may take its 32 MiB (preprocess.ratio_free_bytes) a few times over.
MAX_GROWTH_MIB = 256


def drawn(num: int) -> list[Fuzz]:
    """Messages of hypothesis, always the same ones."""
    found: list[Fuzz] = []

    @seed(SEED)
    @settings(max_examples=num, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)
    @given(messages)
    def draw(message: Fuzz) -> None:
        found.append(message)

    draw()
    return found[:num]


class ReaderMemory:
    """The most resident memory that any process that reads and decodes has had."""

    def __init__(self) -> None:
        self.most_mib = 0.0
        self.num_samples = 0
        self.stop = threading.Event()

    def watch(self) -> None:
        while not self.stop.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "KafkaEpoch" in " ".join(process.cmdline()):
                        self.most_mib = max(self.most_mib, process.memory_info().rss / 2**20)
                        self.num_samples += 1
                except psutil.Error:
                    continue


@contextmanager
def reader_memory() -> Iterator[ReaderMemory]:
    memory = ReaderMemory()
    thread = threading.Thread(target=memory.watch)
    thread.start()
    try:
        yield memory
    finally:
        memory.stop.set()
        thread.join()


def new_topics(kafka: RealKafka) -> KafkaSettings:
    return kafka.settings(topic=kafka.new_topic(2), alerts_topic=kafka.new_topic(1), dead_letter_topic=kafka.new_topic(1))


def test_each_hostile_message_has_one_outcome_and_harms_nobody(
    kafka: RealKafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = new_topics(kafka)
    feed(good, frames(300))
    with reader_memory() as usual:
        catch_up(job(good, tmp_path / "good", RuleNetworks().handles()))
    hostile = [message.sendable() for message in (*seeded(SEEDED, SEED), *drawn(DRAWN))]
    assert len(hostile) == SEEDED + DRAWN
    sent: list[Message] = []
    expected: dict[tuple[int, int], str | None] = {}
    neighbours: set[tuple[int, int]] = set()
    ends = [0, 0]

    def send(message: Fuzz, partition: int, *, is_neighbour: bool = False) -> None:
        position = (partition, ends[partition])
        ends[partition] += 1
        headers = [(name, value or b"") for name, value in message.headers]
        sent.append((message.key, message.value, headers, partition))
        outcome = decode_record(message.record(position[1], partition), InputLimits())
        expected[position] = outcome.reason.value if isinstance(outcome, DeadLetter) else None
        if is_neighbour:
            neighbours.add(position)

    for number, message in enumerate(hostile):
        send(message, number % 2)
        if number % GOOD_EVERY == 0:
            send(Fuzz(b"good", marked_frame(2), ()), number // GOOD_EVERY % 2, is_neighbour=True)
    topics = new_topics(kafka)
    feed(topics, sent)
    with reader_memory() as memory:
        summary = catch_up(job(topics, tmp_path / "table", RuleNetworks().handles()))
    found = rows(tmp_path / "table")
    assert_exactly_once(found, topics)
    assert summary.progress.generation == 1, summary.progress.note
    outcomes = {(row["source_partition"], row["source_offset"]): row for row in found}
    assert {position: row["reason"] for position, row in outcomes.items()} == expected
    assert all(len(outcomes[position]["detections"]) == 2 for position in neighbours)
    counts = Counter(reason or "ok" for reason in expected.values())
    with capsys.disabled():
        print(f"\n{len(hostile)} hostile messages: {dict(counts)}")
        print(f"readers at most {memory.most_mib:.0f} MiB, {usual.most_mib:.0f} MiB with good messages")
    assert counts["poison"] == 0, "a decoder let an exception out that nobody foresaw"
    assert len(counts) >= 15, "the generator has become tame"
    assert min(usual.num_samples, memory.num_samples) > 10
    assert memory.most_mib < usual.most_mib + MAX_GROWTH_MIB
