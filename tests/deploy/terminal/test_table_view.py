"""What `irstream table maintain` shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.terminal.table_view import print_care
from pipeline.table.maintain import Care, TableSize
from pipeline.table.merge import Merged
from tests.deploy.terminal.screens import screen

CARE = Care(
    before=TableSize(
        version=1_041,
        files=1_250,
        bytes=2_500_000,
        small_files=1_200,
        stored_files=3_000,
        stored_bytes=5_250_000,
        log_files=99,
        log_bytes=70_000,
    ),
    after=TableSize(
        version=1_043, files=52, bytes=2_400_000, small_files=2, stored_files=1_300, stored_bytes=4_900_000, log_files=12, log_bytes=30_000
    ),
    dry_run=False,
    merged=Merged(files_before=1_198, files_after=2, bytes_before=2_000_000, bytes_after=1_900_000, num_given_up=1),
    deleted_files=1_700,
    deleted_bytes=350_000,
    not_vacuumed="the log does not reach back [far] enough",
    seconds=12.34,
)
DONE_SHOWN = """\
                           before  after
data files a reader opens  1,250   52
  of these small           1,200   2
data files stored          3,000   1,300
log files                  99      12
data stored, MB            5.2     4.9
log, MB                    0.1     0.0
1,198 small files merged into 2
1 merges given up: other commits came first; the next run takes their files
1,700 files (0.3 MB) deleted
no file could be checked for deletion: the log does not reach back [far] enough
version 1,041 -> 1,043, 12.3 s"""
DRY_RUN_SHOWN = """\
                           before  after
data files a reader opens  1,250
  of these small           1,200
data files stored          3,000
log files                  99
data stored, MB            5.2
log, MB                    0.1
1,198 small files would be merged into 2
1,700 files (0.3 MB) would be deleted
version 1,041 -> 1,041, 12.3 s"""


def test_what_was_done_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    print_care(CARE)
    assert screen(capsys) == DONE_SHOWN


def test_a_dry_run_has_no_after_and_speaks_of_what_would_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_care(replace(CARE, dry_run=True, after=CARE.before, merged=replace(CARE.merged, num_given_up=0), not_vacuumed=None))
    assert screen(capsys) == DRY_RUN_SHOWN
