"""Radiometric JPEG: the raster bit by bit, the constants, every damage refused; and 26 files of 15 cameras."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.codecs import decode_pixels, encode_pixels
from contracts.errors import RejectRecord
from contracts.flir import is_radiometric, read_radiometry
from contracts.frame import ContentType
from contracts.limits import InputLimits
from pipeline.inputs.find import Labels, find_sequences
from pipeline.inputs.pictures import Picture, Unusable
from tests.contracts.test_codecs import meta_of
from tests.image_builders import counts

LIMITS = InputLimits()
SCENE = (np.add.outer(np.arange(64), 3 * np.arange(96)) + 11_000).astype(np.uint16)
PLANCK = {"emissivity": 0.95, "planck_r1": 15_615.5, "planck_b": 1410.5, "planck_f": 1.25, "planck_r2": 0.0625, "planck_o": -6000.0}


def camera_info(order: str = "<") -> bytes:
    info = bytearray(0x400)
    struct.pack_into(order + "H", info, 0, 2)
    for place, name in ((0x20, "emissivity"), (0x58, "planck_r1"), (0x5C, "planck_b"), (0x60, "planck_f"), (0x30C, "planck_r2")):
        struct.pack_into(order + "f", info, place, PLANCK[name])
    struct.pack_into(order + "i", info, 0x308, int(PLANCK["planck_o"]))
    struct.pack_into(order + "f", info, 0x24, float("nan"))
    return bytes(info)


def fff(raster: bytes, *, order: str = ">", record: str = "<", size: tuple[int, int] = (96, 64)) -> bytes:
    body = struct.pack(record + "HHH", 2, *size).ljust(32, b"\0") + raster
    info = camera_info(record)
    directory = b"".join(
        struct.pack(order + "HHIIII", kind, 0, 0, 0, place, num).ljust(32, b"\0")
        for kind, place, num in ((0x20, 256, len(info)), (0x01, 256 + len(info), len(body)), (0, 0, 0))
    )
    head = (b"FFF\0" + b"CAM".ljust(16, b"\0") + struct.pack(order + "III", 101, 64, 3)).ljust(64, b"\0")
    return (head + directory).ljust(256, b"\0") + info + body


def rjpeg(file: bytes, part_bytes: int = 4000, *, lose: int | None = None, turned: bool = False) -> bytes:
    parts = [file[at : at + part_bytes] for at in range(0, len(file), part_bytes)]
    numbered = [
        struct.pack(">HH", 0xFFE1, len(part) + 10) + b"FLIR\0\1" + bytes((number, len(parts) - 1)) + part
        for number, part in enumerate(parts)
    ]
    if lose is not None:
        del numbered[lose]
    plain = cv2.imencode(".jpg", counts(side_px=64))[1].tobytes()
    return plain[:2] + b"".join(reversed(numbered) if turned else numbered) + plain[2:]


def png_of(pixels_HW: NDArray[Any]) -> bytes:
    return encode_pixels(pixels_HW, ContentType.PNG)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("record", "<>")
@pytest.mark.parametrize("raster", ["raw", "raw, swapped", "png", "png, swapped"])
def test_the_counts_come_out_whatever_the_order_of_their_bytes(order: str, record: str, raster: str) -> None:
    stored = SCENE.byteswap() if "swapped" in raster else SCENE
    data = png_of(stored) if raster.startswith("png") else stored.astype(record + "u2").tobytes()
    value = rjpeg(fff(data, order=order, record=record), turned=True)
    assert is_radiometric(value)
    radiometry = read_radiometry(value, LIMITS)
    np.testing.assert_array_equal(radiometry.pixels_HW, SCENE)
    assert radiometry.constants == pytest.approx(PLANCK)  # without the distance, which is no number


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(rjpeg(fff(SCENE.tobytes()), lose=1), id="a part is missing"),
        pytest.param(rjpeg(fff(SCENE.tobytes()), lose=-1), id="the last part is missing"),
        pytest.param(rjpeg(fff(SCENE.tobytes()[:-2])), id="a short raster"),
        pytest.param(rjpeg(fff(png_of(SCENE)[:-40])), id="a cut PNG"),
        pytest.param(rjpeg(fff(png_of(SCENE), size=(64, 96))), id="another size"),
        pytest.param(rjpeg(fff(SCENE.tobytes(), size=(60_000, 60_000))), id="a huge size"),
        pytest.param(rjpeg(fff(SCENE.tobytes())[:70]), id="no records"),
        pytest.param(rjpeg(b"GGG\0" + bytes(500)), id="no FFF file"),
    ],
)
def test_no_raster_is_taken_in_part(value: bytes, tmp_path: Path) -> None:
    with pytest.raises(RejectRecord):
        read_radiometry(value, LIMITS)
    (tmp_path / "a.jpg").write_bytes(value)
    (entry,) = find_sequences([tmp_path], Labels())[0].pictures()
    assert isinstance(entry, Unusable)
    assert "16-bit raster" in entry.why
    (picture,) = find_sequences([tmp_path], Labels(as_picture=True))[0].pictures()
    assert isinstance(picture, Picture)
    assert picture.payload == value


def test_publishing_sends_the_counts_with_their_constants_or_the_picture(tmp_path: Path) -> None:
    value = rjpeg(fff(png_of(SCENE.byteswap())))
    (tmp_path / "a.jpg").write_bytes(value)
    (tmp_path / "b.jpg").write_bytes(cv2.imencode(".jpg", counts(side_px=64))[1].tobytes())
    measured, plain = find_sequences([tmp_path], Labels())[0].pictures()
    assert isinstance(measured, Picture)
    assert isinstance(plain, Picture)
    np.testing.assert_array_equal(decode_pixels(measured.payload, meta_of(ContentType.PNG), LIMITS)[0], SCENE)
    assert {name: float(measured.headers[name]) for name in PLANCK} == pytest.approx(PLANCK)
    assert plain.content_type is ContentType.JPEG
    picture, _ = find_sequences([tmp_path], Labels(as_picture=True))[0].pictures()
    assert isinstance(picture, Picture)
    assert picture.payload == value


def test_real_files_give_what_another_reader_finds(shared_data: Path) -> None:
    folder = shared_data / "wikimedia-flir-radiometric"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    assert len(rows) == 26
    for row in rows:
        radiometry = read_radiometry((folder / "jpg" / f"{Path(row['file']).stem}.jpg").read_bytes(), LIMITS)
        np.testing.assert_array_equal(radiometry.pixels_HW, cv2.imread(str(folder / row["file"]), cv2.IMREAD_UNCHANGED))
        expected = {f"planck_{name.lower()}": value for name, value in row["planck"].items()} | {"emissivity": row["emissivity"]}
        assert {name: radiometry.constants[name] for name in expected} == pytest.approx(expected)
