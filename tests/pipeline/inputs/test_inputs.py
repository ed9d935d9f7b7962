"""What can be published: images of every depth, videos, clips, dataset indexes; and what happens to the rest."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from contracts.codecs import decode_pixels, encode_pixels
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, FrameMeta, Pixels, Platform
from contracts.limits import InputLimits
from contracts.message import kafka_moment
from contracts.video_files import count_frames
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.find import Labels, find_inputs, find_sequences
from pipeline.inputs.images import natural_key
from pipeline.inputs.pictures import Picture, PictureSequence, Unusable
from pipeline.inputs.videos import VideoFile
from tests.image_builders import tiff

RAMP = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)


def all_of(sequence: PictureSequence) -> tuple[list[Picture], list[Unusable]]:
    entries = list(sequence.pictures())
    return [entry for entry in entries if isinstance(entry, Picture)], [entry for entry in entries if isinstance(entry, Unusable)]


def decoded(picture: Picture) -> tuple[Pixels, int]:
    meta = FrameMeta(
        sensor_id="s",
        frame_id="f",
        captured_at=kafka_moment(0),
        content_type=picture.content_type,
        bit_depth=picture.bit_depth,
        raw_layout=picture.raw_layout,
    )
    return decode_pixels(picture.payload, meta, InputLimits())


def write_video(path: Path, num: int, fps: float = 30.0) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for number in range(num):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()


def test_images_are_sent_byte_for_byte_with_their_bits(tmp_path: Path) -> None:
    files = {
        "a.png": encode_pixels(RAMP, ContentType.PNG),
        "b.png": encode_pixels(RAMP.astype(np.uint8), ContentType.PNG),
        "c.tiff": encode_pixels(RAMP, ContentType.TIFF),
        "d.npy": encode_pixels(RAMP.astype(np.float32), ContentType.NPY),
        "e.jpg": encode_pixels(RAMP.astype(np.uint8), ContentType.JPEG),
    }
    for name, payload in files.items():
        (tmp_path / name).write_bytes(payload)
    (tmp_path / "notes.txt").write_text("not a frame")
    (sequence,) = find_sequences([tmp_path], Labels())
    assert (sequence.name, sequence.num_pictures, sequence.fps) == (tmp_path.name, 5, None)
    pictures, unusable = all_of(sequence)
    assert [picture.payload for picture in pictures] == list(files.values())
    assert [picture.headers["item"] for picture in pictures] == list("abcde")
    assert [decoded(picture)[1] for picture in pictures] == [16, 8, 16, 32, 8]
    np.testing.assert_array_equal(decoded(pictures[0])[0], RAMP)
    assert not unusable


def test_stated_bit_depth_goes_along_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ok.png").write_bytes(encode_pixels(RAMP, ContentType.PNG))
    (tmp_path / "too_bright.png").write_bytes(encode_pixels(RAMP + np.uint16(20_000), ContentType.PNG))
    (sequence,) = find_sequences([tmp_path], Labels(Platform.SPACE, Band.MWIR, bit_depth=12))
    pictures, unusable = all_of(sequence)
    assert [(picture.bit_depth, picture.platform, picture.band) for picture in pictures] == [(12, Platform.SPACE, Band.MWIR)]
    assert "at most 4095" in unusable[0].why


def test_nodata_goes_along_as_stated_by_the_index_or_by_the_file(tmp_path: Path) -> None:
    floats = RAMP.astype(np.float32)
    floats[0] = np.nan
    (tmp_path / "a.npy").write_bytes(encode_pixels(floats, ContentType.NPY))
    (tmp_path / "b.tiff").write_bytes(tiff(floats, extratags=[(42113, "s", 0, "nan", True)]))
    (sequence,) = find_sequences([tmp_path], Labels())
    pictures, (refused,) = all_of(sequence)
    assert [str(picture.nodata) for picture in pictures] == ["(nan,)"]
    assert "ir_nodata" in refused.why
    (stated,) = find_sequences([tmp_path], Labels(nodata=(np.nan, -9999.0)))
    assert [str(picture.nodata) for picture in all_of(stated)[0]] == ["(nan, -9999.0)"] * 2
    lines = [{"file": "a.npy", "nodata": "nan"}, {"file": "b.tiff", "nodata": [0, "NaN"]}, {"file": "a.npy", "nodata": "none"}]
    (tmp_path / "index.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (indexed,) = find_sequences([tmp_path], Labels())
    pictures, (refused,) = all_of(indexed)
    assert [str(picture.nodata) for picture in pictures] == ["(nan,)", "(0.0, nan)"]
    assert "nodata" in refused.why


def test_folders_are_taken_at_every_depth_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    good = encode_pixels(RAMP, ContentType.PNG)
    for name in ("top.png", "cam1/0.png", "cam1/1.png", "cam2/day/a.png", "cam2/night/a.png", "cam2/.hidden/b.png", ".c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(good)
    (tmp_path / "cam1" / "notes.txt").write_text("x")
    (tmp_path / "cam1" / "scene.seq").write_bytes(b"FFF\0 frames of a format that is not read")
    (tmp_path / "cam2" / "day" / "loop").symlink_to(tmp_path)
    found = find_inputs([tmp_path], Labels())
    names = [(sequence.name, sequence.num_pictures) for sequence in found.sequences]
    assert names == [(tmp_path.name, 1), ("cam1", 3), ("cam2-day", 1), ("cam2-night", 1)]
    assert len(found.left_out) == 1
    assert "3 files without the name of an image or video" in found.left_out[0]
    (refused,) = all_of(found.sequences[1])[1]
    assert refused.what.endswith("scene.seq")


@pytest.mark.parametrize("name", ["\u24601.png", "\u0662.png", "x\u00b2.png", "\u2460\u2461.png", "7\u0663.png"])
def test_digits_of_every_kind_are_sorted_and_sent(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encode_pixels(RAMP, ContentType.PNG))
    (tmp_path / "10.png").write_bytes(encode_pixels(RAMP, ContentType.PNG))
    (sequence,) = find_sequences([tmp_path], Labels())
    assert len(all_of(sequence)[0]) == 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_page_of_a_tiff_is_a_frame(tmp_path: Path, dtype: str) -> None:
    stack = np.stack([RAMP, RAMP + 1, RAMP[::-1]]).astype(dtype)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack", metadata=None)
    (sequence,) = find_sequences([tmp_path], Labels(bit_depth=12 if dtype == "uint16" else None))
    assert sequence.num_pictures == 3
    pictures, unusable = all_of(sequence)
    assert not unusable
    assert [picture.headers["item"] for picture in pictures] == ["stack/0", "stack/1", "stack/2"]
    for picture, page in zip(pictures, stack, strict=True):
        np.testing.assert_array_equal(decoded(picture)[0], page)
    assert decoded(pictures[0])[1] == {"uint8": 8, "uint16": 12, "float32": 32}[dtype]


def test_a_bad_page_is_named_and_the_others_are_sent(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        writer.write(RAMP, photometric="minisblack", metadata=None)
        writer.write(RAMP.astype(np.float64), photometric="minisblack", metadata=None)
        writer.write(RAMP, photometric="miniswhite", metadata=None)
    pictures, (refused,) = all_of(find_sequences([tmp_path / "mixed.tif"], Labels())[0])
    np.testing.assert_array_equal(decoded(pictures[1])[0], 65_535 - RAMP)
    assert "frame 1" in refused.what
    assert "64 bits" in refused.why


def test_smaller_copies_in_a_tiff_are_no_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as writer:
        writer.write(RAMP[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
        writer.write(RAMP, photometric="minisblack", metadata=None)
    (sequence,) = find_sequences([tmp_path / "pyramid.tif"], Labels())
    ((picture,), unusable) = all_of(sequence)
    assert not unusable
    np.testing.assert_array_equal(decoded(picture)[0], RAMP)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("is_copy", [True, False])
def test_below_a_page_are_smaller_copies_or_the_file_is_refused(tmp_path: Path, is_copy: bool, bigtiff: bool) -> None:
    with tifffile.TiffWriter(tmp_path / "below.tif", bigtiff=bigtiff) as writer:
        writer.write(RAMP, photometric="minisblack", metadata=None, subifds=1)
        writer.write(RAMP[::2, ::2], photometric="minisblack", metadata=None, subfiletype=int(is_copy))
    pictures, unusable = all_of(find_sequences([tmp_path / "below.tif"], Labels())[0])
    assert (len(pictures), len(unusable)) == ((1, 0) if is_copy else (0, 1))
    assert is_copy or "an image of its own; save it as a page" in unusable[0].why


@pytest.mark.parametrize("imagej", [True, False], ids=["imagej", "shaped"])
def test_a_stack_behind_one_directory_is_refused_not_taken_in_part(tmp_path: Path, imagej: bool) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([RAMP] * 4), photometric="minisblack", truncate=True, imagej=imagej)
    pictures, (refused,) = all_of(find_sequences([tmp_path / "stack.tif"], Labels())[0])
    assert not pictures
    assert "got 4 images in 1" in refused.why


def test_every_picture_of_a_multi_picture_jpeg_is_a_frame(tmp_path: Path) -> None:
    from PIL import Image

    greys = [np.full((32, 40), level, np.uint8) for level in (10, 120, 200)]
    first, *others = (Image.fromarray(grey) for grey in greys)
    first.save(tmp_path / "stereo.mpo", format="MPO", save_all=True, append_images=others)
    (sequence,) = find_sequences([tmp_path], Labels())
    assert sequence.num_pictures == 3
    pictures, unusable = all_of(sequence)
    assert not unusable
    assert [round(float(decoded(picture)[0].mean())) for picture in pictures] == [10, 120, 200]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused_and_still_pictures_of_the_format_taken(tmp_path: Path, kind: str) -> None:
    from PIL import Image

    frames = [Image.fromarray(np.full((32, 40), level, np.uint8)) for level in (10, 120, 200)]
    frames[0].save(tmp_path / f"moving.{kind.lower()}", format=kind, save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / f"still.{kind.lower()}", format=kind)
    pictures, (refused,) = all_of(find_sequences([tmp_path], Labels())[0])
    assert "animation" in refused.why
    assert [round(float(decoded(picture)[0].mean())) for picture in pictures] == [120]


@pytest.mark.parametrize("most", [200, 1023, 4095, 65_535])
def test_counts_of_a_pgm_are_kept_and_a_second_image_is_not_left_out(tmp_path: Path, most: int) -> None:
    counts_HW = (RAMP.astype(int) % (most + 1)).astype(">u2" if most > 255 else np.uint8)
    one = b"P5\n# a camera\n40 32\n%d\n" % most + counts_HW.tobytes()
    (tmp_path / "a.pgm").write_bytes(one)
    (tmp_path / "b.pgm").write_bytes(one + one)
    (tmp_path / "c.pgm").write_bytes(one[:-5])
    (tmp_path / "d.pgm").write_bytes(b"P2 40 32 %d\n" % most + " ".join(map(str, counts_HW.ravel())).encode())
    pictures, unusable = all_of(find_sequences([tmp_path], Labels())[0])
    for picture in pictures:
        np.testing.assert_array_equal(decoded(picture)[0], counts_HW)
    assert [Path(entry.what).name for entry in unusable] == ["b.pgm", "c.pgm"]


def test_a_video_of_16_bits_keeps_them(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "deep.mkv"), cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (40, 32), [
        cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0,
    ])  # fmt: skip
    frames = [RAMP + np.uint16(1000 * number) for number in range(4)]
    for frame in frames:
        writer.write(frame)
    writer.release()
    pictures, unusable = all_of(find_sequences([tmp_path], Labels(bit_depth=14))[0])
    assert not unusable
    for picture, frame in zip(pictures, frames, strict=True):
        np.testing.assert_array_equal(decoded(picture)[0], frame)
        assert picture.bit_depth == 14


def encoded(path: Path, codec: str, layout: str, frames: Sequence[NDArray[Any]], **options: str) -> None:
    """A video of grey frames, of 8 bits or of those that its layout has."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], layout
        for counts_HW in frames:
            kept = layout if layout.startswith("gray") else "gray"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(counts_HW, format=kept).reformat(format=layout)))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("codec", "layout", "bits"),
    [("ffv1", "gray16le", 16), ("ffv1", "gray12le", 12), ("ffv1", "gray10le", 10), ("png", "gray16be", 16), ("ffv1", "gray", 8)],
)
def test_a_grey_video_keeps_its_bits(tmp_path: Path, codec: str, layout: str, bits: int) -> None:
    counts_HW = (51 * RAMP >> (16 - bits)).astype(np.uint8 if bits == 8 else np.uint16)
    encoded(tmp_path / f"deep.{'avi' if codec == 'png' else 'mkv'}", codec, layout, [counts_HW, counts_HW[::-1].copy()])
    pictures, unusable = all_of(find_sequences([tmp_path], Labels())[0])
    assert not unusable
    np.testing.assert_array_equal(decoded(pictures[0])[0], counts_HW)
    np.testing.assert_array_equal(decoded(pictures[1])[0], counts_HW[::-1])
    assert {picture.bit_depth for picture in pictures} == {bits}


