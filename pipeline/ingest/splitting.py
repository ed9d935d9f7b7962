"""Cuts what a poll brought into blocks that stay small once they are decoded.

A few kilobytes of PNG may hold a hundred megabytes of flat sky: sixteen such frames in one block would be more than the object
store has room for, on every try again. And a network answers for a whole block: of sixteen large frames a slow machine would be silent
for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from contracts.codecs import probe
from contracts.errors import RejectRecord
from contracts.frame import RawRecord
from contracts.limits import InputLimits
from contracts.message import parse_record
from pipeline.ingest.raw_block import RawBlock


def promised(record: RawRecord, limits: InputLimits) -> tuple[int, int]:
    """Bytes and pixels: the larger of a message and the pixels its header promises, and their number.

    Just the message and no pixel where it will be rejected.
    """
    size = len(record.value or b"")
    try:
        meta = parse_record(record, limits)
        header = probe(record.value or b"", meta)
        limits.check_size(header.width_px, header.height_px, header.decoded_bytes, size)
    except RejectRecord:
        return size, 0
    return max(size, header.decoded_bytes), header.width_px * header.height_px


def split_block(block: RawBlock, max_bytes: int, limits: InputLimits, max_pixels: int = 2**62) -> Iterator[RawBlock]:
    """The records of a block in order, in blocks of at most `max_bytes` and `max_pixels`, or of one frame that is larger.

    Together they span what the block spans; only its first part keeps a gap.
    """
    begin, size, num_px = 0, 0, 0
    for index, record in enumerate(block.records):
        more, more_px = promised(record, limits)
        if index > begin and (size + more > max_bytes or num_px + more_px > max_pixels):
            yield _part(block, begin, index)
            begin, size, num_px = index, 0, 0
        size += more
        num_px += more_px
    yield _part(block, begin, len(block.records))


def _part(block: RawBlock, begin: int, end: int) -> RawBlock:
    """Records `[begin, end)`, with the offsets from where the part before ended."""
    if begin == 0 and end == len(block.records):
        return block
    start = block.span.start if begin == 0 else block.records[begin].position.offset
    stop = block.span.stop if end == len(block.records) else block.records[end].position.offset
    span = replace(block.span, start=start, stop=stop)
    return replace(block, span=span, records=block.records[begin:end], gap_stop=block.gap_stop if begin == 0 else None)
