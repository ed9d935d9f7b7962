"""The page's answers about single rows and former ones: a row and its way, a track as a strip, history by time, zones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.frame import Pixels, RawRecord
from contracts.limits import InputLimits
from contracts.position import KafkaPosition
from contracts.result import DeadLetter, FrameResult
from deploy.terminal.explain_view import explanation_lines
from deploy.viewing.asking import json_of
from deploy.viewing.history import Asked, History, sight_line, spread
from deploy.viewing.pictures import cut, decode, packed
from deploy.viewing.shown import shown_row, text
from deploy.viewing.zones import DrawnZone, ZoneEditor, effect
from pipeline.ops.explain import Explanation

_WHOLE_PX = 4096
_STRIP = 12
_MARGIN_PX = 12.0
_AT_ONCE = 2
_MOST_ROWS = 2_000
_MOST_HOURS = 24 * 31
_LISTED = 100


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Sources of the answers.

    Attributes:
        history: the results table.
        zones: the settings file.
        explain: all that is known of a position.
        fetch: messages at some positions, those that are there.
        may_write: whether zones may be written.
    """

    history: History
    zones: ZoneEditor
    explain: Callable[[KafkaPosition], Explanation]
    fetch: Callable[[Sequence[KafkaPosition]], Mapping[KafkaPosition, RawRecord]]
    may_write: bool


class PastAnswers:
    """Answers to what is asked now and then; each works in a thread, two at a time."""

    def __init__(self, past: Past, limits: InputLimits) -> None:
        """Nothing is asked yet.

        Args:
            past: sources.
            limits: of messages.
        """
        self._past, self._limits = past, limits
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)

    def routes(self) -> list[Route]:
        """Paths and their answers."""
        return [
            Route("/api/row", self._row),
            Route("/api/track", self._track),
            Route("/api/history", self._history),
            Route("/api/zones", self._zones),
            Route("/api/zones/preview", self._preview, methods=["POST"]),
            Route("/api/zones/write", self._write, methods=["POST"]),
        ]

    async def _row(self, request: Request) -> Response:
        position = position_of(request.query_params.get("position", ""))
        return await self._binary(partial(self._row_of, position))

    def _row_of(self, position: KafkaPosition) -> bytes:
        """The row, its way as `irstream explain` says it, and its frame."""
        found = self._past.explain(position)
        outcome = found.outcome
        about: dict[str, Any] = {"position": str(position), "row": shown_row(outcome) if isinstance(outcome, FrameResult) else None}
        pixels_HW: Pixels | None = None
        counts = "The message is not in Kafka any more." if found.message is None else decode(found.message, self._limits, _WHOLE_PX)
        if isinstance(counts, str):
            about["error"] = counts
        else:
            about |= counts.about
            pixels_HW = counts.pixels_HW
        sensor = outcome.sensor_id if isinstance(outcome, FrameResult | DeadLetter) else None
        lines = [[name, text(words)] for name, words in explanation_lines(found)]
        return packed([(about, pixels_HW)], lines=lines, sensor_id=None if sensor is None else text(sensor))

    async def _track(self, request: Request) -> Response:
        asked = request.query_params
        at, sensor_id, track_id = position_of(asked.get("at", "")), asked.get("sensor", ""), asked.get("id", "")
        return await self._binary(partial(self._track_of, at, sensor_id, track_id))

    def _track_of(self, at: KafkaPosition, sensor_id: str, track_id: str) -> bytes:
        """All sights of a track, and pictures of some of them, cut out around the target."""
        sights = self._past.history.sights(track_id, sensor_id, at)
        chosen = list(spread(sights, _STRIP))
        messages = self._past.fetch([each.result.position for each in chosen])
        entries: list[tuple[dict[str, Any], Pixels | None]] = []
        for each in chosen:
            found = each.detection
            about = sight_line(each)
            box = (found.x_min_px, found.y_min_px, found.x_max_px, found.y_max_px)
            message = messages.get(each.result.position)
            counts = "not in Kafka any more" if message is None else decode(message, self._limits, _WHOLE_PX)
            if isinstance(counts, str):
                entries.append((about | {"error": counts}, None))
                continue
            part_HW, (left, top) = cut(counts.pixels_HW, box, _MARGIN_PX)
            height, width = part_HW.shape
            sizes = {"width": width, "height": height, "width_px": width, "height_px": height}
            place = [box[0] - left, box[1] - top, box[2] - left, box[3] - top]
            entries.append((about | counts.about | sizes | {"box": place}, part_HW))
        return packed(entries, sights=[sight_line(each) for each in sights])

    async def _history(self, request: Request) -> Response:
        asked = request.query_params
        try:
            hours = float(asked.get("hours", "1"))
            until = datetime.fromtimestamp(float(asked["until"]), UTC) if "until" in asked else datetime.now(UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise HTTPException(400, "expected hours and until (Unix seconds) as numbers") from error
        if not 0 < hours <= _MOST_HOURS:
            raise HTTPException(400, f"expected hours above 0, at most {_MOST_HOURS}")
        only, since = asked.get("only", "all"), until - timedelta(hours=hours)
        stretch = Asked(sensor_id=asked.get("sensor"), since=since, until=until, only=only, limit=_LISTED)
        return await self._json(partial(self._past.history.timeline, stretch))

    async def _zones(self, request: Request) -> Response:
        sensor_id = request.query_params.get("sensor", "")
        return await self._json(lambda: {"zones": self._zones_of(sensor_id), "may_write": self._past.may_write})

    def _zones_of(self, sensor_id: str) -> list[dict[str, Any]]:
        zones = self._past.zones.zones(sensor_id)
        return [
            {
                "name": text(name),
                "effect": zone.effect,
                "is_fraction": zone.is_fraction,
                "corners": [list(corner) for corner in zone.corners],
            }
            for name, zone in zones.items()
        ]

    async def _preview(self, request: Request) -> Response:
        asked = await json_of(request)
        num = asked.get("rows", 500)
        if not isinstance(num, int) or not 1 <= num <= _MOST_ROWS:
            raise HTTPException(400, f"expected rows of 1 to {_MOST_ROWS}")
        return await self._json(partial(self._preview_of, asked, num))

    def _preview_of(self, asked: dict[str, Any], num: int) -> dict[str, Any]:
        drawn, zones = DrawnZone.read(asked), self._past.zones
        now, then = zones.alerts(drawn.sensor_id), zones.with_zone(drawn)
        found = effect(self._past.history.last_results(drawn.sensor_id, num), now, then)
        return asdict(found) | zones.proposal(drawn)

    async def _write(self, request: Request) -> Response:
        if not self._past.may_write:
            raise HTTPException(403, "This page may not write settings: view.may_write is false.")
        asked = await json_of(request)
        if asked.get("confirm") is not True:
            raise HTTPException(400, "expected confirm: true")
        return await self._json(partial(self._write_of, asked))

    def _write_of(self, asked: dict[str, Any]) -> dict[str, Any]:
        file = self._past.zones.write(DrawnZone.read(asked), str(asked.get("digest")))
        return {"file": str(file)}

    async def _binary(self, work: Callable[[], bytes]) -> Response:
        return Response(await anyio.to_thread.run_sync(work, limiter=self._limiter), media_type="application/octet-stream")

    async def _json(self, work: Callable[[], Any]) -> Response:
        return JSONResponse(await anyio.to_thread.run_sync(work, limiter=self._limiter))


def position_of(words: str) -> KafkaPosition:
    """A position as `topic/partition/offset`.

    Raises:
        HTTPException: it is none.
    """
    try:
        return KafkaPosition.parse(words)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
