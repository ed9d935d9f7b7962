"""Since when a row is visible: the time of its own commit, not of the newest."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from contracts.position import KafkaPosition, OffsetRange
from pipeline.kafka.settings import KafkaSettings
from pipeline.ops.explain import explain
from pipeline.table.delta import open_results
from pipeline.table.results_table import ResultsTable
from tests.outcomes import result


def test_each_version_has_the_time_of_its_own_commit(tmp_path: Path) -> None:
    results = ResultsTable(str(tmp_path), "live", compact_after_commits=0)
    results.open_or_create()
    for offset in range(4):
        results.append([result(offset)], [OffsetRange("frames", 0, offset, offset + 1)], {"frames": "id"})
    for offset in range(4):
        found = explain(
            KafkaSettings(), open_results(str(tmp_path), {}), "live", KafkaPosition("frames", 0, offset), lambda _: (None, True)
        ).commit
        assert found is not None
        log = (tmp_path / "_delta_log" / f"{found.version:020}.json").read_text().splitlines()
        (stamp_ms,) = (entry["commitInfo"]["timestamp"] for line in log if "commitInfo" in (entry := json.loads(line)))
        assert (found.version, found.committed_at) == (1 + offset, datetime.fromtimestamp(stamp_ms / 1000, UTC))
