"""`decode_record`: every bad message its reason, every surprising one its pixels, and no bomb its memory."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.codecs import decode_pixels, encode_pixels
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Band, ContentType, Frame, FrameMeta, Platform, RawLayout, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message
from contracts.position import KafkaPosition
from contracts.result import DeadLetter
from models.inference import prepare
from models.normalisation import measure
from models.regions import regions_of
from models.segmentation.base import SegmentationModel
from models.transforms import normalise
from models.zoo import load_model
from pipeline.ingest.decode import decode_record
from tests.bad_inputs import BAD, GOOD, GOOD_PNG, GREY, Message
from tests.image_builders import ihdr, png, rows
from training.tasks.measuring import run_frame

LIMITS = InputLimits()
POSITION = KafkaPosition("frames", 3, 1234)
KAFKA_TIME = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


def record_of(message: Message, timestamp_ms: int = 1_772_366_400_250) -> RawRecord:
    return RawRecord(POSITION, message.key, message.value, message.headers, timestamp_ms)


def record(value: bytes | None = GOOD_PNG, key: bytes | None = b"cam-1", timestamp_ms: int = 0, **headers: bytes) -> RawRecord:
    return RawRecord(POSITION, key, value, tuple(headers.items()), timestamp_ms)


@pytest.mark.parametrize("message", BAD, ids=lambda message: message.name)
def test_bad_message_is_rejected_with_its_reason(message: Message) -> None:
    letter = decode_record(record_of(message), LIMITS)
    assert isinstance(letter, DeadLetter)
    assert letter.reason is message.reason, letter.detail
    assert letter.position == POSITION
    assert letter.ingested_at == KAFKA_TIME
    assert letter.detail.startswith("expected ")
    assert "; got " in letter.detail
    assert len(letter.detail) < 1000


@pytest.mark.parametrize("message", GOOD, ids=lambda message: message.name)
def test_surprising_message_is_accepted_with_every_count(message: Message) -> None:
    frame = decode_record(record_of(message), LIMITS)
    assert isinstance(frame, Frame), frame
    assert message.pixels_HW is not None
    assert frame.pixels_HW.dtype == message.pixels_HW.dtype.newbyteorder("=")
    np.testing.assert_array_equal(frame.pixels_HW, message.pixels_HW)
    assert frame.pixels_HW.dtype.isnative
    assert frame.pixels_HW.flags.c_contiguous
    assert frame.normalisation == measure(frame.pixels_HW, frame.bit_depth)
    assert frame.decode_ms > 0


@pytest.mark.parametrize("bit_depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("content_type", [ContentType.PNG, ContentType.TIFF, ContentType.NPY, ContentType.RAW], ids=str)
def test_every_count_of_a_sensor_reaches_the_tensor(content_type: ContentType, bit_depth: int) -> None:
    """From the message to the networks' input: all 2^bits counts, each distinct, in order, and to be had back exactly."""
    side_px = 2 ** (bit_depth // 2)
    sent: Any = (
        np.random.default_rng(1).permutation(2**bit_depth).reshape(side_px, side_px).astype(np.uint8 if bit_depth == 8 else np.uint16)
    )
    layout = RawLayout(width_px=side_px, height_px=side_px, dtype=sent.dtype.name)
    meta = FrameMeta(
        sensor_id="cam-1", frame_id="1", captured_at=KAFKA_TIME, content_type=content_type, bit_depth=bit_depth, raw_layout=layout
    )
    key, value, headers = encode_message(meta, encode_pixels(sent, content_type))
    frame = decode_record(RawRecord(POSITION, key, value, tuple(headers), 0), LIMITS)
    assert isinstance(frame, Frame), frame
    assert frame.bit_depth == bit_depth
    pixels_HW = normalise(frame.pixels_HW, frame.normalisation)
    assert pixels_HW.dtype == np.float32
    in_order = pixels_HW.reshape(-1)[np.argsort(sent, axis=None)]
    assert (np.diff(in_order) > 0).all()
    back = np.rint(pixels_HW.astype(np.float64) * frame.normalisation.scale + frame.normalisation.mean)
    np.testing.assert_array_equal(back, sent)


def test_names_are_unique_and_the_list_is_long() -> None:
    names = [message.name for message in BAD + GOOD]
    assert len(set(names)) == len(names)
    assert len(BAD) >= 50
    assert {message.reason for message in BAD} == set(RejectReason) - {RejectReason.POISON, RejectReason.QUALITY}


_UNDER_A_MEMORY_LIMIT = """
import resource
from contracts.limits import InputLimits
from pipeline.ingest.decode import decode_record
from tests.bad_inputs import BAD, GOOD
from tests.pipeline.ingest.test_decode import record_of

for message in GOOD:  # load every library first
    decode_record(record_of(message), InputLimits())
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 48 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    bytearray(64 * 2**20)
except MemoryError:
    print("limit holds")
print(sum(decode_record(record_of(message), InputLimits()).reason is message.reason for message in BAD))
"""


@pytest.mark.slow
def test_no_bomb_allocates() -> None:
    """All bad messages, among them 100-megapixel bombs, within 48 MB beyond what the libraries take."""
    done = subprocess.run([sys.executable, "-c", _UNDER_A_MEMORY_LIMIT], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split("\n")[:2] == ["limit holds", str(len(BAD))], done.stderr[-2000:]


def test_rejection_keeps_what_could_be_read() -> None:
    letter = decode_record(
        record(
            b"no image",
            ce_id=b"f-17",
            ir_frame=b"17",
            ir_band=b"MWIR",
            ir_platform=b"submarine",
            ce_time=b"2026-01-02T03:04:05Z",
            lens=b"50 mm",
        ),
        LIMITS,
    )
    assert isinstance(letter, DeadLetter)
    assert (letter.sensor_id, letter.frame_id, letter.frame_number) == ("cam-1", "f-17", 17)
    assert (letter.band, letter.platform) == (Band.MWIR, Platform.UNKNOWN)
    assert letter.captured_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert letter.headers == {"lens": "50 mm", "ir_platform": "submarine"}


def test_missing_fields_of_a_rejection_are_filled_in_and_contradictions_are_not() -> None:
    letter = decode_record(record(b"no image", timestamp_ms=1_772_366_400_250), LIMITS)
    assert isinstance(letter, DeadLetter)
    assert (letter.frame_id, letter.captured_at) == ("frames/3/1234", KAFKA_TIME)
    odd = decode_record(record(b"no image", ce_time=b"yesterday", ce_id=b"\xff", timestamp_ms=1_772_366_400_250), LIMITS)
    assert isinstance(odd, DeadLetter)
    assert (odd.frame_id, odd.captured_at, odd.headers) == (None, KAFKA_TIME, {"ce_time": "yesterday"})


def test_missing_fields_are_filled_in() -> None:
    frame = decode_record(record(timestamp_ms=1_772_366_400_250), LIMITS)
    assert isinstance(frame, Frame)
    assert frame.meta.frame_id == "frames/3/1234"
    assert frame.meta.captured_at == frame.ingested_at == KAFKA_TIME
    assert (frame.meta.platform, frame.meta.band, frame.meta.frame_number) == (Platform.UNKNOWN, Band.UNKNOWN, None)


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1], ids=["none", "least", "most"])
def test_absurd_kafka_timestamps_stay_representable(timestamp_ms: int) -> None:
    for value in (GOOD_PNG, None):
        outcome = decode_record(record(value, timestamp_ms=timestamp_ms), LIMITS)
        assert datetime(1970, 1, 1, tzinfo=UTC) <= outcome.ingested_at < datetime(2200, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        pytest.param(InputLimits(max_bytes=100), RejectReason.TOO_LARGE, id="bytes"),
        pytest.param(InputLimits(max_pixels=24 * 32 - 1), RejectReason.TOO_LARGE, id="pixels"),
        pytest.param(InputLimits(max_side_px=31), RejectReason.TOO_LARGE, id="longer side"),
        pytest.param(InputLimits(min_side_px=25), RejectReason.TOO_SMALL, id="shorter side"),
        pytest.param(InputLimits(max_headers=1), RejectReason.TOO_LARGE, id="number of headers"),
        pytest.param(InputLimits(max_header_bytes=10), RejectReason.TOO_LARGE, id="bytes of headers"),
    ],
)
def test_limits_are_settings(limits: InputLimits, reason: RejectReason) -> None:
    outcome = decode_record(record(ir_frame=b"1", ir_band=b"lwir"), limits)
    assert isinstance(outcome, DeadLetter)
    assert outcome.reason is reason
    exact = InputLimits(max_bytes=len(GOOD_PNG), max_pixels=24 * 32, max_side_px=32, min_side_px=24, max_headers=2, max_header_bytes=20)
    assert isinstance(decode_record(record(ir_frame=b"1", ir_band=b"lwir"), exact), Frame)