def test_deep_colour_is_refused_and_not_flattened(tmp_path: Path) -> None:
    encoded(tmp_path / "deep.mkv", "ffv1", "yuv420p10le", [RAMP.astype(np.uint8)] * 3)
    pictures, (refused,) = all_of(find_sequences([tmp_path], Labels())[0])
    assert not pictures
    assert (refused.num, "10 bits a sample in colour" in refused.why) == (3, True)


@pytest.mark.parametrize(("codec", "suffix", "alone"), [("mjpeg", "mkv", True), ("mjpeg", "mjpeg", True), ("mpeg4", "mp4", False)])
def test_no_frame_is_made_up_around_damage(tmp_path: Path, codec: str, suffix: str, alone: bool) -> None:
    """Frame 12 begins a group of twelve where frames are predicted from others: those behind it are lost with it."""
    scene_HW = np.add.outer(np.arange(96), 2 * np.arange(128)).astype(np.uint8)
    whole, damaged = tmp_path / f"whole.{suffix}", tmp_path / f"damaged.{suffix}"
    layout = "yuvj420p" if alone else "yuv420p"
    encoded(whole, codec, layout, [np.roll(scene_HW, 5 * number, axis=1) for number in range(30)], g="12", bf="0")
    value = bytearray(whole.read_bytes())
    packets = packets_of(whole)
    at = value.index(packets[12]) + len(packets[12]) // 2
    value[at : at + 60] = bytes((count * 7 + 13) % 256 for count in value[at : at + 60])
    damaged.write_bytes(value)
    good = [decoded(picture)[0].tobytes() for picture in all_of(VideoFile(whole, Platform.LAND, Band.LWIR, ContentType.PNG))[0]]
    pictures, (lost,) = all_of(VideoFile(damaged, Platform.LAND, Band.LWIR, ContentType.PNG))
    assert [decoded(picture)[0].tobytes() for picture in pictures] == good[:12] + good[13 if alone else 24 :]
    assert lost.num == (1 if alone else 12)
    assert "expected 30 whole frames" in lost.why
    assert count_frames(damaged) == 30


