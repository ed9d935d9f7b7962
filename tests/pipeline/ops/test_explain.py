"""One position explained, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from contracts.arrow import outcomes_to_table
from contracts.errors import SettingsError
from contracts.position import KafkaPosition
from contracts.result import FrameResult, Gap
from pipeline.kafka.settings import KafkaSettings
from pipeline.ops.explain import Explanation, Standing, explain
from pipeline.table.delta import open_results
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


def explained(settings: KafkaSettings, table: Path, offset: int) -> Explanation:
    return explain(settings, open_results(str(table), {}), "live", KafkaPosition(settings.topic, 0, offset))


def test_a_row_with_its_message_its_file_and_its_commit(settings: KafkaSettings, tmp_path: Path) -> None:
    for start in range(0, 8, 2):
        commit(settings, tmp_path, [result(start, settings.topic), letter(start + 1, settings.topic)], start, start + 2)
    for offset in range(8):
        found = explained(settings, tmp_path, offset)
        assert found.standing is Standing.ROW
        assert found.watermark == 8
        assert found.outcome is not None
        assert found.outcome.position.offset == offset
        assert found.message is not None
        assert (found.message.key, found.message.value) == (b"cam", b"frame")
        assert found.commit is not None
        assert (found.commit.version, found.commit.next_offset) == (1 + offset // 2, 2 + 2 * (offset // 2))
        assert found.file is not None
        assert found.file.num_rows == 1
        (added,) = set(DeltaTable(str(tmp_path), version=found.commit.version).file_uris()) - set(
            DeltaTable(str(tmp_path), version=found.commit.version - 1).file_uris()
        )
        assert added.endswith(found.file.path)
    assert found.outcome == letter(7, settings.topic)


def test_what_the_table_has_not_come_to(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(0, settings.topic)], 0, 1)
    waiting, beyond_the_log = explained(settings, tmp_path, 5), explained(settings, tmp_path, 50)
    assert (waiting.standing, waiting.outcome, waiting.commit, waiting.message is None) == (Standing.WAITING, None, None, False)
    assert (beyond_the_log.standing, beyond_the_log.message) == (Standing.WAITING, None)


def test_a_lost_row_and_an_unproved_one(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(offset, settings.topic) for offset in (0, 1, 4)], 0, 10)
    assert explained(settings, tmp_path, 7).standing is Standing.LOST
    delete_up_to(settings, 4)
    found = explained(settings, tmp_path, 3)
    assert (found.standing, found.message) == (Standing.UNPROVED, None)
    row = explained(settings, tmp_path, 1)
    assert (row.standing, row.message, isinstance(row.outcome, FrameResult)) == (Standing.ROW, None, True)


def test_every_offset_of_a_gap_is_explained_by_its_row(settings: KafkaSettings, tmp_path: Path) -> None:
    delete_up_to(settings, 6)
    commit(settings, tmp_path, [gap(2, 6, settings.topic)], 2, 6)
    assert [isinstance(explained(settings, tmp_path, offset).outcome, Gap) for offset in range(1, 7)] == [False, *[True] * 4, False]


def test_two_rows_for_one_position_are_told(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(0, settings.topic)], 0, 1)
    damage(tmp_path, outcomes_to_table([result(0, settings.topic)], "live"))
    found = explained(settings, tmp_path, 0)
    assert found.file is not None
    assert found.file.num_rows == 2


def test_a_topic_that_is_not_there(settings: KafkaSettings, tmp_path: Path) -> None:
    commit(settings, tmp_path, [result(0, settings.topic)], 0, 1)
    with pytest.raises(SettingsError, match="topic named no-such-topic"):
        explain(settings, open_results(str(tmp_path), {}), "live", KafkaPosition("no-such-topic", 0, 0))