def test_grey_stored_as_colour_takes_no_more_memory_than_floats() -> None:
    colour = png(ihdr(32, 24, 16, 6), rows(np.full((24, 32, 4), 65_535, np.uint16)))
    assert isinstance(decode_record(record(colour), InputLimits(max_pixels=24 * 32 * 2)), Frame)
    refused = decode_record(record(colour), InputLimits(max_pixels=24 * 32 * 2 - 1))
    assert isinstance(refused, DeadLetter)
    assert refused.reason is RejectReason.TOO_LARGE


def test_decompression_ratio_counts_only_above_the_free_size() -> None:
    black = cv2.imencode(".png", np.zeros((256, 256), np.uint8))[1].tobytes()
    tight = InputLimits(max_decompression_ratio=10, ratio_free_bytes=256 * 256 - 1)
    refused = decode_record(record(black), tight)
    assert isinstance(refused, DeadLetter)
    assert refused.reason is RejectReason.TOO_LARGE
    assert isinstance(decode_record(record(black), tight.model_copy(update={"ratio_free_bytes": 256 * 256})), Frame)


def kelvin_scene() -> NDArray[np.float32]:
    """Soft clouds in kelvin and a target of a few pixels."""
    rng = np.random.default_rng(5)
    clouds = cv2.GaussianBlur(rng.standard_normal((96, 128)), (0, 0), 9)
    scene_HW = 280 + 3 * clouds / clouds.std() + rng.normal(scale=0.1, size=clouds.shape)
    rows, columns = np.mgrid[:96, :128]
    return np.asarray(scene_HW + 12 * np.exp(-((rows - 40.3) ** 2 + (columns - 70.6) ** 2) / 2.4), np.float32)


