"""Rejected frames once more after a fix: each gets one row under the new run, and no other frame does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from kafka import TopicPartition as ClientTopicPartition

from contracts.errors import RejectReason
from pipeline.kafka.client import connect_admin
from pipeline.kafka.settings import KafkaSettings
from pipeline.ops.audit import audit
from pipeline.ops.replay import rejected_offsets
from tests.conftest import RealKafka
from tests.integration.feeds import Message, catch_up, feed, frames, job, marked_frame, rows
from tests.pipeline.inference.rule_networks import RuleNetworks

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]
POISON, MENDED = 255, 3


class Mended(RuleNetworks):
    """Knows what to do with the frame that was poison before."""

    async def _marks(self, block: Any) -> list[int]:
        return [MENDED if mark == POISON else mark for mark in await super()._marks(block)]


@pytest.fixture
def settings(kafka: RealKafka) -> KafkaSettings:
    return kafka.settings(topic=kafka.new_topic(2), alerts_topic=kafka.new_topic(1), dead_letter_topic=kafka.new_topic(1))


def feed_with_rejects(settings: KafkaSettings) -> None:
    poison: Message = (b"cam", marked_frame(POISON), [], 0)
    feed(settings, [*frames(20), poison, poison, *frames(30), (b"cam", b"not an image", [], 1), *frames(10), poison])


def replay(settings: KafkaSettings, table: Path, run_id: str, selected_offsets: Mapping[int, tuple[int, ...]]) -> list[dict[str, Any]]:
    catch_up(replace(job(settings, table, Mended().handles(), run_id=run_id), selected_offsets=selected_offsets))
    found = [row for row in rows(table) if row["run_id"] == run_id]
    return sorted(found, key=lambda row: (row["source_partition"], row["source_offset"]))


def test_each_rejected_frame_gets_one_new_row_and_no_other_frame_does(settings: KafkaSettings, tmp_path: Path) -> None:
    table = tmp_path / "table"
    feed_with_rejects(settings)
    catch_up(job(settings, table, RuleNetworks().handles()))
    results = DeltaTable(str(table))
    selected_offsets = rejected_offsets(results, "live", settings.topic)
    assert selected_offsets == {0: (10, 11, 32), 1: (25,)}
    assert rejected_offsets(results, "live", settings.topic, [RejectReason.POISON]) == {0: (10, 11, 32)}

    found = replay(settings, table, "mended", selected_offsets)
    assert [(row["source_partition"], row["source_offset"], row["status"]) for row in found] == [
        (0, 10, "ok"),
        (0, 11, "ok"),
        (0, 32, "ok"),
        (1, 25, "rejected"),
    ]
    assert [len(row["detections"]) for row in found] == [MENDED, MENDED, MENDED, 0]
    assert replay(settings, table, "mended", selected_offsets) == found, "a second time changes nothing"
    assert all(each.clean for each in audit(settings, DeltaTable(str(table)), "mended", selected_offsets))
    assert not all(each.clean for each in audit(settings, DeltaTable(str(table)), "mended")), "of the whole topic it has little"
    assert len([row for row in rows(table) if row["run_id"] == "live"]) == 64


def test_what_retention_has_deleted_since_is_a_gap_row_and_a_lost_row_is_found(settings: KafkaSettings, tmp_path: Path) -> None:
    table = tmp_path / "table"
    feed_with_rejects(settings)
    catch_up(job(settings, table, RuleNetworks().handles()))
    selected_offsets = rejected_offsets(DeltaTable(str(table)), "live", settings.topic)
    admin = connect_admin(settings)
    admin.delete_records({ClientTopicPartition(settings.topic, 0): 11})
    admin.close()
    found = replay(settings, table, "late", selected_offsets)
    assert [(row["source_partition"], row["source_offset"], row["source_offset_end"], row["status"]) for row in found] == [
        (0, 10, 11, "gap"),
        (0, 11, None, "ok"),
        (0, 32, None, "ok"),
        (1, 25, None, "rejected"),
    ]
    results = DeltaTable(str(table))
    assert all(each.clean for each in audit(settings, results, "late", selected_offsets))
    results.delete("run_id = 'late' and source_offset = 32")
    (lost,) = [span for each in audit(settings, results, "late", selected_offsets) for span in each.lost]
    assert (lost.partition, lost.start, lost.stop) == (0, 32, 33)
