"""The table in an object store that wants credentials: whatever touches it hands over `sink.storage_options`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.errors import SettingsError
from contracts.position import OffsetRange
from pipeline.table.delta import open_results
from pipeline.table.maintain import maintain
from pipeline.table.results_table import ResultsTable
from pipeline.table.settings import MergePolicy, SinkSettings
from tests.outcomes import result
from tests.pipeline.table.object_store import BUCKET, KEY_ID, SECRET, ObjectStore, object_store

URI = f"s3://{BUCKET}/results"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectStore]:
    """Credentials come from the options or from nowhere: neither this machine's environment nor its files have any."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with object_store(tmp_path) as made:
        # Where options are dropped the client finds the store all the same, and is refused at once.
        for name in ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION"):
            monkeypatch.setenv(name, made.options[name])
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "else")
        yield made


def appended(store: ObjectStore, num: int, compact_after_commits: int = 0) -> ResultsTable:
    """A table after some commits of a row each."""
    table = ResultsTable(URI, "live", store.options, compact_after_commits=compact_after_commits, merge_policy=MergePolicy(1 << 20, 1000))
    table.open_or_create()
    for offset in range(num):
        table.append([result(offset)], [OffsetRange("frames", 0, offset, offset + 1)], {})
    table.compactor.wait()
    return table


def sink(store: ObjectStore) -> SinkSettings:
    options = {name: SecretStr(value) for name, value in store.options.items()}
    return SinkSettings(table=URI, storage_options=options, file_retention_s=60)


def data_files(store: ObjectStore) -> list[Path]:
    return [path for path in store.objects if path.suffix == ".parquet" and "_delta_log" not in path.parts]


def test_rows_offsets_and_another_start_come_through_the_store(store: ObjectStore) -> None:
    assert appended(store, 3).next_offsets("frames", [0]) == {0: 3}
    again = ResultsTable(URI, "live", store.options)
    again.open_or_create()
    assert again.next_offsets("frames", [0]) == {0: 3}
    assert open_results(URI, store.options).version() == again.version
    assert store.refused == []


def test_a_merge_in_the_background_hands_the_credentials_over(store: ObjectStore) -> None:
    table = appended(store, 4, compact_after_commits=4)
    assert table.next_offsets("frames", [0]) == {0: 4}
    assert len(data_files(store)) == 5, "four of a row each, and the one that replaces them"
    assert store.refused == []


def test_maintenance_hands_the_credentials_over(store: ObjectStore) -> None:
    appended(store, 3)
    old_s = time.time() - 86_400
    for path in store.objects:
        os.utime(path, (old_s, old_s))
    care = maintain(sink(store))
    assert (care.merged.files_before, care.merged.files_after, care.not_vacuumed) == (3, 1, None)
    assert store.refused == []


@pytest.mark.parametrize("options", [{}, {"AWS_ACCESS_KEY_ID": "somebody"}], ids=["none", "of somebody else"])
def test_without_the_credentials_nothing_is_created_and_no_secret_is_told(store: ObjectStore, options: dict[str, str]) -> None:
    given = store.options | options if options else {}
    with pytest.raises(SettingsError, match=r"check credentials and sink\.storage_options") as told:
        ResultsTable(URI, "live", given).open_or_create()
    assert store.objects == []
    assert store.refused
    assert SECRET not in str(told.value)
    assert KEY_ID not in str(told.value)
