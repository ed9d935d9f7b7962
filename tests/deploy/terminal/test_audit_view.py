"""What `irstream audit` shows of partitions with and without faults."""

from __future__ import annotations

import pytest

from contracts.position import OffsetRange
from deploy.terminal.audit_view import audit_json, print_audit
from pipeline.ops.audit import PartitionAudit
from tests.deploy.terminal.screens import screen

CLEAN = PartitionAudit(
    partition=0,
    log_start=0,
    log_end=1_200,
    watermark=1_100,
    ok=1_090,
    rejected=7,
    gaps=3,
    empty=0,
    lost=(),
    doubled=(),
    beyond=(),
    unproved=(),
)
FAULTY = PartitionAudit(
    partition=1,
    log_start=10,
    log_end=20,
    watermark=None,
    ok=9,
    rejected=0,
    gaps=0,
    empty=1,
    lost=tuple(OffsetRange("frames", 1, start, start + 1) for start in range(10, 22, 2)),
    doubled=(OffsetRange("frames", 1, 11, 14),),
    beyond=(),
    unproved=(OffsetRange("frames", 1, 0, 10),),
)
CLEAN_SHOWN = """\
partition  log       watermark  expected  ok     rejected  gaps  empty  lost  doubled  beyond  unproved
0          0..1,200  1,100      1,100     1,090  7         3     0      0     0        0       0
clean: each of 1,100 positions up to the watermark has exactly one row (run live, table version 3)"""
FAULTS_SHOWN = """\
partition  log       watermark  expected  ok     rejected  gaps  empty  lost  doubled  beyond  unproved
0          0..1,200  1,100      1,100     1,090  7         3     0      0     0        0       0
1          10..20    -          12        9      0         0     1      6     3        0       10
lost (no row for a message that is in the log, or for a position of an archive): \
frames/1/10, frames/1/12, frames/1/14, frames/1/16, frames/1/18 and 1 more
doubled (more than one row for an offset): frames/1/11..13
unproved (no row, and retention has deleted what stood there: a loss, unless it was a transaction marker or compacted): frames/1/0..9
not clean: 1,112 positions expected (run live, table version 3)"""


def test_a_clean_audit_is_one_table_and_one_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    print_audit([CLEAN], "run live, table version 3")
    assert screen(capsys) == CLEAN_SHOWN


def test_faults_are_told_with_their_first_places_and_what_they_mean(capsys: pytest.CaptureFixture[str]) -> None:
    print_audit([CLEAN, FAULTY], "run live, table version 3")
    assert screen(capsys) == FAULTS_SHOWN


def test_programs_get_counts_and_first_places() -> None:
    told = audit_json(FAULTY)
    assert {name: told[name] for name in ("partition", "expected", "lost", "doubled", "beyond", "unproved")} == {
        "partition": 1,
        "expected": 12,
        "lost": 6,
        "doubled": 3,
        "beyond": 0,
        "unproved": 10,
    }
    assert told["first_lost"] == [f"frames/1 [{start}, {start + 1})" for start in (10, 12, 14, 16, 18)]
    assert (told["first_doubled"], told["first_beyond"]) == (["frames/1 [11, 14)"], [])
