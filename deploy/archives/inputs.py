"""From the words of a command to an archive: a topic, files, or the input a run began with."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from deltalake import DeltaTable

from actors.settings import ModelActorSettings
from contracts.archive_range import ArchiveRange, ArchiveRequest
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform
from contracts.image_files import FRAME_SUFFIXES, IMAGE_SUFFIXES
from contracts.nodata import nodata_values
from contracts.text import counted, well_formed
from contracts.video_files import VIDEO_SUFFIXES
from deploy.settings.app_settings import AppSettings
from deploy.settings.chosen_models import deciding
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.find import Labels, find_inputs
from pipeline.ops.run_rows import run_positions
from pipeline.reprocess import Archive, Asked, open_file_archive, open_file_rows, open_topic_archive, open_topic_rows
from pipeline.table.delta import open_results
from pipeline.table.run_range import stored_range

TOPIC, RUN = "topic:", "run:"
_EVERY_FILES = 5000
_OF_FILES = IMAGE_SUFFIXES | FRAME_SUFFIXES | VIDEO_SUFFIXES | {".jsonl", ".parquet"}
_NAME = re.compile(r"[^\w .+=@-]")
_ESCAPED = re.compile(r"\\u(dc[89a-f][0-9a-f])")


def opener(
    settings: AppSettings,
    inputs: tuple[str, ...],
    begin: str | None,
    end: str | None,
    options: Mapping[str, str],
    say: Callable[[str], None],
) -> Callable[[], Archive]:
    """Fixes the range of a run, or finds it, when called.

    Args:
        settings: `run_id`, `sink`, `kafka`, `models`.
        inputs: as given; none: those of the stored range.
        begin: first offset or time of a topic, as given.
        end: exclusive end of it, likewise.
        options: what else was said of files.
        say: told what was left out, and how many files were looked at.

    Raises:
        SettingsError: an input that is none, options that do not go with it, or no range to go on with.
    """
    request = request_of(inputs, begin, end, options) if inputs else _stored_request(settings, begin, end, options)
    asked = Asked(settings.run_id, request, deciding(settings))
    if request.kind == "run":
        return _rows(asked, settings, say)
    if request.kind == "topic":
        kafka = settings.kafka.model_copy(update={"topic": request.inputs[0]})
        return lambda: open_topic_archive(asked, kafka, settings.sink)
    return lambda: _open_files(asked, settings, say)


def with_stored_models(settings: AppSettings) -> AppSettings:
    """Settings with the networks that a run began with; on what they run is as the settings say.

    Raises:
        SettingsError: no such run was begun.
    """
    stored = _stored(settings)
    chosen = {task: getattr(settings.models, task).model_dump() | values for task, values in stored.models.items()}
    models = {task: ModelActorSettings.model_validate(values) for task, values in chosen.items()}
    return settings.model_copy(update={"models": settings.models.model_copy(update=models)})


def _rows(asked: Asked, settings: AppSettings, say: Callable[[str], None]) -> Callable[[], Archive]:
    """Frames that another run has rows for: of a topic, or of the files that it was made of."""
    run_id, _, topic = asked.request.inputs[0].partition("/")
    table = open_results(settings.sink.table, settings.sink.plain_storage_options())
    source = stored_range(table, run_id, settings.sink.plain_storage_options())
    if source is None or source.is_topic:
        if source is None and not topic:
            topic, _ = run_positions(table, run_id)
        kafka = settings.kafka.model_copy(update={"topic": topic or (source.topic if source else "")})
        return lambda: open_topic_rows(asked, kafka, settings.sink, run_id)
    request = file_request(settings, table, source)
    roots = paths_of(request)
    frames = frames_of(request, say)
    return lambda: open_file_rows(asked, source, frames, roots, settings.sink)


def file_request(settings: AppSettings, table: DeltaTable, source: ArchiveRange) -> ArchiveRequest:
    """The files that a run was made of, also where it was made of the rows of another one.

    Raises:
        SettingsError: the other one's range is not in the table.
    """
    storage_options = settings.sink.plain_storage_options()
    while source.request.kind == "run":
        run_id = source.request.inputs[0].partition("/")[0]
        found = stored_range(table, run_id, storage_options)
        if found is None:
            raise _wrong(f"the range of run {run_id}", "none", f"run:{source.run_id}", "Its frames cannot be found again without.")
        source = found
    return source.request


def frames_of(request: ArchiveRequest, say: Callable[[str], None] = lambda _: None) -> FrameSource:
    """Sensors and sequences of some files.

    Raises:
        SettingsError: nothing there, or nothing that can be read.
    """
    found = find_inputs(paths_of(request), labels_of(request.options))
    for text in found.left_out:
        say(f"left out: {text}")
    return FrameSource(found.sequences, request.options.get("sensor"))


def request_of(inputs: tuple[str, ...], begin: str | None, end: str | None, options: Mapping[str, str]) -> ArchiveRequest:
    """The input as it is stored.

    Args:
        inputs: as given, at least one.
        begin: first offset or time, as given.
        end: exclusive end, likewise.
        options: what else was said of files.

    Raises:
        SettingsError: they do not go together.
    """
    runs = [each.removeprefix(RUN) for each in inputs if each.startswith(RUN)]
    if runs and len(inputs) > 1:
        raise _wrong("one run", f"{len(inputs)} inputs", ", ".join(inputs), "Reprocess each under a run id of its own.")
    if runs:
        if options:
            raise _wrong("no options of files", f"--{min(options).replace('_', '-')}", inputs[0], "Leave it out.")
        return ArchiveRequest(kind="run", inputs=tuple(runs), begin=begin, end=end)
    topics = [each.removeprefix(TOPIC) for each in inputs if each.startswith(TOPIC) or _is_topic(each)]
    if topics and len(inputs) > 1:
        raise _wrong("one topic", f"{len(inputs)} inputs", ", ".join(inputs), "Reprocess each under a run id of its own.")
    if topics:
        if options:
            raise _wrong("options of a topic (--from, --to)", f"--{min(options).replace('_', '-')}", inputs[0], "Leave it out.")
        return ArchiveRequest(kind="topic", inputs=tuple(topics), begin=begin, end=end)
    if begin or end:
        raise _wrong("--from and --to with a topic", "files", inputs[0], f"Leave them out, or write {TOPIC}NAME.")
    paths = tuple(well_formed(os.path.abspath(each)) for each in inputs)  # noqa: PTH100 - a link keeps its name
    name = options.get("name") or Path(os.path.abspath(inputs[0])).name  # noqa: PTH100
    said = {key: well_formed(value) for key, value in options.items()}
    return ArchiveRequest(kind="files", inputs=paths, options=said | {"name": _NAME.sub("_", name)})


def paths_of(request: ArchiveRequest) -> list[Path]:
    """The inputs of files as the file system knows them: bytes of a name that are no UTF-8 are stored as backslash escapes."""
    return [
        Path(each) if Path(each).exists() else Path(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), each)) for each in request.inputs
    ]


def _is_topic(text: str) -> bool:
    """A name that Kafka takes, that no file has, and that is not meant for one."""
    return re.fullmatch(r"[A-Za-z0-9._-]{1,249}", text) is not None and not Path(text).exists() and Path(text).suffix not in _OF_FILES


def _stored(settings: AppSettings) -> ArchiveRange:
    storage_options = settings.sink.plain_storage_options()
    stored = stored_range(open_results(settings.sink.table, storage_options), settings.run_id, storage_options)
    if stored is None:
        raise _wrong(
            "an input", "none", "INPUT", f"No run {settings.run_id} of an archive was begun in {settings.sink.table}: say what to read."
        )
    return stored


def _stored_request(settings: AppSettings, begin: str | None, end: str | None, options: Mapping[str, str]) -> ArchiveRequest:
    if begin or end or options:
        raise _wrong("no options without an input", "some", "INPUT", "Leave them out: the stored range has its own.")
    return _stored(settings).request


def labels_of(options: Mapping[str, str]) -> Labels:
    """Labels as they are stored with a range. Frames of videos travel as they are: nothing is won by encoding them.

    Raises:
        SettingsError: a value that is none.
    """
    try:
        return Labels(
            platform=Platform(options["platform"]) if "platform" in options else None,
            band=Band(options["band"]) if "band" in options else None,
            bit_depth=int(options["bit_depth"]) if "bit_depth" in options else None,
            content_type=ContentType.RAW,
            split=options.get("split"),
            nodata=nodata_values(options["nodata"]) if "nodata" in options else (),
            as_picture=options.get("as") == "picture",
        )
    except ValueError as error:
        raise _wrong("values of the options", str(error), "reprocess", "Correct them.") from error


def _open_files(asked: Asked, settings: AppSettings, say: Callable[[str], None]) -> Archive:
    options, roots = asked.request.options, paths_of(asked.request)
    source = frames_of(asked.request, say)

    def on_file(num: int) -> None:
        if num % _EVERY_FILES == 0:
            say(f"{counted(num, 'file')} looked at")

    return open_file_archive(asked, options["name"], source, roots, settings.sink, on_file)


def _wrong(expected: str, got: str, where: str, action: str) -> SettingsError:
    return SettingsError(expected=expected, got=got, where=where, action=action)
