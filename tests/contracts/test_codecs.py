"""Every codec gives back every count; what libraries let pass silently is noticed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.codecs import check_counts, decode_pixels, encode_pixels, nodata_of, probe
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType, FrameMeta, RawLayout
from contracts.limits import InputLimits
from contracts.probes import sniff
from tests.contracts.strategies import DTYPES, pixels
from tests.image_builders import counts, cv2_image, npy, tiff

LIMITS = InputLimits()
LOSSLESS = [
    (content_type, dtype)
    for content_type in ContentType
    for dtype in DTYPES
    if content_type is not ContentType.JPEG and not (content_type is ContentType.PNG and dtype == "float32")
]


def meta_of(
    content_type: ContentType, pixels_HW: NDArray[Any] | None = None, bit_depth: int | None = None, nodata: tuple[float, ...] = ()
) -> FrameMeta:
    layout = None
    if content_type is ContentType.RAW and pixels_HW is not None:
        layout = RawLayout(width_px=pixels_HW.shape[1], height_px=pixels_HW.shape[0], dtype=pixels_HW.dtype.name)
    return FrameMeta(
        sensor_id="cam-1",
        frame_id="1",
        captured_at=datetime(2026, 3, 1, tzinfo=UTC),
        content_type=content_type,
        raw_layout=layout,
        bit_depth=bit_depth,
        nodata=nodata,
    )


def reason_of(value: bytes, meta: FrameMeta) -> RejectReason | None:
    try:
        decode_pixels(value, meta, LIMITS)
    except RejectRecord as reject:
        return reject.reason
    return None


@pytest.mark.parametrize(("content_type", "dtype"), LOSSLESS, ids=str)
@given(data=st.data())
def test_lossless_round_trip(content_type: ContentType, dtype: str, data: st.DataObject) -> None:
    sent = data.draw(pixels(dtype))
    got, bit_depth = decode_pixels(encode_pixels(sent, content_type), meta_of(content_type, sent), LIMITS)
    assert got.dtype == sent.dtype
    np.testing.assert_array_equal(got, sent)
    assert bit_depth == {"uint8": 8, "uint16": 16, "float32": 32}[dtype]


@pytest.mark.parametrize("bit_depth", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("content_type", [ContentType.PNG, ContentType.TIFF, ContentType.NPY, ContentType.RAW], ids=str)
@given(data=st.data())
def test_every_bit_is_kept(content_type: ContentType, bit_depth: int, data: st.DataObject) -> None:
    sent = data.draw(pixels("uint16", bit_depth))
    meta = meta_of(content_type, sent, bit_depth)
    got, said = decode_pixels(encode_pixels(sent, content_type), meta, LIMITS)
    np.testing.assert_array_equal(got, sent)
    assert said == bit_depth


@pytest.mark.parametrize("bit_depth", range(8, 16))
@pytest.mark.parametrize("content_type", [ContentType.PNG, ContentType.TIFF, ContentType.NPY, ContentType.RAW], ids=str)
def test_one_count_above_the_bit_depth_is_a_contradiction(content_type: ContentType, bit_depth: int) -> None:
    sent = np.zeros((16, 16), np.uint16)
    sent[3, 4] = 2**bit_depth - 1
    assert reason_of(encode_pixels(sent, content_type), meta_of(content_type, sent, bit_depth)) is None
    sent[3, 4] += 1
    assert reason_of(encode_pixels(sent, content_type), meta_of(content_type, sent, bit_depth)) is RejectReason.BIT_DEPTH_CONTRADICTION


def test_every_16_bit_count_survives_every_lossless_codec() -> None:
    sent: NDArray[np.uint16] = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    for content_type in (ContentType.PNG, ContentType.TIFF, ContentType.NPY, ContentType.RAW):
        got, _ = decode_pixels(encode_pixels(sent, content_type), meta_of(content_type, sent), LIMITS)
        np.testing.assert_array_equal(got, sent, err_msg=content_type)


def test_jpeg_stays_within_its_loss() -> None:
    smooth: NDArray[np.uint8] = cv2.GaussianBlur(counts(side_px=64), (0, 0), 3).astype(np.uint8)
    got, bit_depth = decode_pixels(encode_pixels(smooth, ContentType.JPEG), meta_of(ContentType.JPEG), LIMITS)
    assert bit_depth == 8
    assert np.abs(got.astype(int) - smooth).max() <= 4
    assert np.abs(got.astype(int) - smooth).mean() < 1


def test_colour_jpeg_gives_its_luma() -> None:
    colour_HWC = np.zeros((32, 32, 3), np.uint8)
    colour_HWC[..., 2] = 200  # red, BT.601: 0.299
    got, _ = decode_pixels(cv2_image(".jpg", colour_HWC), meta_of(ContentType.JPEG), LIMITS)
    assert np.abs(got.astype(int) - 60).max() <= 2


def test_other_writers_are_read_alike() -> None:
    """OpenCV and tifffile write, we read; tifffile and OpenCV read what we write."""
    sent = counts("uint16", side_px=40, most=65_536)
    for value, content_type in ((cv2_image(".png", sent), ContentType.PNG), (cv2_image(".tiff", sent), ContentType.TIFF)):
        np.testing.assert_array_equal(decode_pixels(value, meta_of(content_type), LIMITS)[0], sent)
    png = np.frombuffer(encode_pixels(sent, ContentType.PNG), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), sent)


def test_tiffs_are_read_as_tifffile_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "frame.tiff"
    for dtype in DTYPES:
        sent: NDArray[Any] = counts(dtype, side_px=70)
        path.write_bytes(encode_pixels(sent, ContentType.TIFF))
        np.testing.assert_array_equal(tifffile.imread(path), sent)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}, {"bigtiff": True, "byteorder": ">"}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiff_layouts(compression: str | None, options: dict[str, Any], dtype: str) -> None:
    sent = counts(dtype, side_px=45)
    got, _ = decode_pixels(tiff(sent, compression=compression, **options), meta_of(ContentType.TIFF), LIMITS)
    np.testing.assert_array_equal(got, sent)
    assert got.dtype == sent.dtype


@pytest.mark.parametrize("content_type", ContentType, ids=str)
def test_no_cut_goes_unnoticed(content_type: ContentType) -> None:
    """Every single length short of the whole is refused; a JPEG is whole without its end marker."""
    sent = counts(side_px=32)
    value = encode_pixels(sent, content_type)
    whole = len(value) - 2 * (content_type is ContentType.JPEG)
    meta = meta_of(content_type, sent)
    lengths = [*range(0, whole, 5), whole - 1]
    assert [length for length in lengths if reason_of(value[:length], meta) is None] == []


def test_a_hole_in_a_jpeg_is_noticed() -> None:
    """Left alone, libjpeg fills it with grey and only warns."""
    value = cv2_image(".jpg", counts(side_px=128))
    start = value.index(b"\xff\xda") + 20
    for cut in range(start, len(value) - 200, (len(value) - start) // 20):
        assert reason_of(value[:cut] + value[-2:], meta_of(ContentType.JPEG)) is RejectReason.CORRUPT_IMAGE, cut


@given(at=st.integers(8), bit=st.integers(0, 7))
def test_no_flipped_bit_in_a_png_goes_unnoticed(at: int, bit: int) -> None:
    value = bytearray(PNG_TO_FLIP)
    value[8 + at % (len(value) - 8)] ^= 1 << bit
    assert reason_of(bytes(value), meta_of(ContentType.PNG)) is not None


PNG_TO_FLIP = encode_pixels(counts(), ContentType.PNG)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [(0, 0), (23, 31), (11, 7)])
def test_one_value_that_is_not_finite_is_found(value: float, at: tuple[int, int]) -> None:
    frame = counts("float32")
    frame[at] = value
    assert reason_of(npy(frame), meta_of(ContentType.NPY)) is RejectReason.NOT_FINITE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_taken_where_the_message_names_it(value: float) -> None:
    frame = counts("float32")
    frame[3:5] = value
    for named in (np.nan, np.inf, -np.inf, 0.0):
        reason = reason_of(npy(frame), meta_of(ContentType.NPY, nodata=(-9999.0, named)))
        assert reason is (None if repr(named) == repr(value) else RejectReason.NOT_FINITE)
    with pytest.raises(RejectRecord, match=r"name them in the header ir_nodata.*64 of 768"):
        decode_pixels(npy(frame), meta_of(ContentType.NPY), LIMITS)


def test_nodata_may_need_more_bits_than_the_counts() -> None:
    frame = np.full((16, 16), 16383, np.uint16)
    frame[0] = 65535
    assert reason_of(npy(frame), meta_of(ContentType.NPY, bit_depth=14)) is RejectReason.BIT_DEPTH_CONTRADICTION
    assert reason_of(npy(frame), meta_of(ContentType.NPY, bit_depth=14, nodata=(65535.0,))) is None
    frame[1, 1] = 16384
    assert reason_of(npy(frame), meta_of(ContentType.NPY, bit_depth=14, nodata=(65535.0,))) is RejectReason.BIT_DEPTH_CONTRADICTION


@pytest.mark.parametrize(
    ("text", "values"), [("-9999", (-9999.0,)), ("nan", "nan"), ("-3.4028234663852886e+38 ", (-3.4028234663852886e38,)), ("1.#QNAN", ())]
)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_tiff_names_its_nodata_as_gdal_writes_it(text: str, values: Any, bigtiff: bool) -> None:
    frame = counts("float32")
    value = tiff(frame, extratags=[(42113, "s", 0, text, True)], bigtiff=bigtiff)
    found = nodata_of(value, meta_of(ContentType.TIFF))
    assert str(found) == str((np.nan,)) if values == "nan" else found == values
    assert nodata_of(value, meta_of(ContentType.TIFF, nodata=(7.0,))) == (7.0,)
    np.testing.assert_array_equal(decode_pixels(value, meta_of(ContentType.TIFF), LIMITS)[0], frame)
    frame[0, 0] = np.nan
    spoilt = tiff(frame, extratags=[(42113, "s", 0, text, True)], bigtiff=bigtiff)
    assert reason_of(spoilt, meta_of(ContentType.TIFF)) is (None if values == "nan" else RejectReason.NOT_FINITE)


def test_infinities_that_cancel_and_sums_that_overflow() -> None:
    frame = np.full((16, 16), 3e38, np.float32)
    assert check_counts(frame, None) == 32
    frame[0, :2] = np.inf, -np.inf
    with pytest.raises(RejectRecord, match=r"not_finite.*2 of 256"):
        check_counts(frame, None)


def test_decoding_copies_nothing_it_need_not() -> None:
    sent = counts()
    for content_type in (ContentType.NPY, ContentType.RAW):
        value = encode_pixels(sent, content_type)
        got, _ = decode_pixels(value, meta_of(content_type, sent), LIMITS)
        assert np.shares_memory(got, np.frombuffer(value, np.uint8))


@pytest.mark.parametrize(
    ("dtype", "content_type"),
    [("float32", ContentType.PNG), ("uint16", ContentType.JPEG), ("int16", ContentType.NPY), ("float64", ContentType.TIFF)],
)
def test_what_a_codec_cannot_hold_is_not_encoded(dtype: str, content_type: ContentType) -> None:
    with pytest.raises(ValueError, match="expected"):
        encode_pixels(counts().astype(dtype), content_type)


def test_strided_and_big_endian_frames_are_encoded_as_they_look() -> None:
    sent = counts("uint16", side_px=48)[::2, ::-2]
    for content_type in (ContentType.PNG, ContentType.TIFF, ContentType.NPY, ContentType.RAW):
        for view in (sent, sent.astype(">u2")):
            got, _ = decode_pixels(encode_pixels(view, content_type), meta_of(content_type, sent), LIMITS)
            np.testing.assert_array_equal(got, sent)


@pytest.mark.parametrize("content_type", ContentType, ids=str)
def test_probe_tells_what_decoding_gives(content_type: ContentType) -> None:
    sent = counts(side_px=50)
    value = encode_pixels(sent, content_type)
    header = probe(value, meta_of(content_type, sent))
    assert (header.width_px, header.height_px, header.dtype, header.decoded_bytes) == (58, 50, "uint8", 58 * 50)
    assert sniff(value) == (None if content_type is ContentType.RAW else content_type)


def test_real_frames_of_every_set_decode(shared_data: Path) -> None:
    """OpenCV is the second opinion; HIT-UAV brings real JPEGs, the others PNGs of other writers."""
    for folder, content_type in (("hit-uav", ContentType.JPEG), ("drone-ir", ContentType.PNG), ("irstd-1k", ContentType.PNG)):
        paths = sorted((shared_data / folder / "images").iterdir())[::40]
        assert paths, folder
        for path in paths:
            value = path.read_bytes()
            got, _ = decode_pixels(value, meta_of(content_type), LIMITS)
            np.testing.assert_array_equal(got, cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_GRAYSCALE))