def test_no_frame_is_made_up_where_frames_come_in_another_order_than_they_are_shown(tmp_path: Path) -> None:
    """The key frame before the damage is shown after it was met: it is no new beginning."""
    scene_HW = np.add.outer(np.arange(96), 2 * np.arange(128)).astype(np.uint8)
    whole, damaged = tmp_path / "whole.mp4", tmp_path / "damaged.mp4"
    frames = [np.roll(scene_HW, 5 * number, axis=1) for number in range(30)]
    encoded(whole, "libx264", "yuv420p", frames, g="12", bf="2", threads="1")
    value, packets = bytearray(whole.read_bytes()), packets_of(whole)
    with av.open(str(whole)) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
    at = value.index(packets[keys[1] + 1]) + len(packets[keys[1] + 1]) // 2
    value[at : at + 60] = bytes((count * 7 + 13) % 256 for count in value[at : at + 60])
    damaged.write_bytes(value)
    good = {decoded(picture)[0].tobytes() for picture in all_of(VideoFile(whole, Platform.LAND, Band.LWIR, ContentType.PNG))[0]}
    pictures, (lost,) = all_of(VideoFile(damaged, Platform.LAND, Band.LWIR, ContentType.PNG))
    assert len(good) == 30
    assert {decoded(picture)[0].tobytes() for picture in pictures} <= good
    assert len(pictures) >= 12
    assert len(pictures) + lost.num == 30


