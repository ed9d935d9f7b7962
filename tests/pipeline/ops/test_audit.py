"""The auditor on a real log and a real table: every kind of damage is found, and what is no damage is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from kafka import KafkaProducer

from contracts.arrow import outcomes_to_table
from contracts.errors import SettingsError, StopPipeline
from contracts.position import KafkaPosition, OffsetRange
from contracts.shadow_run import in_share
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import describe_topic
from pipeline.ops.audit import PartitionAudit, audit
from pipeline.ops.explain import Standing, explain
from pipeline.table.beside import BesideRows
from pipeline.table.delta import open_results
from pipeline.table.results_table import ResultsTable
from tests.conftest import RealKafka
from tests.outcomes import gap, letter, result
from tests.pipeline.ops.table_of_a_log import commit, damage, delete_up_to, send

pytestmark = pytest.mark.broker


@pytest.fixture
def settings(kafka: RealKafka) -> KafkaSettings:
    """One partition with ten messages."""
    found = kafka.settings(topic=kafka.new_topic(partitions=1))
    send(found, 10)
    return found


def audited(settings: KafkaSettings, table: Path, run_id: str = "live") -> PartitionAudit:
    (found,) = audit(settings, open_results(str(table), {}), run_id)
    return found


def spelt(ranges: tuple[OffsetRange, ...]) -> list[tuple[int, int]]:
    return [(each.start, each.stop) for each in ranges]


def test_a_clean_table(settings: KafkaSettings, tmp_path: Path) -> None:
    outcomes = [letter(offset, settings.topic) if offset % 4 == 0 else result(offset, settings.topic) for offset in range(8)]
    commit(settings, tmp_path, outcomes, 0, 8)
    found = audited(settings, tmp_path)
    assert found == PartitionAudit(0, 0, 10, 8, ok=6, rejected=2, gaps=0, empty=0, lost=(), doubled=(), beyond=(), unproved=())
    assert (found.expected, found.clean) == (8, True)


def test_nothing_committed_yet_is_clean(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in range(3)], 0, 3)
    found = audited(settings, tmp_path, run_id="another")
    assert (found.watermark, found.expected, found.clean) == (None, 0, True)


def test_lost_rows(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in range(10)], 0, 10)
    DeltaTable(str(tmp_path)).delete("source_offset in (0, 4, 5, 9)")
    found = audited(settings, tmp_path)
    assert spelt(found.lost) == [(0, 1), (4, 6), (9, 10)]
    assert (found.ok, found.expected, found.empty, found.clean) == (6, 10, 0, False)


def test_a_shadow_has_its_share_and_no_other(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [], 0, 4)
    table = ResultsTable(str(tmp_path), "live", compact_after_commits=0)
    table.open_or_create()
    topic_id = describe_topic(settings, settings.topic).topic_id
    positions = [KafkaPosition(settings.topic, 0, offset) for offset in range(4, 10)]
    share = next(share / 100 for share in range(100) if sum(in_share(each, share / 100) for each in positions) == 2)
    first, second = (each.offset for each in positions if in_share(each, share))
    rows = BesideRows("shadow:mine", OffsetRange(settings.topic, 0, 4, 10), (result(first, settings.topic), letter(second, settings.topic)))
    table.append([], [rows.span], {settings.topic: topic_id}, [rows])

    def shadow_audited() -> PartitionAudit:
        (found,) = audit(settings, open_results(str(tmp_path), {}), "shadow:mine", share=share)
        return found

    found = shadow_audited()
    assert (found.ok, found.rejected, found.gaps, found.empty, found.clean) == (1, 1, 4, 0, True)
    stranger = next(each.offset for each in positions if not in_share(each, share))
    damage(tmp_path, outcomes_to_table([result(stranger, settings.topic)], "shadow:mine"))
    DeltaTable(str(tmp_path)).delete(f"source_offset = {second} and run_id = 'shadow:mine'")
    found = shadow_audited()
    assert (spelt(found.lost), len(found.beyond), found.clean) == ([(second, second + 1)], 1, False)
    table_now = open_results(str(tmp_path), {})
    standings = [explain(settings, table_now, "shadow:mine", each, lambda _: (None, False), share).standing for each in positions]
    others = {standings[at] for at, each in enumerate(positions) if each.offset not in (first, second, stranger)}
    assert others == {Standing.NOT_SHARED}
    assert standings[first - 4] is Standing.ROW


def test_a_commit_that_moved_the_offsets_without_its_rows(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [], 0, 10)
    found = audited(settings, tmp_path)
    assert (spelt(found.lost), found.expected) == ([(0, 10)], 10)


def test_doubled_rows(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in range(10)], 0, 10)
    damage(tmp_path, outcomes_to_table([result(3, settings.topic), result(3, settings.topic), letter(7, settings.topic)], "live"))
    damage(tmp_path, outcomes_to_table([result(5, settings.topic)], "another run"))
    damage(tmp_path, outcomes_to_table([result(5, "another-topic")], "live"))
    found = audited(settings, tmp_path)
    assert spelt(found.doubled) == [(3, 4), (3, 4), (7, 8)]
    assert (found.expected, found.lost, found.clean) == (10, (), False)


def test_rows_that_came_without_a_commit_of_offsets(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in range(6)], 0, 6)
    damage(tmp_path, outcomes_to_table([result(offset, settings.topic) for offset in (6, 8)], "live"))
    found = audited(settings, tmp_path)
    assert (spelt(found.beyond), found.expected, found.lost, found.clean) == ([(6, 7), (8, 9)], 6, (), False)


def test_a_gap_row_stands_for_what_retention_deleted(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(0, settings.topic), result(1, settings.topic)], 0, 2)
    delete_up_to(settings, 6)
    commit(settings, tmp_path, [gap(2, 6, settings.topic), *(result(offset, settings.topic) for offset in range(6, 10))], 2, 10)
    found = audited(settings, tmp_path)
    assert (found.gaps, found.ok, found.expected, found.clean) == (4, 6, 10, True)


def test_a_silent_jump_over_what_retention_deleted_is_no_proof(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in (0, 1, 6, 7, 9)], 0, 10)
    delete_up_to(settings, 5)
    found = audited(settings, tmp_path)
    assert (spelt(found.unproved), spelt(found.lost)) == ([(2, 5)], [(5, 6), (8, 9)])
    assert not found.clean


def test_markers_and_aborted_records_are_no_loss(settings: KafkaSettings, tmp_path: Path) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=settings.topic)
    producer.init_transactions()
    for commit_it in (True, False):
        producer.begin_transaction()
        producer.send(settings.topic, key=b"cam", value=b"frame", partition=0)
        producer.flush()
        _ = producer.commit_transaction() if commit_it else producer.abort_transaction()
    producer.close()
    # 0 to 9 plain, 10 committed, 11 its marker, 12 aborted, 13 its marker
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in range(11)], 0, 14)
    found = audited(settings, tmp_path)
    assert (found.watermark, found.ok, found.empty, found.clean) == (14, 11, 3, True)
    DeltaTable(str(tmp_path)).delete("source_offset = 10")
    found = audited(settings, tmp_path)
    assert (spelt(found.lost), found.empty) == ([(10, 11)], 3)


def test_a_recreated_topic_is_not_audited_against_old_rows(settings: KafkaSettings, tmp_path: Path, kafka: RealKafka) -> None:
    commit(settings, tmp_path, [result(0, settings.topic)], 0, 1)
    other = kafka.settings(topic=kafka.new_topic(partitions=1))
    results = ResultsTable(str(tmp_path), "live")
    results.open_or_create()
    results.append([result(0, other.topic)], [OffsetRange(other.topic, 0, 0, 1)], {other.topic: "an-id-of-before"})
    with pytest.raises(StopPipeline, match="deleted and created again"):
        audited(other, tmp_path)


def test_a_table_that_knows_more_than_the_log(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in range(12)], 0, 12)
    with pytest.raises(StopPipeline, match=r"expected a log that reaches offset 12.*got one that ends at 10"):
        audited(settings, tmp_path)


def test_no_table_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected the results table of a stream, got no table there"):
        open_results(str(tmp_path / "nowhere"), {})
    assert not (tmp_path / "nowhere").exists()
