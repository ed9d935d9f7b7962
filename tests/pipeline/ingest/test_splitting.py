"""Blocks stay small once they are decoded, and no offset is lost where they are cut."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from contracts.codecs import encode_pixels
from contracts.frame import ContentType, RawRecord
from contracts.limits import InputLimits
from contracts.position import KafkaPosition, OffsetRange
from pipeline.ingest.raw_block import RawBlock
from pipeline.ingest.splitting import promised, split_block

LIMITS = InputLimits()
FLAT = encode_pixels(np.full((2000, 2000), 300, np.uint16), ContentType.PNG)  # 8 MB of pixels in a few kilobytes
SMALL = encode_pixels(np.zeros((16, 16), np.uint8), ContentType.PNG)


def block(values: list[bytes | None], offsets: list[int], span: tuple[int, int]) -> RawBlock:
    records = [RawRecord(KafkaPosition("frames", 0, at), b"cam", value, (), 0) for at, value in zip(offsets, values, strict=True)]
    return RawBlock(OffsetRange("frames", 0, *span), records, None, 7, datetime.now(UTC), 0.1)


def test_what_a_header_promises_counts_and_what_is_rejected_does_not() -> None:
    def of(value: bytes | None, limits: InputLimits = LIMITS) -> tuple[int, int]:
        return promised(RawRecord(KafkaPosition("frames", 0, 0), b"cam", value, (), 0), limits)

    assert of(FLAT) == (2 * 2000 * 2000, 2000 * 2000)
    assert of(SMALL) == (256, 256)
    assert of(b"no image") == (8, 0)
    assert of(None) == (0, 0)
    assert of(FLAT, InputLimits(max_side_px=100)) == (len(FLAT), 0)


def test_small_frames_stay_together() -> None:
    one = block([SMALL] * 5, [0, 1, 2, 3, 4], (0, 5))
    assert list(split_block(one, 1 << 20, LIMITS)) == [one]


@pytest.mark.parametrize(("max_bytes", "sizes"), [(1 << 20, [1, 1, 1, 1]), (17_000_000, [2, 2]), (25_000_000, [3, 1])])
def test_large_frames_are_parted_and_every_offset_is_spanned_once(max_bytes: int, sizes: list[int]) -> None:
    # Offsets 11, 14 and 15 are transaction markers; the span ends behind the last record.
    parts = list(split_block(block([FLAT] * 4, [10, 12, 13, 16], (10, 18)), max_bytes, LIMITS))
    assert [len(part.records) for part in parts] == sizes
    assert parts[0].span.start == 10
    assert parts[-1].span.stop == 18
    for before, after in pairwise(parts):
        assert before.span.stop == after.span.start == after.records[0].position.offset
    for part in parts:
        assert all(part.span.start <= each.position.offset < part.span.stop for each in part.records)


@pytest.mark.parametrize(("max_pixels", "sizes"), [(1, [1, 1, 1, 1]), (8_000_000, [2, 2]), (15_999_999, [3, 1]), (16_000_000, [4])])
def test_frames_that_cost_a_network_much_are_parted_by_their_pixels(max_pixels: int, sizes: list[int]) -> None:
    parts = list(split_block(block([FLAT] * 4, [0, 1, 2, 3], (0, 4)), 1 << 40, LIMITS, max_pixels))
    assert [len(part.records) for part in parts] == sizes


def test_a_block_without_records_stays_as_it_is() -> None:
    one = block([], [], (3, 9))
    assert list(split_block(one, 1, LIMITS)) == [one]
