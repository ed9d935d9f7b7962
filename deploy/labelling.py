"""A data set from the results table: frames fetched again by position, labelled by what was found in them and by what people said."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.codecs import decode_pixels, encode_pixels, nodata_of
from contracts.errors import RejectRecord, SettingsError
from contracts.frame import ContentType, RawRecord
from contracts.limits import InputLimits
from contracts.message import parse_record
from contracts.position import KafkaPosition
from deploy.settings.app_settings import AppSettings
from pipeline.ops.refetch import FrameLog, KafkaLog, RowChoice, chosen_rows, fetch_again
from pipeline.table.delta import open_results
from pipeline.table.results_table import ResultsTable
from training.data.importing import ImportReport, SetWriter, mixed
from training.data.labelled_frame import LabelledFrame
from training.data.near_duplicates import thumbnail_of
from training.data.pseudo_labels import LabelRule, PseudoLabels, Verdict, pseudo_labels
from training.data.sources.annotation import RefusedAnnotation

_ARCHIVE = "archive:"
Verdicts = Mapping[KafkaPosition, Mapping[int | None, Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequest:
    """A data set that is wanted.

    Attributes:
        name: of the set.
        licence: as stated.
        choice: rows.
        rule: scores that decide.
        verdicts: of people, by position.
        empty: frames without any target or doubt, as background; at most so many.
        limit: frames in all; None: all of them.
        scene_s: frames of one sensor within so many seconds are one scene, which folds keep together.
    """

    name: str
    licence: str
    choice: RowChoice
    rule: LabelRule
    verdicts: Verdicts
    empty: int = 0
    limit: int | None = None
    scene_s: float = 600.0

    def plain(self, settings: AppSettings) -> dict[str, Any]:
        """All that decides about the data set, as JSON holds it."""
        said = sorted(
            (str(place), sorted((str(at), each.word, each.label) for at, each in by.items())) for place, by in self.verdicts.items()
        )
        return {
            "format": "results",
            "source": settings.sink.table,
            "dataset": self.name,
            "defaults": {
                "run_id": settings.run_id,
                "licence": self.licence,
                "sensors": list(self.choice.sensors),
                "since": None if self.choice.since is None else self.choice.since.isoformat(),
                "until": None if self.choice.until is None else self.choice.until.isoformat(),
                "accept": self.rule.accept,
                "doubt": self.rule.doubt,
                "verdicts": hashlib.sha256(repr(said).encode()).hexdigest(),
                "empty": self.empty,
                "limit": self.limit,
                "scene_s": self.scene_s,
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    row: Mapping[str, Any]
    labels: PseudoLabels


def set_from_results(
    settings: AppSettings,
    out: Path,
    request: SetRequest,
    report: Callable[[int, int], None] = lambda done, of: None,
    log: FrameLog | None = None,
) -> ImportReport:
    """Write a data set in Parquet; the same request goes on where it was killed.

    Args:
        settings: table, run and Kafka.
        out: folder.
        request: what is wanted.
        report: gets frames fetched, and all.
        log: None: Kafka as the settings say.

    Raises:
        SettingsError: no table, no row that is wanted, a verdict about a frame that is none, or a folder with something else.
        StopPipeline: a topic was deleted and created again: its offsets mean other frames.
        RetryLater: Kafka or the object store does not answer.
    """
    wanted = _wanted(settings, request)
    if not wanted:
        raise SettingsError(
            expected="rows of frames with targets",
            got="none",
            where=f"{settings.sink.table}, run {settings.run_id}",
            action="Choose others.",
        )
    writer = SetWriter(out, request.plain(settings))
    missing = {place: each for place, each in wanted.items() if str(place) not in writer.done}
    archived = [place for place in missing if place.topic.startswith(_ARCHIVE)]
    for place in archived:
        writer.refuse(str(place), RefusedAnnotation("not_in_kafka", "expected a frame in a topic, got one of files; import those"))
        del missing[place]
    frames = log or KafkaLog(settings.kafka)
    require_same_topics(settings, frames, missing)
    done = len(wanted) - len(missing)
    for record in fetch_again(frames, list(missing)):
        try:
            writer.add(_labelled(record, missing[record.position], request, settings.preprocess))
        except RefusedAnnotation as refusal:
            writer.refuse(str(record.position), refusal)
        del missing[record.position]
        done += 1
        report(done, len(wanted))
    for place in missing:
        writer.refuse(str(place), RefusedAnnotation("gone", "expected a message in Kafka, got none: retention has deleted it"))
    return writer.finish()


class _Chosen:
    """Some frames, at most so many: those with the lowest hashes, so that they are spread over the rows."""

    def __init__(self, most: int | None) -> None:
        self._most, self._heap = most, list[tuple[int, KafkaPosition, _Wanted]]()

    def add(self, place: KafkaPosition, wanted: _Wanted) -> None:
        heapq.heappush(self._heap, (-int(mixed(str(place)), 16), place, wanted))
        if self._most is not None and len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def in_order(self) -> list[tuple[KafkaPosition, _Wanted]]:
        return [(place, wanted) for _, place, wanted in sorted(self._heap, key=lambda each: -each[0])]


def _wanted(settings: AppSettings, request: SetRequest) -> dict[KafkaPosition, _Wanted]:
    """Rows with their labels: those people have seen first, then those with targets or doubts, then so many of nothing."""
    table = open_results(settings.sink.table, settings.sink.plain_storage_options())
    empty = request.empty if request.limit is None else min(request.empty, request.limit)
    seen, found, nothing, unmet = _Chosen(request.limit), _Chosen(request.limit), _Chosen(empty), set(request.verdicts)
    for row in chosen_rows(table, settings.run_id, request.choice):
        place, verdicts = row["position"], request.verdicts.get(row["position"], {})
        unmet.discard(place)
        _require_numbers(place, row, verdicts)
        labels = pseudo_labels(row["detections"], (row["height_px"], row["width_px"]), request.rule, verdicts)
        if labels is not None:
            (seen if verdicts else found if labels.labels else nothing).add(place, _Wanted(row, labels))
    if unmet:
        raise SettingsError(
            expected="corrections of frames that are chosen",
            got=f"{len(unmet)} of others, such as {min(unmet)}",
            where="corrections",
            action="Choose their sensors and times too, or take them out.",
        )
    return dict([*seen.in_order(), *found.in_order(), *nothing.in_order()][: request.limit])


def _require_numbers(place: KafkaPosition, row: Mapping[str, Any], verdicts: Mapping[int | None, Verdict]) -> None:
    wrong = [number for number in verdicts if number is not None and not 0 <= number < len(row["detections"])]
    if wrong:
        raise SettingsError(
            expected=f"a detection 0 to {len(row['detections']) - 1} of {place}" if row["detections"] else f"no detection of {place}",
            got=str(wrong[0]),
            where="corrections",
            action="Correct the number: it is the place in the row's detections.",
        )


def require_same_topics(settings: AppSettings, log: FrameLog, places: Iterable[KafkaPosition]) -> None:
    """Make sure that positions still mean the frames of the rows.

    Raises:
        StopPipeline: a topic was deleted and created again.
    """
    partitions: dict[str, set[int]] = {}
    for place in places:
        partitions.setdefault(place.topic, set()).add(place.partition)
    if not partitions:
        return
    results = ResultsTable(settings.sink.table, settings.run_id, settings.sink.plain_storage_options())
    results.open_or_create()
    for topic, numbers in partitions.items():
        results.require_topic(topic, log.topic_id(topic), numbers)


def _labelled(record: RawRecord, wanted: _Wanted, request: SetRequest, limits: InputLimits) -> LabelledFrame:
    """The frame of a message with its labels.

    Raises:
        RefusedAnnotation: it cannot be decoded any more, or has another size than its row says.
    """
    try:
        meta = parse_record(record, limits)
        value = bytes(record.value or b"")
        pixels_HW, bit_depth = decode_pixels(value, meta, limits)
        nodata = nodata_of(value, meta)
    except RejectRecord as error:
        raise RefusedAnnotation(error.reason.value, error.detail) from error
    row, labels, place = wanted.row, wanted.labels, str(record.position)
    if pixels_HW.shape != (row["height_px"], row["width_px"]):
        raise RefusedAnnotation(
            "size_mismatch", f"expected {row['width_px']} x {row['height_px']} px as in the row, got {pixels_HW.shape[::-1]}"
        )
    content_type = meta.content_type
    if content_type is ContentType.RAW:
        content_type = ContentType.NPY if pixels_HW.dtype == np.float32 else ContentType.PNG
        value = encode_pixels(pixels_HW, content_type)
    return LabelledFrame(
        sample_id=place,
        dataset=request.name,
        source_file=place,
        licence=request.licence,
        image=value,
        image_sha256=hashlib.sha256(value).hexdigest(),
        content_type=str(content_type),
        width_px=row["width_px"],
        height_px=row["height_px"],
        bit_depth=bit_depth,
        nodata=nodata,
        platform=meta.platform,
        band=meta.band,
        group_id=f"{meta.sensor_id}/{int(meta.captured_at.timestamp() // request.scene_s)}",
        split=None,
        mask_rle=labels.mask_rle,
        boxes_xyxy_px=labels.boxes_xyxy_px,
        labels=labels.labels,
        boxes_drawn=True,
        thumbnail=thumbnail_of(pixels_HW),
        extra={
            "sensor_id": meta.sensor_id,
            "captured_at": meta.captured_at.isoformat(),
            "models": row["models"],
            "labelled": list(labels.origins),
        },
    )