@cache
def segmenter() -> tuple[SegmentationModel, Any]:
    """The segmenter which ships, as it is and as it computes."""
    network, _ = load_model("kestrel_adaptive")
    assert isinstance(network, SegmentationModel)
    return network, prepare(network, "cpu")


def found_in(pixels_HW: NDArray[Any], nodata: bytes = b"") -> list[tuple[list[float], float]]:
    """Boxes and contrasts that the segmenter which ships finds in the frame of a message."""
    frame = decode_record(record(encode_pixels(pixels_HW, ContentType.NPY), ir_nodata=nodata), LIMITS)
    assert isinstance(frame, Frame), frame
    network, prepared = segmenter()
    raw = run_frame(prepared, normalise(frame.pixels_HW, frame.normalisation))
    map_HW = network.probabilities(raw)[0, :96, :128].cpu().numpy()
    settings = network.settings
    regions = regions_of(map_HW, settings.threshold, settings.min_area_px, pixels_HW=frame.pixels_HW, void_HW=frame.void_HW)
    return list(zip(regions.boxes_xyxy_px.tolist(), regions.scrs.tolist(), strict=True))


@cache
def found_in_the_clean_scene() -> list[tuple[list[float], float]]:
    return found_in(kelvin_scene())


@pytest.mark.parametrize("where", ["border", "near", "wedge"])
@pytest.mark.parametrize("value", [-3.4028235e38, -9999.0, 0.0, np.nan, np.inf])
@pytest.mark.parametrize("named", [False, True])
def test_what_is_no_measurement_hides_no_target(where: str, value: float, named: bool) -> None:
    """A border as GDAL writes it, found and filled by itself or named; only NaN and infinity have to be."""
    clean = kelvin_scene()
    rows, columns = np.mgrid[:96, :128]
    void_HW = {"border": rows < 4, "near": columns > 75, "wedge": rows + 2 * columns < 60}[where]
    spoilt = np.where(void_HW, np.float32(value), clean).astype(np.float32)
    ((box, scr),) = found_in_the_clean_scene()
    if not named and not np.isfinite(value):
        refused = decode_record(record(encode_pixels(spoilt, ContentType.NPY)), LIMITS)
        assert isinstance(refused, DeadLetter)
        assert "ir_nodata" in refused.detail
        return
    ((found_box, found_scr),) = found_in(spoilt, str(value).encode() if named else b"")
    np.testing.assert_allclose(found_box, box, atol=1)
    assert found_scr == pytest.approx(scr, rel=0.5)


