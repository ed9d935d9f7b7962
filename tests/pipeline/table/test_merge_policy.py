"""A file is small while two of its kind fit into one."""

from __future__ import annotations

import pytest

from pipeline.table.settings import MergePolicy


@pytest.mark.parametrize(
    ("size_bytes", "num_rows", "is_small"),
    [(50, 20, True), (51, 20, False), (50, 21, False), (1, 1, True), (1, 500, False), (5000, 1, False)],
)
def test_two_small_files_fit_into_one(size_bytes: int, num_rows: int, is_small: bool) -> None:
    assert MergePolicy(target_bytes=100, max_rows=40).is_small(size_bytes, num_rows) is is_small
