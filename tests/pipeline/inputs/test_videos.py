"""Videos beside their frames: lengths that count none, further streams, holes in the container, metadata packets."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from contracts.codecs import encode_pixels
from contracts.frame import Band, ContentType, Platform
from contracts.klv import UAS_LOCAL_SET
from contracts.video_files import count_frames
from pipeline.inputs.find import Labels, find_inputs
from pipeline.inputs.pictures import Picture, PictureSequence, Unusable
from pipeline.inputs.videos import VideoFile

_MILLISECOND = Fraction(1, 1000)
_STEADY = [round(33.4 * number) for number in range(24)]
_PAUSES = [*range(0, 330, 33), *range(2000, 2330, 33), *range(9000, 9400, 100)]


def film(path: Path, codec: str, times_ms: Sequence[int], *, sound_s: float = 0, second: int = 0, klv: Sequence[bytes] = ()) -> None:
    """A video of one scene that moves; beside it sound, the first frames of another video, a metadata packet before every tenth frame."""
    layout = "yuvj420p" if codec == "mjpeg" else "gray" if codec == "ffv1" else "yuv420p"
    scene_HW = np.add.outer(np.arange(48), 2 * np.arange(64)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream(codec, rate=30) for _ in range(2 if second else 1)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt, stream.options = (
                64,
                48,
                layout,
                {"g": "12", "bf": "0"} | ({"level": "3", "slicecrc": "1"} if codec == "ffv1" else {}),
            )
            if path.suffix == ".mkv":
                stream.codec_context.time_base = _MILLISECOND
        sound: Any = container.add_stream("mp2", rate=48000) if sound_s else None
        data: Any = container.add_data_stream("klv") if klv else None
        for number, at in enumerate(times_ms):
            if klv and number % 10 == 0:
                packet = av.Packet(klv[number // 10])
                packet.pts = packet.dts = at
                packet.time_base, packet.stream = _MILLISECOND, data
                container.mux(packet)
            for stream in streams[: 2 if number < second else 1]:
                frame = av.VideoFrame.from_ndarray(np.roll(scene_HW, number, 1), format="gray").reformat(format=layout)
                frame.pts, frame.time_base = at, _MILLISECOND
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
        for number in range(int(sound_s * 48000 / 1152)):
            silence = av.AudioFrame(format="s16", layout="stereo", samples=1152)
            silence.sample_rate, silence.pts, silence.time_base = 48000, 1152 * number, Fraction(1, 48000)
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(sound.encode(silence))


def read(path: Path) -> tuple[list[bytes], list[Unusable]]:
    entries = list(VideoFile(path, Platform.LAND, Band.LWIR, ContentType.PNG).pictures())
    return [each.payload for each in entries if isinstance(each, Picture)], [each for each in entries if isinstance(each, Unusable)]


@pytest.mark.parametrize(
    ("name", "codec", "times_ms", "sound_s"),
    [
        ("a.mkv", "mjpeg", _STEADY, 3),
        ("a.ts", "mpeg2video", _STEADY, 3),
        ("a.mkv", "mjpeg", _PAUSES, 0),
        ("a.ts", "mpeg2video", _PAUSES, 0),
        ("a.flv", "flv1", _PAUSES, 0),
    ],
    ids=["sound in Matroska", "sound in MPEG-TS", "pauses in Matroska", "pauses in MPEG-TS", "pauses in FLV"],
)
def test_a_length_in_time_is_no_count_of_frames(tmp_path: Path, name: str, codec: str, times_ms: list[int], sound_s: float) -> None:
    film(tmp_path / name, codec, times_ms, sound_s=sound_s)
    frames, unusable = read(tmp_path / name)
    assert (len(frames), unusable, count_frames(tmp_path / name)) == (len(times_ms), [], len(times_ms))


def copied(source: Path, target: Path, *, skip: int = 0, earlier: int = 0) -> None:
    """The packets of a video behind the first, as much earlier as so many frames take."""
    with av.open(str(source)) as container, av.open(str(target), "w") as copy:
        stream: Any = copy.add_stream_from_template(container.streams.video[0])
        for number, packet in enumerate(container.demux(video=0)):
            if packet.dts is not None and packet.pts is not None and number >= skip:
                packet.pts -= round(earlier / 30 / packet.time_base)
                packet.dts -= round(earlier / 30 / packet.time_base)
                packet.stream = stream
                copy.mux(packet)


@pytest.mark.parametrize("kind", ["an edit list", "empty chunks of an AVI", "bytes before it", "bytes behind it"])
def test_what_is_no_frame_is_not_lost(tmp_path: Path, kind: str) -> None:
    name, num = tmp_path / "a.ts", len(_STEADY)
    film(tmp_path / "a.ts", "mpeg2video", _STEADY)
    value = name.read_bytes()
    if kind == "an edit list":
        film(tmp_path / "b.mp4", "mpeg4", _STEADY)
        copied(tmp_path / "b.mp4", name := tmp_path / "c.mp4", earlier=5)
        num -= 5
    elif kind == "empty chunks of an AVI":
        film(name := tmp_path / "a.avi", "mjpeg", [*_STEADY[:5], *(at + 1000 for at in _STEADY[5:])])
    elif kind == "bytes before it":
        name.write_bytes(bytes(100) + value)
    else:
        film(name := tmp_path / "a.mkv", "mpeg4", _STEADY)
        name.write_bytes(name.read_bytes() + bytes(1000))
    frames, unusable = read(name)
    assert (len(frames), unusable, count_frames(name)) == (num, [], num)


def test_frames_before_the_first_one_that_stands_by_itself_are_lost(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", "libx264", _STEADY)
    copied(tmp_path / "a.mkv", tmp_path / "b.mkv", skip=5)
    good = read(tmp_path / "a.mkv")[0]
    frames, (lost,) = read(tmp_path / "b.mkv")
    assert (frames, lost.num) == (good[12:], 7)


def hole(value: bytes) -> bytes:
    """Nothing where a few packets of the second half stood."""
    at = len(value) // 2
    return value[:at] + bytes(200) + value[at + 200 :]


@pytest.mark.parametrize(
    ("name", "codec", "damage"),
    [
        ("a.mkv", "mpeg4", hole),
        ("a.flv", "flv1", hole),
        ("a.ts", "mpeg2video", lambda value: value[: 188 * 20] + value[188 * 24 :]),
        ("a.mkv", "mjpeg", lambda value: value[: len(value) // 2]),
        ("a.flv", "flv1", lambda value: value[: len(value) // 2]),
        ("a.mkv", "ffv1", lambda value: value[: len(value) // 2] + bytes([value[len(value) // 2] ^ 4]) + value[len(value) // 2 + 1 :]),
    ],
    ids=["hole in Matroska", "hole in FLV", "packets of MPEG-TS gone", "half of Matroska", "half of FLV", "a bit of FFV1"],
)
def test_frames_that_are_gone_are_counted_and_none_is_predicted_from_them(
    tmp_path: Path, name: str, codec: str, damage: Callable[[bytes], bytes]
) -> None:
    film(tmp_path / name, codec, _STEADY)
    good, unusable = read(tmp_path / name)
    assert (len(good), unusable) == (len(_STEADY), [])
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    frames, (lost,) = read(tmp_path / name)
    assert 0 < len(frames) < len(_STEADY)
    assert set(frames) <= set(good)
    assert len(frames) + lost.num == len(_STEADY) == count_frames(tmp_path / name)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "mpeg4"), ("a.flv", "flv1")])
def test_a_recorder_that_lost_power_and_kept_no_time_loses_the_end_alone(tmp_path: Path, name: str, codec: str) -> None:
    """Uneven steps are no gaps where nothing is missing between the packets; predicted frames stay."""
    uneven_ms = np.cumsum([0, *([34, 100, 67, 34, 99] * 8)]).tolist()
    film(tmp_path / name, codec, uneven_ms)
    value = (tmp_path / name).read_bytes()
    (tmp_path / f"cut-{name}").write_bytes(value[: len(value) * 3 // 4])
    whole, (kept, unusable) = read(tmp_path / name)[0], read(tmp_path / f"cut-{name}")
    assert len(whole) == len(uneven_ms)
    assert kept == whole[: len(kept)]
    assert len(kept) > len(whole) * 0.6
    assert sum(each.num for each in unusable) >= 1


def test_an_mpeg_ts_that_ends_in_a_packet_is_said_to_end_early(tmp_path: Path) -> None:
    film(tmp_path / "a.ts", "mpeg2video", _STEADY)
    value = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "a.ts").write_bytes(value[: len(value) // 2 // 188 * 188 + 100])
    frames, (lost,) = read(tmp_path / "a.ts")
    assert (len(frames) < len(_STEADY), lost.num) == (True, 1)


def test_packets_that_the_container_calls_damaged_are_no_frames(tmp_path: Path) -> None:
    film(tmp_path / "a.ts", "mpeg2video", _STEADY)
    good = read(tmp_path / "a.ts")[0]
    value = bytearray((tmp_path / "a.ts").read_bytes())
    middle = next(at for at in range(len(value) // 2 // 188 * 188, len(value), 188) if value[at + 1] & 0x5F == 1 and value[at + 2] == 0)
    value[middle + 1] |= 0x80  # transport_error_indicator
    (tmp_path / "a.ts").write_bytes(value)
    frames, (lost,) = read(tmp_path / "a.ts")
    assert set(frames) < set(good)
    assert len(frames) + lost.num == len(_STEADY)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_second_video_is_left_out_with_a_sentence_and_a_count(tmp_path: Path, name: str) -> None:
    film(tmp_path / name, "mpeg4", _STEADY, second=7)
    frames, (beside,) = read(tmp_path / name)
    assert (len(frames), beside.num) == (len(_STEADY), 7)
    assert "expected one video in the file, got another one, stream 1 (mpeg4, 64x48 px)" in beside.why
    assert count_frames(tmp_path / name) == len(_STEADY) + 7


def test_metadata_packets_travel_with_the_frames_they_hold_for(tmp_path: Path) -> None:
    packets = [UAS_LOCAL_SET + bytes((4, 65, 2, 0, number)) for number in range(3)]
    film(tmp_path / "a.ts", "mpeg2video", _STEADY, klv=packets)
    entries = list(VideoFile(tmp_path / "a.ts", Platform.AIR, Band.LWIR, ContentType.PNG).pictures())
    got = [b64decode(entry.klv or "") for entry in entries if isinstance(entry, Picture)]
    assert got == [packets[number // 10] for number in range(len(_STEADY))]


def test_streams_that_hold_no_frames_are_named(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", "mjpeg", _STEADY)
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "b.mkv"), "w") as container:
        copy: Any = container.add_stream_from_template(source.streams.video[0])
        words: Any = container.add_stream("ass")
        words.codec_context.subtitle_header = b"[Script Info]\n[Events]\n"
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                container.mux(packet)
    found = find_inputs([tmp_path], Labels())
    assert [text.split(": ")[1:] for text in found.left_out] == [["1 stream without frames", "subtitle (ssa)"]]
    sequences: tuple[PictureSequence, ...] = found.sequences
    assert [sum(isinstance(each, Picture) for each in sequence.pictures()) for sequence in sequences] == [len(_STEADY)] * 2


def test_what_cannot_be_read_on_the_way_does_not_end_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the demuxer, put before packet 5: the frames behind it come, and one is counted."""
    film(tmp_path / "a.avi", "mjpeg", _STEADY)
    good = read(tmp_path / "a.avi")[0]
    opened = av.open
    errors = [1]

    class Container:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def __enter__(self) -> Container:
            return self

        def __exit__(self, *_: object) -> None:
            self._real.close()

        def demux(self, *chosen: Any) -> Any:
            for number, packet in enumerate(self._real.demux(*chosen)):
                if number == 5 and errors:
                    errors.clear()
                    raise av.error.InvalidDataError(1, "bad")  # packet 5 is gone with it
                yield packet

    monkeypatch.setattr("av.open", lambda *args, **options: Container(opened(*args, **options)))
    frames, (lost,) = read(tmp_path / "a.avi")
    assert frames == good[:5] + good[6:]
    assert lost.num == 1


@pytest.mark.parametrize("value", [b"", encode_pixels(np.zeros((9, 9), np.uint8), ContentType.PNG)[:0] + bytes(500)])
def test_files_without_any_frame_are_one_that_is_lost(tmp_path: Path, value: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(value)
    frames, (lost,) = read(tmp_path / "a.mp4")
    assert (frames, lost.num, count_frames(tmp_path / "a.mp4")) == ([], 1, 1)
