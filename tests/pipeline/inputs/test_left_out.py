"""Nothing in an image file is left out without a sentence: further images of a TIFF, bands, data beside the picture of a JPEG."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from contracts.codecs import encode_pixels
from contracts.frame import ContentType, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message, parse_record
from contracts.position import KafkaPosition
from pipeline.inputs.feeds import FrameSource, FrameToSend
from pipeline.inputs.find import Labels, find_inputs
from pipeline.inputs.pictures import Picture, Unusable

_RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)


def published(folder: Path, labels: Labels | None = None) -> tuple[int, list[str], tuple[str, ...]]:
    """Frames that are sent, what is said of others, what is said to be left out."""
    found = find_inputs([folder], labels or Labels())
    entries = [entry for sequence in found.sequences for entry in sequence.pictures()]
    why = [entry.why for entry in entries if isinstance(entry, Unusable)]
    return sum(isinstance(entry, Picture) for entry in entries), why, found.left_out


def directory(side: int, kind: int, data: int, following: int, below: int = 0) -> bytes:
    """A TIFF directory of a grey image whose pixels stand at `data`."""
    fields = [
        (254, 4, kind),
        (256, 3, side),
        (257, 3, side),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, data),
        (278, 3, side),
        (279, 4, side * side),
    ]
    fields += [(330, 4, below)] if below else []
    return (
        struct.pack("<H", len(fields))
        + b"".join(struct.pack("<HHII", tag, code, 1, value) for tag, code, value in fields)
        + struct.pack("<I", following)
    )


@pytest.mark.parametrize("where", ["behind a copy", "below a copy", "a copy alone", "a copy that is no smaller"])
def test_no_image_behind_or_below_a_smaller_copy_is_lost(tmp_path: Path, where: str) -> None:
    """A page, a copy of half its side below it, and another image behind that copy or below it."""
    pixels = bytes(range(256)) * 4
    page, copy, other = 8 + len(pixels), 1500, 2000
    value = bytearray(b"II*\0" + struct.pack("<I", page) + pixels).ljust(2500, b"\0")
    for at, part in (
        (page, directory(32, 0, 8, 0, below=copy)),
        (
            copy,
            directory(
                32 if where == "a copy that is no smaller" else 16,
                1,
                8,
                other if where == "behind a copy" else 0,
                other if where == "below a copy" else 0,
            ),
        ),
        (other, directory(32, 0, 8, 0)),
    ):
        value[at : at + len(part)] = part
    (tmp_path / "a.tif").write_bytes(value)
    sent, why, _ = published(tmp_path)
    assert sent == (where == "a copy alone")
    assert ["an image of its own; save it as a page" in text for text in why] == ([] if sent else [True])


def test_pages_that_call_themselves_smaller_and_are_not_are_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number in range(3):
            writer.write(_RAMP + number, subfiletype=min(number, 1), photometric="minisblack", metadata=None)
        writer.write(_RAMP[::2, ::2], subfiletype=1, photometric="minisblack", metadata=None)
    assert published(tmp_path)[:2] == (3, [])


@pytest.mark.parametrize(("kind", "sent"), [("unassalpha", 1), ("unspecified", 0)])
def test_a_further_channel_is_opacity_only_where_it_says_so(tmp_path: Path, kind: Any, sent: int) -> None:
    both_HWC = np.stack([_RAMP, np.full_like(_RAMP, 65535)], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", both_HWC, photometric="minisblack", planarconfig="contig", extrasamples=[kind], metadata=None)
    assert published(tmp_path)[0] == sent
    assert ["another band?" in text for text in published(tmp_path)[1]] == [True] * (1 - sent)


def test_another_jpeg_behind_the_end_is_said_to_be_left_out(tmp_path: Path) -> None:
    picture = encode_pixels((_RAMP >> 3).astype(np.uint8), ContentType.JPEG)
    (tmp_path / "a.jpg").write_bytes(picture + picture)
    sent, why, left_out = published(tmp_path)
    assert (sent, why, ["1 JPEG with data behind the end" in text for text in left_out]) == (1, [], [True])


@pytest.mark.parametrize("place", ["APP3", "behind the end"])
def test_data_beside_the_picture_of_a_jpeg_are_said_to_be_left_out(tmp_path: Path, place: str) -> None:
    picture = encode_pixels((_RAMP >> 3).astype(np.uint8), ContentType.JPEG)
    raster = _RAMP.tobytes() * 5
    segment = b"\xff\xe3" + struct.pack(">H", len(raster) + 2) + raster
    (tmp_path / "a.jpg").write_bytes(picture[:2] + segment + picture[2:] if place == "APP3" else picture + raster)
    (tmp_path / "b.jpg").write_bytes(picture)
    sent, why, left_out = published(tmp_path)
    assert (sent, why) == (2, [])
    assert [f"1 JPEG with data {'in ' if place == 'APP3' else ''}{place} (12,800 bytes in a.jpg)" in text for text in left_out] == [True]
    assert published(tmp_path, Labels(as_picture=True))[2] == ()


def test_links_in_circles_and_to_nothing_are_named_and_names_with_control_characters_are_sent(tmp_path: Path) -> None:
    folder = tmp_path / "bad\x1b[2J\u202e\n"
    folder.mkdir()
    (folder / "a\x07\udcff.png").write_bytes(encode_pixels(_RAMP, ContentType.PNG))
    (folder / "round").symlink_to(tmp_path)
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    os.utime(folder / "a\x07\udcff.png", (0, 4e9))
    sent, why, left_out = published(tmp_path)
    assert (sent, why) == (1, [])
    assert "2 files without the name of an image or video (2 broken link)" in left_out[0]
    (frame,) = FrameSource(find_inputs([folder], Labels()).sequences).frames()
    assert isinstance(frame, FrameToSend)
    meta = frame.meta(frame_id="f", number=0, captured_at=datetime.now(UTC))
    key, value, headers = encode_message(meta, frame.picture.payload, source="test")
    again = parse_record(RawRecord(KafkaPosition("t", 0, 0), key, value, tuple(headers), 0), InputLimits())
    assert again.sensor_id == "bad\x1b[2J\u202e\n"
    assert again.headers["item"] == "a\x07\\udcff"
