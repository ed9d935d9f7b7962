"""`irstream publish PATH...|synthetic`: frames with their metadata into a topic, at a rate."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform
from contracts.nodata import nodata_values
from deploy.cli.options import BootstrapOption, ConfigOption, JsonOption, TopicOption, load, print_json
from synthetic.settings import Scene

if TYPE_CHECKING:
    from pipeline.inputs.feeds import FrameSource

SYNTHETIC = "synthetic"
DEFAULT_FPS = 10.0


class Codec(StrEnum):
    """Names of the codecs for people."""

    PNG = "png"
    TIFF = "tiff"
    NPY = "npy"
    RAW = "raw"
    JPEG = "jpeg"

    @property
    def content_type(self) -> ContentType:
        """The name on the wire."""
        return ContentType[self.name]


class Radiometric(StrEnum):
    """Parts of a radiometric JPEG."""

    COUNTS = "counts"
    PICTURE = "picture"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
InputsArgument = Annotated[
    list[str], typer.Argument(metavar="PATH...|synthetic", help="Images, videos, folders of them, an index.jsonl; or the word synthetic.")
]
SensorOption = Annotated[str | None, typer.Option(help="Sensor id; several sensors become SENSOR-...", show_default=False)]
SensorsOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="Number of sensors. Synthetic: cameras; else the clips are dealt out to so many.", show_default=False
    ),
]
PlatformOption = Annotated[
    Platform | None, typer.Option(case_sensitive=False, help="Where the camera is. Default: what the input says.", show_default=False)
]
BandOption = Annotated[
    Band | None, typer.Option(case_sensitive=False, help="Spectral band. Default: what the input says.", show_default=False)
]
FpsOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1000,
        help=f"Frames a second of each sensor; 0: as fast as possible. Default: the video's, else {DEFAULT_FPS:g}.",
        show_default=False,
    ),
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Messages to send in all.", show_default=False)]
CodecOption = Annotated[
    Codec, typer.Option(case_sensitive=False, help="Of frames we encode (synthetic, videos); image files stay as they are.")
]
DepthOption = Annotated[int | None, typer.Option(min=8, max=16, help="Significant bits. Synthetic default: 14.", show_default=False)]
NodataOption = Annotated[
    str | None,
    typer.Option(
        metavar="V[,V...]",
        help="Values of image files that are no measurement, such as -9999 or nan. Default: what the input says.",
        show_default=False,
    ),
]
AsOption = Annotated[
    Radiometric,
    typer.Option("--as", case_sensitive=False, help="Radiometric JPEG: its 16-bit counts with their constants, or its 8-bit picture."),
]
SizeOption = Annotated[str, typer.Option(help="Synthetic: SIDE or WIDTHxHEIGHT, 64 to 4096 px.")]
SceneOption = Annotated[
    Scene | None,
    typer.Option(
        case_sensitive=False, help="Synthetic: what the cameras look at. Default: a mix that fits the platform.", show_default=False
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Synthetic: the same seed gives the same frames.")]
TruthOption = Annotated[bool, typer.Option("--truth", help="Synthetic: send the exact boxes along in the header `truth`.")]
SplitOption = Annotated[str | None, typer.Option(help="Dataset indexes: only images of this split.", show_default=False)]


@app.command("publish")
def publish_command(
    inputs: InputsArgument,
    topic: TopicOption = None,
    sensor: SensorOption = None,
    sensors: SensorsOption = None,
    platform: PlatformOption = None,
    band: BandOption = None,
    fps: FpsOption = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    limit: LimitOption = None,
    codec: CodecOption = Codec.PNG,
    bit_depth: DepthOption = None,
    nodata: NodataOption = None,
    radiometric: AsOption = Radiometric.COUNTS,
    size: SizeOption = "256",
    scene: SceneOption = None,
    seed: SeedOption = 0,
    truth: TruthOption = False,
    split: SplitOption = None,
    create_topic: Annotated[bool, typer.Option("--create-topic", help="Create the topic if it is missing.")] = False,
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="With --create-topic.")] = 4,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish frames with their metadata into a Kafka topic and keep the rate.

    Image files are sent byte for byte. Each clip, folder of images and dataset is a sensor of its own, unless --sensors says otherwise.
    Ctrl-C ends early: what was sent is acknowledged and counted first. Exit code 1: a frame of the input could not be sent.
    """
    from deploy.terminal.publish_view import print_summary, show_progress, stop_on_signals
    from pipeline.kafka.client import require_native_crc
    from pipeline.kafka.producer import SteadyProducer
    from pipeline.kafka.topics import describe_topic, ensure_topic, partitions_of
    from pipeline.publish import publish

    no_measurement = _nodata(nodata)
    kafka = load(config, bootstrap_servers=bootstrap_servers, topic=topic).settings.kafka
    require_native_crc()
    if create_topic:
        ensure_topic(kafka, kafka.topic, partitions)
    there = describe_topic(kafka, kafka.topic).partitions  # says at once what is wrong, before a scene is painted
    source, left_out = (
        (_synthetic(sensors, sensor, scene, platform, band, size, bit_depth, fps, seed, codec, truth), ())
        if inputs == [SYNTHETIC]
        else _files(inputs, sensors, sensor, platform, band, bit_depth, codec, split, no_measurement, radiometric)
    )
    rate = fps if fps is not None else source.fps or DEFAULT_FPS
    with stop_on_signals() as stop, SteadyProducer(kafka) as producer, show_progress(kafka.topic, quiet=as_json) as show:
        summary = publish(source, producer, kafka.topic, fps=rate or None, limit=limit, loop=loop, stop=stop, on_progress=show)
    spread = partitions_of(source.sensors, there)
    if as_json:
        also = {"topic": kafka.topic, "keeps_rate": summary.keeps_rate, "sensor_ids": list(source.sensors), "left_out": list(left_out)}
        also |= {"partitions": len(there), "sensors_by_partition": {str(partition): num for partition, num in spread.items()}}
        print_json(asdict(summary) | also)
    else:
        print_summary(summary, kafka.topic, left_out, spread, len(there))
    if not summary.whole:
        raise typer.Exit(1)