def test_a_frame_of_which_nothing_counts_is_flat() -> None:
    """What lies beyond the edge of a mosaic is no fault of the message."""
    assert found_in(np.full((96, 128), np.nan, np.float32), b"nan") == []
    assert found_in(np.full((96, 128), -9999, np.float32), b"-9999") == []
    assert found_in(np.full((96, 128), 65535, np.uint16), b"65535") == []


class Hostile(bytes):
    """A value that fails in a way no decoder foresees."""

    error: type[Exception] = ZeroDivisionError

    def startswith(self, *args: object) -> bool:
        raise self.error("deep inside a codec")


class Exhausting(Hostile):
    error = MemoryError


def test_a_failure_nobody_foresaw_is_a_dead_letter() -> None:
    """Else the message would stop the stream again after every restart."""
    letter = decode_record(record(Hostile(GOOD_PNG)), LIMITS)
    assert isinstance(letter, DeadLetter)
    assert letter.reason is RejectReason.POISON
    assert "ZeroDivisionError: deep inside a codec" in letter.detail


def test_running_out_of_memory_is_not_blamed_on_the_message() -> None:
    with pytest.raises(MemoryError):
        decode_record(record(Exhausting(GOOD_PNG)), LIMITS)


_SEEDS = [message.value for message in BAD + GOOD if message.value and len(message.value) < 10_000]


@given(seed=st.sampled_from(_SEEDS), edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4), st.integers(0, 4)), max_size=4))
def test_damaged_images_never_raise(seed: bytes, edits: list[tuple[float, bytes, int]]) -> None:
    """Overwrite, insert and delete bytes anywhere in images of every codec."""
    value = bytearray(seed)
    for where, put, drop in edits:
        at = int(where * len(value))
        value[at : at + drop] = put
    outcome = decode_record(record(bytes(value)), LIMITS)
    if isinstance(outcome, DeadLetter):
        assert outcome.reason is not RejectReason.POISON, outcome.detail
    else:
        assert outcome.pixels_HW.ndim == 2
        assert np.isfinite(outcome.normalisation.scale)


_NAMES = st.sampled_from(
    ["ce_id", "ce_time", "content-type", "ir_frame", "ir_bit_depth", "ir_width", "ir_dtype", "ir_band", "X-Other", "Ir_Platform"]
)
_VALUES = st.one_of(st.binary(max_size=12), st.sampled_from([b"8", b"16", b"image/png", b"lwir", b"uint8", b"32", b"2026-01-01T00:00:00Z"]))


@given(
    key=st.none() | st.binary(max_size=8),
    value=st.none() | st.binary(max_size=64),
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=8),
)
def test_any_message_has_an_outcome(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    for body in (value, GOOD_PNG):
        outcome = decode_record(RawRecord(POSITION, key, body, tuple(headers), 0), LIMITS)
        assert outcome.position == POSITION
        if isinstance(outcome, DeadLetter):
            assert outcome.reason is not RejectReason.POISON, outcome.detail
            assert outcome.finished_at - datetime.now(UTC) < timedelta(seconds=60)
        else:
            np.testing.assert_array_equal(outcome.pixels_HW, GREY)


def test_the_same_error_reaches_direct_callers() -> None:
    """Archives and training read pixels without a broker, through the same function."""
    frame = decode_record(record(), LIMITS)
    assert isinstance(frame, Frame)
    with pytest.raises(RejectRecord, match="corrupt_image"):
        decode_pixels(GOOD_PNG[:-1], frame.meta, LIMITS)
