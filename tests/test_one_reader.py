"""One reader: the same file gives the same pixels or the same refusal in stream, publishing, training, measuring and pictures."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.dataset_index import INDEX_NAME, read_entries, read_tracks
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Frame, Platform, RawRecord
from contracts.image_files import read_counts
from contracts.limits import InputLimits
from contracts.position import KafkaPosition
from deploy.demo.truth import Truth
from models.normalisation import measure
from models.transforms import normalise
from pipeline.ingest.decode import decode_record
from pipeline.inputs.datasets import DatasetIndex
from pipeline.inputs.pictures import Picture
from pipeline.inputs.videos import VideoFile
from tests.image_builders import counts, cv2_image, ihdr, npy, png, tiff
from training.data.evaluation_set import evaluation_samples
from training.data.samples import Role, clip_samples, read_samples

Counts = NDArray[Any]
GREY8, GREY16, DEEP14 = counts(), counts("uint16", most=65_000), counts("uint16", most=2**14)
FLOATS = counts("float32") / np.float32(7)
SMOOTH = np.add.outer(np.arange(32), np.arange(40)).astype(np.uint8) * 3
COLOUR_HWC = np.stack([counts(), counts()[::-1], counts()[:, ::-1]], axis=2)


def turned_jpeg(pixels_HW: Counts, orientation: int) -> bytes:
    """A JPEG with an Exif orientation tag, as a camera writes it."""
    plain = cv2_image(".jpg", pixels_HW)
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]


def plain_jpeg(pixels_HW: Counts) -> Counts:
    """What a reader that follows no tag finds in a JPEG."""
    return np.asarray(cv2.imdecode(np.frombuffer(cv2_image(".jpg", pixels_HW), np.uint8), cv2.IMREAD_GRAYSCALE))


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file and what every reader must find in it.

    Attributes:
        value: its bytes.
        found: the pixels; None where everybody refuses it.
        bit_depth: as the index says.
        message: whether the stream takes it as it is.
    """

    value: bytes
    found: Counts | None
    bit_depth: int | None = None
    message: bool = True