def test_a_turned_video_is_sent_as_it_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    encoded(path, "mpeg4", "yuv420p", [RAMP.astype(np.uint8)] * 2)
    value = bytearray(path.read_bytes())
    at = value.index(b"tkhd") + 4 + 40  # the display matrix: a quarter
    value[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, RAMP.shape[0] << 16, 0, 1 << 30)
    path.write_bytes(value)
    pictures, unusable = all_of(VideoFile(path, Platform.LAND, Band.LWIR, ContentType.PNG))
    video = cv2.VideoCapture(str(path))
    as_others_see_it = video.read()[1][..., 0]
    video.release()
    assert not unusable
    assert as_others_see_it.shape == RAMP.T.shape
    assert np.abs(decoded(pictures[0])[0].astype(int) - as_others_see_it).max() <= 2


def test_a_video_of_an_unknown_codec_is_named_and_the_other_clip_plays(tmp_path: Path) -> None:
    encoded(tmp_path / "a.avi", "mjpeg", "yuvj420p", [RAMP.astype(np.uint8)] * 2)
    encoded(tmp_path / "b.avi", "mjpeg", "yuvj420p", [RAMP.astype(np.uint8)] * 2)
    (tmp_path / "a.avi").write_bytes((tmp_path / "a.avi").read_bytes().replace(b"MJPG", b"QQQQ"))
    sequences = find_sequences([tmp_path], Labels())
    assert [len(all_of(each)[0]) for each in sequences] == [0, 2]
    assert all_of(sequences[0])[1]


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_frames_of_another_size_keep_it(tmp_path: Path) -> None:
    for name, frame in (("a.mjpeg", RAMP.astype(np.uint8)), ("b.mjpeg", np.full((48, 64), 99, np.uint8))):
        encoded(tmp_path / name, "mjpeg", "yuvj420p", [frame] * 2)
    (tmp_path / "both.mjpeg").write_bytes((tmp_path / "a.mjpeg").read_bytes() + (tmp_path / "b.mjpeg").read_bytes())
    pictures, unusable = all_of(VideoFile(tmp_path / "both.mjpeg", Platform.LAND, Band.LWIR, ContentType.PNG))
    assert not unusable
    assert [decoded(picture)[0].shape for picture in pictures] == [RAMP.shape] * 2 + [(48, 64)] * 2


