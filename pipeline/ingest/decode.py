"""A record becomes a frame or a dead letter: parse, decode, validate, measure. Never an exception for what a producer sent."""

from __future__ import annotations

import logging
import math
import time
from datetime import UTC, datetime

import pyarrow as pa

from contracts.block import FrameBlock, pack_block
from contracts.codecs import decode_pixels, nodata_of
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Frame, Pixels, RawRecord
from contracts.limits import InputLimits
from contracts.message import kafka_moment, parse_record, read_what_is_readable
from contracts.quality import Quality
from contracts.result import DeadLetter
from models.normalisation import Filled, fill
from models.quality import quality_of
from pipeline.ingest.frozen import LastPictures
from pipeline.ingest.raw_block import unpack_raw

_LOG = logging.getLogger(__name__)
_LAST_PICTURES = LastPictures()


def decode_block(table: pa.Table, limits: InputLimits) -> pa.Table:
    """Decode, validate and measure every record of a raw block; what cannot be used becomes a dead letter in it."""
    raw = unpack_raw(table)
    outcomes = [decode_record(record, limits, _LAST_PICTURES) for record in raw.records]
    return pack_block(
        FrameBlock(
            span=raw.span,
            frames=tuple(item for item in outcomes if isinstance(item, Frame)),
            rejections=tuple(item for item in outcomes if isinstance(item, DeadLetter)),
            gap_stop=raw.gap_stop,
            sequence=raw.sequence,
            read_at=raw.read_at,
            read_ms=raw.read_ms,
            credit_bytes=sum(len(record.value or b"") for record in raw.records),
        )
    )


def decode_record(record: RawRecord, limits: InputLimits, last_pictures: LastPictures | None = None) -> Frame | DeadLetter:
    """Decode one message.

    Args:
        record: the message as the broker gave it.
        limits: what is refused unread, and for which faults of a frame.
        last_pictures: of the sensors so far; None: nothing is compared.

    Returns:
        The frame, or a dead letter with the reason and whatever metadata could be read.
    """
    started = time.perf_counter()
    try:
        if record.unusable is not None:
            raise RejectRecord(RejectReason.CORRUPT_IMAGE, expected="a frame", got=record.unusable)
        meta = parse_record(record, limits)
        assert record.value is not None  # parse_record refuses tombstones
        pixels_HW, bit_depth = decode_pixels(record.value, meta, limits)
        filled = _fill(pixels_HW, bit_depth, nodata_of(record.value, meta))
        ingested_at = kafka_moment(record.timestamp_ms)
        quality = quality_of(pixels_HW, bit_depth, filled)
        again = last_pictures is not None and last_pictures.is_again(record.position, meta, ingested_at, filled.pixels_HW)
        if again and Quality.FLAT not in quality:
            quality += (Quality.FROZEN,)
        limits.check_quality(quality)
    except RejectRecord as reject:
        return _dead_letter(record, reject, limits)
    except MemoryError:
        raise  # says something about this machine, nothing about the message
    except Exception as error:  # noqa: BLE001  # a message no decoder foresaw would otherwise stop the stream at every restart
        _LOG.exception("unforeseen failure while decoding %s", record.position)
        poison = RejectRecord(RejectReason.POISON, expected="a message that can be decoded", got=f"{type(error).__name__}: {error}"[:500])
        return _dead_letter(record, poison, limits)
    return Frame(
        position=record.position,
        meta=meta,
        pixels_HW=filled.pixels_HW,
        bit_depth=bit_depth,
        normalisation=filled.normalisation,
        ingested_at=ingested_at,
        decode_ms=(time.perf_counter() - started) * 1e3,
        void_HW=filled.void_HW,
        quality=quality,
    )


def _fill(pixels_HW: Pixels, bit_depth: int, nodata: tuple[float, ...]) -> Filled:
    filled = fill(pixels_HW, bit_depth, nodata)
    normalisation = filled.normalisation
    if not (math.isfinite(normalisation.mean) and math.isfinite(normalisation.scale)):
        got = f"mean {normalisation.mean}, standard deviation {normalisation.scale}"
        raise RejectRecord(RejectReason.NOT_FINITE, expected="pixels with a finite mean and spread", got=got)
    return filled


def _dead_letter(record: RawRecord, reject: RejectRecord, limits: InputLimits) -> DeadLetter:
    readable = read_what_is_readable(record, limits)
    return DeadLetter(
        position=record.position,
        reason=reject.reason,
        detail=reject.detail,
        ingested_at=kafka_moment(record.timestamp_ms),
        finished_at=datetime.now(UTC),
        sensor_id=readable.sensor_id,
        frame_id=readable.frame_id,
        frame_number=readable.frame_number,
        captured_at=readable.captured_at,
        platform=readable.platform,
        band=readable.band,
        headers=readable.headers,
    )
