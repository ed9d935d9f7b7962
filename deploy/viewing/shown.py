"""Rows, tracks and events as the page shows them: plain values for JSON. All text in them is text of strangers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import cv2
import numpy as np

from contracts.result import KEPT_BESIDE, DeadLetter, Detection, FrameResult
from evaluation.drawing import decode_mask
from pipeline.events.targets import TargetMessage

Point = tuple[float, float]
_MOST_TEXT = 300
_MOST_OUTLINED = 64


def shown_row(result: FrameResult) -> dict[str, Any]:
    """A row, for drawing over its frame."""
    return {
        "position": str(result.position),
        "sensor_id": text(result.sensor_id),
        "captured_at": seconds(result.captured_at),
        "width_px": result.width_px,
        "height_px": result.height_px,
        "detections": shown_detections(result),
        "tails": [],
    }


def shown_detections(result: FrameResult) -> list[dict[str, Any]]:
    """The detections of a row, in its order; coordinates are pixel edges of the sensor's frame."""
    return [
        {
            "index": index,
            "label": text(each.label),
            "score": number(each.score),
            "label_score": number(each.label_score),
            "box": [number(edge) for edge in (each.x_min_px, each.y_min_px, each.x_max_px, each.y_max_px)],
            "centroid": [number(each.centroid_x_px), number(each.centroid_y_px)],
            "outlines": outlines(each, result) if index < _MOST_OUTLINED else [],
            "track_id": None if each.track_id is None else text(each.track_id),
            "track_age_s": number(each.track_age_s),
            "speed_px_s": number(each.speed_px_s),
            "speed_m_s": number(each.speed_m_s),
            "scr": number(each.scr),
            "suppressed_by": None if each.suppressed_by is None else text(each.suppressed_by),
            "found_by": list(each.found_by),
        }
        for index, each in enumerate(result.detections)
        if each.suppressed_by not in KEPT_BESIDE
    ]


def outlines(detection: Detection, result: FrameResult) -> list[list[Point]]:
    """Edges of the mask as closed lines through pixel edges; none where the row has no mask, or a damaged one."""
    if detection.mask_rle is None:
        return []
    left, top = max(0, math.floor(detection.x_min_px) - 1), max(0, math.floor(detection.y_min_px) - 1)
    try:
        mask_HW = decode_mask(detection.mask_rle, result.height_px, result.width_px)
    except (ValueError, TypeError, MemoryError):
        return []
    part_HW = mask_HW[top : math.ceil(detection.y_max_px) + 1, left : math.ceil(detection.x_max_px) + 1]
    if not part_HW.any():
        return []
    # Twice as large, so that the outline of a pixel runs around it and not through its middle.
    large_HW = np.repeat(np.repeat(part_HW.astype(np.uint8), 2, axis=0), 2, axis=1)
    found, _ = cv2.findContours(large_HW, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [[_edge(x, y, left, top) for x, y in contour[:, 0].tolist()] for contour in found]


def _edge(x: int, y: int, left: int, top: int) -> Point:
    return left + (x + x % 2) / 2, top + (y + y % 2) / 2


def shown_event(event: TargetMessage) -> dict[str, Any]:
    """An event of a target."""
    return {
        "id": text(event.id),
        "event": event.event.removeprefix("target."),
        "sensor_id": text(event.sensor_id),
        "track_id": text(event.track_id),
        "label": text(event.label),
        "label_score": number(event.label_score),
        "score": number(event.score),
        "first_seen_at": seconds(event.first_seen_at),
        "last_seen_at": seconds(event.last_seen_at),
        "age_s": number(event.age_s),
        "num_seen": event.num_seen,
        "position": f"{text(event.topic)}/{event.partition}/{event.last_offset}",
        "best": text(event.best.id),
    }


def shown_rejection(letter: DeadLetter) -> dict[str, Any]:
    """A message that could not be used."""
    return {
        "position": str(letter.position),
        "sensor_id": None if letter.sensor_id is None else text(letter.sensor_id),
        "reason": letter.reason.value,
        "detail": text(letter.detail),
        "ingested_at": seconds(letter.ingested_at),
    }


def shown_tails(tails: Mapping[str, Sequence[Point]]) -> list[dict[str, Any]]:
    """Ways of tracks, oldest point first."""
    return [{"id": text(name), "points": [[number(x), number(y)] for x, y in points]} for name, points in tails.items()]


def number(value: float | None) -> float | None:
    """A number that JSON knows; None for NaN and infinity."""
    return round(float(value), 3) if value is not None and math.isfinite(value) else None


def seconds(moment: datetime | None) -> float | None:
    """Unix seconds."""
    return None if moment is None else round(moment.timestamp(), 3)


def text(value: str) -> str:
    """Text of others, at most so long and valid in UTF-8; escaping is the page's business, which sets text and never markup."""
    return value[:_MOST_TEXT].encode("utf-8", "backslashreplace").decode()