@pytest.mark.parametrize("keep", [4, 9])
def test_a_video_that_ends_early_says_how_many_frames_are_missing(tmp_path: Path, keep: int) -> None:
    write_video(tmp_path / "flight.avi", 12)
    value = (tmp_path / "flight.avi").read_bytes()
    starts = [at for at in range(len(value) - 3) if value[at : at + 3] == b"\xff\xd8\xff"]
    (tmp_path / "flight.avi").write_bytes(value[: starts[keep]])
    pictures, (refused,) = all_of(find_sequences([tmp_path], Labels())[0])
    assert 0 < len(pictures) < 12
    assert refused.num == 12 - len(pictures)
    assert f"expected 12 whole frames in the file, got {len(pictures)}" in refused.why


def test_frames_behind_a_hole_in_a_video_are_sent(tmp_path: Path) -> None:
    write_video(tmp_path / "flight.avi", 12)
    value = bytearray((tmp_path / "flight.avi").read_bytes())
    starts = [at for at in range(len(value) - 3) if value[at : at + 3] == b"\xff\xd8\xff"]
    value[starts[5] : starts[6] - 8] = bytes(starts[6] - 8 - starts[5])
    (tmp_path / "flight.avi").write_bytes(value)
    pictures, (refused,) = all_of(find_sequences([tmp_path], Labels())[0])
    assert (len(pictures), refused.num) == (11, 1)
    assert round(float(decoded(pictures[-1])[0].mean())) == pytest.approx(220, abs=2)


