"""Tracks in rows of results, beside the true ones of their clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.arrow import RESULTS_SCHEMA, table_to_outcomes
from contracts.dataset_index import TRACKS_NAME, read_tracks
from contracts.errors import SettingsError
from contracts.result import Detection, FrameResult, label_of
from evaluation.tracks import TrackedFrame
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.tracker import PERSISTENCE, PartitionTracks

_Boxes = tuple[tuple[float, float, float, float], ...]


def read_rows(path: Path) -> list[FrameResult]:
    """The frames that networks have seen, in the order of each partition.

    Args:
        path: a Parquet with columns of the results table, a folder of such files, or a results table.

    Raises:
        SettingsError: there are none.
    """
    if (path / "_delta_log").is_dir():
        from pipeline.table.delta import open_results

        tables = [open_results(str(path), {}).to_pyarrow_dataset().to_table()]
    else:
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
        tables = [_read(file) for file in files]
    results = [each for table in tables for each in table_to_outcomes(table) if isinstance(each, FrameResult)]
    if not results:
        raise SettingsError(
            expected="rows of frames: a Parquet of irstream predict, a folder of some, or a results table",
            got="none",
            where=str(path),
            action="Make some: irstream predict clip.mp4 --out predictions.",
        )
    return sorted(results, key=lambda result: result.position)


def tracked_again(results: Iterable[FrameResult], settings: TrackSettings, label_min_score: float) -> list[FrameResult]:
    """The rows with tracks made anew; what they say of tracks is forgotten, labels of frames are made of their class scores."""
    trackers: dict[str, PartitionTracks] = {}
    again = []
    for result in results:
        partition = result.position.topic_partition
        tracks = trackers.setdefault(str(partition), PartitionTracks(partition, settings, label_min_score))
        frame = replace(result, detections=tuple(_of_one_frame(each, label_min_score) for each in result.detections))
        again.append(tracks.advance(frame)[0])
    return again


def _of_one_frame(detection: Detection, label_min_score: float) -> Detection:
    if not detection.class_scores:
        return detection
    label, label_score = label_of(detection.class_scores, label_min_score)
    hidden_by = None if detection.suppressed_by == PERSISTENCE else detection.suppressed_by
    return replace(
        detection,
        label=label,
        label_score=label_score,
        suppressed_by=hidden_by,
        track_id=None,
        track_age_s=None,
        speed_px_s=None,
        speed_m_s=None,
    )


def true_boxes(path: Path) -> dict[str, _Boxes]:
    """Boxes of the true targets of each frame, by the frame's name within its input (`clip/17`), pixel edges.

    Args:
        path: `tracks.jsonl`, or the folder that it is in.

    Raises:
        SettingsError: it cannot be read, or a line is not what it should be.
    """
    boxes: dict[str, _Boxes] = {}
    for clip in read_tracks(path / TRACKS_NAME if path.is_dir() else path):
        for number, box in enumerate(clip.boxes_xywh_px):
            edges = () if box is None else ((box[0], box[1], box[0] + box[2], box[1] + box[3]),)
            boxes[f"{Path(clip.video).stem}/{number}"] = edges
    return boxes


def clips_of(results: Iterable[FrameResult], truth: Mapping[str, _Boxes]) -> dict[str, list[TrackedFrame]]:
    """Frames of each sensor whose truth is known; detections that a filter suppresses are not there."""
    clips: dict[str, list[TrackedFrame]] = {}
    for result in results:
        boxes = truth.get(result.headers.get("item", ""))
        if boxes is None:
            continue
        tracked = [each for each in result.shown if each.track_id is not None]
        edges = [(each.x_min_px, each.y_min_px, each.x_max_px, each.y_max_px) for each in tracked]
        clips.setdefault(result.sensor_id, []).append(
            TrackedFrame(
                tuple(range(len(boxes))),
                np.array(boxes, np.float32).reshape(-1, 4),
                tuple(each.track_id for each in tracked),
                np.array(edges, np.float32).reshape(-1, 4),
                tuple(each.label for each in tracked),
            )
        )
    return clips


def _read(file: Path) -> pa.Table:
    table = pq.read_table(file)
    missing = [field.name for field in RESULTS_SCHEMA if not field.nullable and field.name not in table.column_names]
    if missing:
        raise SettingsError(
            expected="columns of the results table",
            got=f"no {', '.join(missing[:3])}",
            where=str(file),
            action="Name a Parquet of irstream predict.",
        )
    return table