def _synthetic(
    sensors: int | None,
    sensor: str | None,
    scene: Scene | None,
    platform: Platform | None,
    band: Band | None,
    size: str,
    bit_depth: int | None,
    fps: float | None,
    seed: int,
    codec: Codec,
    truth: bool,
) -> FrameSource:
    from pipeline.inputs.cameras import plan_cameras, synthetic_source

    plans = plan_cameras(sensors or 1, scene, platform, band, _size(size), bit_depth or 14, fps or DEFAULT_FPS, seed)
    return synthetic_source(plans, sensor, codec.content_type, with_truth=truth)


def _files(
    inputs: list[str],
    sensors: int | None,
    sensor: str | None,
    platform: Platform | None,
    band: Band | None,
    bit_depth: int | None,
    codec: Codec,
    split: str | None,
    nodata: tuple[float, ...],
    radiometric: Radiometric,
) -> tuple[FrameSource, tuple[str, ...]]:
    from pipeline.inputs.feeds import FrameSource
    from pipeline.inputs.find import Labels, find_inputs

    labels = Labels(platform, band, bit_depth, codec.content_type, split, nodata, radiometric is Radiometric.PICTURE)
    found = find_inputs([Path(text) for text in inputs], labels)
    return FrameSource(found.sequences, sensor, sensors), found.left_out


def _nodata(text: str | None) -> tuple[float, ...]:
    try:
        return () if text is None else nodata_values(text)
    except ValueError as error:
        raise SettingsError(expected=str(error), got=repr(text), where="--nodata", action="For example --nodata=-9999,nan.") from error


def _size(text: str) -> tuple[int, int]:
    """`SIDE` or `WIDTHxHEIGHT` as (height, width)."""
    width, _, height = text.lower().partition("x")
    try:
        sides = (int(height or width), int(width))
    except ValueError:
        sides = (0, 0)
    if not all(64 <= side <= 4096 for side in sides):
        raise SettingsError(
            expected="SIDE or WIDTHxHEIGHT, each 64 to 4096", got=repr(text), where="--size", action="For example --size 640x512."
        )
    return sides