def test_files_are_taken_in_natural_order(tmp_path: Path) -> None:
    names = ["f10.png", "f9.png", "F1.png", "f2b.png", "f2a.png", "g.png"]
    assert sorted((tmp_path / name for name in names), key=natural_key) == [
        tmp_path / name for name in ("F1.png", "f2a.png", "f2b.png", "f9.png", "f10.png", "g.png")
    ]


def test_bad_files_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = encode_pixels(RAMP, ContentType.PNG)
    (tmp_path / "1.png").write_bytes(good)
    (tmp_path / "2.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes(b"hello, this is no image")
    (tmp_path / "5.npy").write_bytes(encode_pixels(np.full((9, 9), np.nan, np.float32), ContentType.NPY))
    (tmp_path / "6.png").write_bytes(good)
    (sequence,) = find_sequences([tmp_path], Labels())
    pictures, unusable = all_of(sequence)
    assert [picture.headers["item"] for picture in pictures] == ["1", "6"]
    assert [Path(entry.what).name for entry in unusable] == ["2.png", "3.png", "4.png", "5.npy"]
    assert all(entry.why.startswith("expected ") and ", got" in entry.why.replace("; got", ", got") for entry in unusable)


def test_colour_and_foreign_formats_become_grey_png(tmp_path: Path) -> None:
    colour = np.zeros((24, 24, 3), np.uint8)
    colour[..., 2] = 200
    for name in ("colour.png", "foreign.bmp"):
        cv2.imwrite(str(tmp_path / name), colour)
    cv2.imwrite(str(tmp_path / "deep.pgm"), RAMP)
    (sequence,) = find_sequences([tmp_path], Labels())
    pictures, unusable = all_of(sequence)
    assert not unusable
    for picture in (pictures[0], pictures[2]):
        np.testing.assert_allclose(decoded(picture)[0], 0.299 * 200, atol=1)
    np.testing.assert_array_equal(decoded(pictures[1])[0], RAMP)


def test_grey_stored_as_rgb_tiff_is_sent_as_it_is(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "grey.tif", np.repeat(RAMP.astype(np.uint8)[..., None], 3, axis=2), photometric="rgb")
    (sequence,) = find_sequences([tmp_path], Labels())
    ((picture,), unusable) = all_of(sequence)
    assert picture.payload == (tmp_path / "grey.tif").read_bytes()
    assert not unusable


@pytest.mark.parametrize("codec", [ContentType.PNG, ContentType.RAW], ids=lambda codec: codec.name)
def test_videos_become_grey_frames(tmp_path: Path, codec: ContentType) -> None:
    write_video(tmp_path / "flight.avi", 6, fps=24.0)
    (sequence,) = find_sequences([tmp_path / "flight.avi"], Labels(Platform.LAND, Band.LWIR, content_type=codec))
    assert (sequence.name, sequence.num_pictures, sequence.fps) == ("flight", 6, 24.0)
    pictures, unusable = all_of(sequence)
    assert not unusable
    assert [round(float(decoded(picture)[0].mean())) for picture in pictures] == pytest.approx([0, 20, 40, 60, 80, 100], abs=2)
    assert {(picture.content_type, picture.platform, picture.bit_depth) for picture in pictures} == {(codec, Platform.LAND, 8)}
    assert pictures[3].headers == {"item": "flight/3"}


def test_a_broken_video_is_unusable_and_the_other_clip_plays(tmp_path: Path) -> None:
    write_video(tmp_path / "good.avi", 3)
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    source = FrameSource(find_sequences([tmp_path], Labels()))
    assert source.sensors == ("broken", "good")
    entries = list(source.frames())
    assert sum(isinstance(entry, Unusable) for entry in entries) == 1
    assert len(entries) == 4


def test_a_folder_of_clips_is_one_sequence_per_clip(tmp_path: Path) -> None:
    for clip in ("clip10", "clip9"):
        (tmp_path / clip).mkdir()
        for number in range(2):
            (tmp_path / clip / f"{number}.png").write_bytes(encode_pixels(RAMP, ContentType.PNG))
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v1.avi", 2)
    (tmp_path / "empty").mkdir()
    sequences = find_sequences([tmp_path], Labels())
    assert [(sequence.name, sequence.num_pictures) for sequence in sequences] == [("clip9", 2), ("clip10", 2), ("v1", 2)]


def test_a_dataset_index_keeps_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = [
        {"id": "x1", "file": "images/1.png", "platform": "UAV", "band": "LWIR", "bit_depth": 12, "split": "train"},
        {"id": "x2", "file": "images/2.png", "platform": "Land", "band": None, "split": "test"},
        {"id": "x3", "file": "images/3.png", "platform": None, "band": "SWIR", "bit_depth": 16, "split": "test"},
        {"id": "gone", "file": "images/gone.png", "platform": "Space", "band": "Lidar", "split": "test"},
    ]
    for number in (1, 2, 3):
        (tmp_path / "images" / f"{number}.png").write_bytes(encode_pixels(RAMP, ContentType.PNG))
    (tmp_path / "index.jsonl").write_text("\n".join([*map(json.dumps, rows), "{broken", '{"no": "file"}', ""]))
    (sequence,) = find_sequences([tmp_path], Labels())
    assert sequence.num_pictures == 6
    pictures, unusable = all_of(sequence)
    assert [(picture.headers["item"], picture.platform, picture.band, picture.bit_depth) for picture in pictures] == [
        ("x1", Platform.AIR, Band.LWIR, 12),
        ("x2", Platform.LAND, Band.UNKNOWN, None),
        ("x3", Platform.UNKNOWN, Band.SWIR, 16),
    ]
    assert len(unusable) == 3
    (only_test,) = find_sequences([tmp_path / "index.jsonl"], Labels(platform=Platform.AIR, split="test"))
    assert [(picture.headers["item"], picture.platform) for picture in all_of(only_test)[0]] == [("x2", Platform.AIR), ("x3", Platform.AIR)]
    with pytest.raises(SettingsError, match="splits test, train"):
        find_sequences([tmp_path], Labels(split="validation"))


def test_an_index_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encode_pixels(RAMP, ContentType.PNG))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "index.jsonl").write_text("\n".join(json.dumps({"file": file}) for file in ("../secret.png", str(tmp_path / "secret.png"))))
    (sequence,) = find_sequences([folder], Labels())
    pictures, unusable = all_of(sequence)
    assert not pictures
    assert len(unusable) == 2


@pytest.mark.parametrize("make", ["missing", "empty", "text"])
def test_nothing_to_publish_is_an_error_that_says_what_is_expected(tmp_path: Path, make: str) -> None:
    path = tmp_path / ("missing" if make == "missing" else "empty" if make == "empty" else "file.txt")
    if make == "empty":
        path.mkdir()
    elif make == "text":
        path.write_text("x")
    with pytest.raises(SettingsError, match=r"images \(PNG, JPEG, TIFF, NPY\), videos, an index.jsonl"):
        find_sequences([path], Labels())


@pytest.mark.parametrize(
    ("name", "num_sequences", "platform"),
    [("irstd-1k", 1, Platform.LAND), ("hit-uav", 1, Platform.AIR), ("sirst-v2", 1, None), ("drone-ir-clips", 45, Platform.UNKNOWN)],
)
def test_the_public_data_sets_are_recognised(shared_data: Path, name: str, num_sequences: int, platform: Platform | None) -> None:
    sequences = find_sequences([shared_data / name], Labels())
    assert len(sequences) == num_sequences
    first = next(iter(sequences[0].pictures()))
    assert isinstance(first, Picture)
    assert decoded(first)[0].min() >= 0
    assert platform is None or first.platform is platform