_JPEG = cv2_image(".jpg", counts(side_px=96))
_ONE_BIT = np.eye(16, dtype=np.uint8)
_ONE_BIT_PNG = png(ihdr(16, 16, bits=1), b"".join(b"\0" + row.tobytes() for row in np.packbits(_ONE_BIT, 1)))
_LUMA = np.asarray(cv2.cvtColor(COLOUR_HWC, cv2.COLOR_RGB2GRAY))
FILES: Mapping[str, File] = MappingProxyType(
    {
        "8-bit PNG": File(cv2_image(".png", GREY8), GREY8),
        "16-bit PNG": File(cv2_image(".png", GREY16), GREY16),
        "14 of 16 bits": File(cv2_image(".png", DEEP14), DEEP14, bit_depth=14),
        "more counts than the stated bits hold": File(cv2_image(".png", GREY16), None, bit_depth=14),
        "JPEG": File(cv2_image(".jpg", SMOOTH), plain_jpeg(SMOOTH)),
        "JPEG with orientation 3": File(turned_jpeg(SMOOTH, 3), plain_jpeg(SMOOTH)),
        "JPEG with orientation 6": File(turned_jpeg(SMOOTH, 6), plain_jpeg(SMOOTH)),
        "half a JPEG": File(_JPEG[: len(_JPEG) * 2 // 3], None),
        "half a JPEG with its end": File(_JPEG[: len(_JPEG) * 2 // 3] + b"\xff\xd9", None),
        "truncated PNG": File(cv2_image(".png", GREY8)[:-40], None),
        "NPY of uint8": File(npy(GREY8), GREY8),
        "NPY of uint16": File(npy(GREY16), GREY16),
        "NPY of float32": File(npy(FLOATS), FLOATS, bit_depth=32),
        "NPY with NaN": File(npy(np.where(FLOATS > 30, np.float32("nan"), FLOATS)), None),
        "NPY of float64": File(npy(FLOATS.astype(np.float64)), None),
        **{
            f"TIFF {compression} {pixels.dtype}": File(tiff(pixels, compression=compression), pixels)
            for compression in ("lzw", "deflate", "zstd")
            for pixels in (GREY8, GREY16, FLOATS)
        },
        "TIFF of three colours": File(tiff(COLOUR_HWC, photometric="rgb"), _LUMA, message=False),
        "TIFF with transparency": File(tiff(np.dstack([COLOUR_HWC, GREY8]), photometric="rgb", extrasamples=[2]), None),
        "TIFF of two pages": File(tiff(np.stack([GREY8, GREY8])), None),
        "TIFF with white as zero": File(tiff(GREY16, photometric="miniswhite"), 65_535 - GREY16, message=False),
        "colour PNG": File(cv2_image(".png", COLOUR_HWC[..., ::-1]), _LUMA, message=False),
        "grey stored as colour": File(cv2_image(".png", np.dstack([GREY8] * 3)), GREY8),
        "PNG of one bit": File(_ONE_BIT_PNG, _ONE_BIT * 255, message=False),
        "BMP": File(cv2_image(".bmp", GREY8), GREY8, message=False),
        "PGM of 16 bits": File(cv2_image(".pgm", GREY16), GREY16, message=False),
        "half a BMP": File(cv2_image(".bmp", GREY8)[:900], None),
        "half a PGM": File(cv2_image(".pgm", GREY16)[:900], None),
        "text": File(b"this is no image", None),
        "nothing": File(b"", None),
    }
)


def write(folder: Path, file: File) -> Path:
    """A data set of the one image, which everybody may use; its name says nothing about the format."""
    mask_HW = np.zeros((24, 32) if file.found is None else file.found.shape, np.uint8)
    bits = "null" if file.bit_depth is None else file.bit_depth
    (folder / "image.png").write_bytes(file.value)
    (folder / "mask.png").write_bytes(cv2_image(".png", mask_HW))
    (folder / INDEX_NAME).write_text(f'{{"file": "image.png", "mask": "mask.png", "bit_depth": {bits}}}\n')
    return folder


def by_stream(value: bytes, bit_depth: int | None) -> Counts | None:
    """The pixels of a message; None where it becomes a dead letter."""
    headers = (("ir_bit_depth", str(bit_depth).encode()),) if bit_depth else ()
    decoded = decode_record(RawRecord(KafkaPosition("frames", 0, 0), b"cam", value, headers, 0), InputLimits())
    return decoded.pixels_HW if isinstance(decoded, Frame) else None


def _published(folder: Path) -> Counts | None:
    """What the stream makes of the message that publishing sends."""
    (entry,) = DatasetIndex(folder / INDEX_NAME, None, None, None, None).pictures()
    if not isinstance(entry, Picture):
        assert "expected" in entry.why
        return None
    pixels_HW = by_stream(entry.payload, entry.bit_depth)
    assert pixels_HW is not None, "publishing sent what the stream refuses"
    return pixels_HW


def _or_refused(read: Callable[[], Counts]) -> Counts | None:
    try:
        return read()
    except SettingsError as error:
        where = error.where
    assert where.endswith("image.png")
    return None


READERS: Mapping[str, Callable[[Path], Counts | None]] = MappingProxyType(
    {
        "publish": _published,
        "train": lambda folder: _or_refused(lambda: read_samples([str(folder)], Role.TRAIN)[0].pixels_HW),
        "evaluate": lambda folder: _or_refused(lambda: evaluation_samples(str(folder))[0].pixels_HW),
        "pictures": lambda folder: _or_refused(lambda: read_counts(folder / "image.png", read_entries(folder / INDEX_NAME)[0].bit_depth)),
    }
)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FILES)
def test_every_reader_finds_the_same(name: str, reader: str, tmp_path: Path) -> None:
    file = FILES[name]
    found = READERS[reader](write(tmp_path, file))
    if file.found is None:
        assert found is None
    else:
        assert found is not None
        assert found.dtype == file.found.dtype
        np.testing.assert_array_equal(found, file.found)


@pytest.mark.parametrize("name", FILES)
def test_the_stream_finds_it_in_the_message(name: str) -> None:
    """What no message may hold is a dead letter there, and is sent as something else by publishing."""
    file = FILES[name]
    found = by_stream(file.value, file.bit_depth)
    if file.found is None or not file.message:
        assert found is None
    else:
        np.testing.assert_array_equal(found, file.found)


def test_floats_are_normalised_as_in_the_stream(tmp_path: Path) -> None:
    """A float frame may span less than one count."""
    small = (FLOATS * 1e-3).astype(np.float32)
    (sample,) = read_samples([str(write(tmp_path, File(npy(small), small)))], Role.TRAIN)
    assert sample.normalisation == measure(small, 32)
    assert sample.normalised().std() == pytest.approx(1, abs=1e-2)


SCENE = np.rint(8000 + 60 * np.sin(np.arange(120) / 9)[:, None] + 60 * np.cos(np.arange(160) / 7)).astype(np.uint16)


def spoilt(kind: str) -> Counts:
    """A scene of about 240 counts with what is none of it."""
    frame: Counts = SCENE.copy()
    frame[50:52, 60:62] += 900
    frame.reshape(-1)[1700::1900] = 16383  # ten hot pixels
    if kind == "telemetry":
        frame[-2:] = np.arange(320).reshape(2, 160) * 199 % 16384
    if kind == "sentinel":
        frame[:, 5] = 0
    if kind == "named":
        frame = frame.astype(np.float32)
        frame[:9, :70] = np.nan
        frame[60] = 8003.0
    if kind == "border":
        frame = frame.astype(np.float32)
        frame[:4] = -3.4028235e38
    return frame


@pytest.mark.parametrize("kind", ["hot", "telemetry", "sentinel", "border", "named"])
def test_the_stream_and_training_measure_and_fill_alike(tmp_path: Path, kind: str) -> None:
    frame_HW = spoilt(kind)
    value = npy(frame_HW)
    folder = write(tmp_path, File(value, frame_HW, 16 if frame_HW.dtype == np.uint16 else None))
    line = json.loads((folder / INDEX_NAME).read_text()) | ({"nodata": ["nan", 8003]} if kind == "named" else {})
    (folder / INDEX_NAME).write_text(json.dumps(line))
    (sample,) = read_samples([str(folder)], Role.TRAIN)
    headers = (("ir_nodata", b"nan,8003"),) if kind == "named" else ()
    record = RawRecord(KafkaPosition("frames", 0, 0), b"cam", value, headers, 0)
    frame = decode_record(record, InputLimits())
    assert isinstance(frame, Frame), frame
    assert sample.normalisation == frame.normalisation
    np.testing.assert_array_equal(sample.pixels_HW, frame.pixels_HW)
    np.testing.assert_array_equal(sample.void_HW, frame.void_HW)
    np.testing.assert_array_equal(sample.normalised(), normalise(frame.pixels_HW, frame.normalisation))
    assert frame.normalisation.scale == pytest.approx(SCENE.std(dtype=np.float64), rel=0.05)
    hot_HW = frame_HW == 16383
    np.testing.assert_allclose(sample.normalised()[hot_HW], normalise(SCENE, frame.normalisation)[hot_HW], atol=0.3)
    assert frame.void_HW is not None
    assert (kind == "hot") is not (frame.void_HW & ~hot_HW).any()
    assert np.abs(sample.normalised()[frame.void_HW & ~hot_HW]).max(initial=0) < 0.01
    assert sample.normalised()[50:52, 60:62].min() > 5


def test_names_with_odd_line_ends_are_names_for_all(tmp_path: Path) -> None:
    names = ["a\u2028b.png", "c\u0085d.png", "e\u2029f.png", "g\x0bh.png", "plain.png"]
    for name in names:
        (tmp_path / name).write_bytes(cv2_image(".png", GREY8))
    (tmp_path / "mask.png").write_bytes(cv2_image(".png", np.full_like(GREY8, 255)))
    lines = [json.dumps({"id": name, "file": name, "mask": "mask.png", "boxes": [[1, 2, 3, 4]]}, ensure_ascii=False) for name in names]
    (tmp_path / INDEX_NAME).write_text("\n".join(lines), encoding="utf-8")
    entries = list(DatasetIndex(tmp_path / INDEX_NAME, None, None, None, None).pictures())
    assert [entry.headers["item"] for entry in entries if isinstance(entry, Picture)] == names
    assert [sample.image_id for sample in read_samples([str(tmp_path)], Role.TRAIN)] == names
    assert [sample.image_id for sample in evaluation_samples(str(tmp_path))] == names
    truth = Truth(tmp_path)
    assert [truth.of_item(name) for name in names] == [((1.0, 2.0, 4.0, 6.0),)] * len(names)


def test_frames_of_clips_are_the_same_for_publishing_and_training(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "IR_DRONE_001.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (48, 32))
    for number in range(35):
        writer.write(np.random.default_rng(number).integers(0, 255, (32, 48, 3), np.uint8))
    writer.release()
    track = {"video": "videos/IR_DRONE_001.avi", "class": "Drone", "boxes_xywh_px": [[1, 2, 3, 4]] * 30 + [None] * 5}
    (tmp_path / "tracks.jsonl").write_text(json.dumps(track))
    video = VideoFile(path, Platform.LAND, Band.LWIR, ContentType.PNG)
    sent = [by_stream(entry.payload, 8) for entry in video.pictures() if isinstance(entry, Picture)]
    learnt = clip_samples(tmp_path, read_tracks(tmp_path / "tracks.jsonl")[0])
    assert [sample.image_id for sample in learnt] == ["IR_DRONE_001_f0000", "IR_DRONE_001_f0015"]
    assert {sample.labels for sample in learnt} == {("drone",)}
    for sample, frame in zip(learnt, (0, 15), strict=True):
        np.testing.assert_array_equal(sample.pixels_HW, sent[frame])
