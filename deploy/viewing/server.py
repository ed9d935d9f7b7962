"""The page's application: its files, the stream of changes, frames, and what is known of one of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from contracts.errors import IrstreamError
from contracts.limits import InputLimits
from deploy.viewing.access import App, Gate, Guard
from deploy.viewing.asking import body_of, json_of
from deploy.viewing.past import Past, PastAnswers
from deploy.viewing.pictures import decode, packed
from deploy.viewing.shown import shown_row, shown_tails
from deploy.viewing.wall import Picture, Wall
from deploy.viewing.watcher import Watcher

STATIC = Path(__file__).parent / "static"
_PUSH_S, _ALIVE_S = 0.2, 10.0
_MOST_FRAMES, _MOST_ANSWER_BYTES = 100, 32 * 2**20
_SIDES_PX = (160, 320, 640, 1280, 4096)
_DECODERS = 2
_MOST_PAGES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """All that answers need.

    Attributes:
        wall: what is shown.
        watcher: reads while somebody looks.
        limits: of messages.
        gate: who may come in.
        about: said to the page once: run, topic, table, whether zones may be written.
        past: what is known of single rows and of former ones; None: nothing can be asked.
    """

    wall: Wall
    watcher: Watcher
    limits: InputLimits
    gate: Gate
    about: dict[str, Any]
    past: Past | None = None


def application(page: Page) -> App:
    """The ASGI application of a page."""
    answers = _Answers(page)
    routes = [
        Route("/", answers.index),
        Route("/login", answers.login, methods=["GET", "POST"]),
        Route("/api/about", answers.about),
        Route("/api/changes", answers.changes),
        Route("/api/frames", answers.frames, methods=["POST"]),
        *([] if page.past is None else PastAnswers(page.past, page.limits).routes()),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        answers.ended.set()
        await anyio.to_thread.run_sync(page.watcher.close)

    handlers = {HTTPException: _http_error, IrstreamError: _own_error}
    return Guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), page.gate)


class _Answers:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._decoders = anyio.CapacityLimiter(_DECODERS)
        self.ended = asyncio.Event()

    async def index(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def login(self, request: Request) -> Response:
        gate = self._page.gate
        if request.method == "GET":
            return FileResponse(STATIC / "login.html")
        token = parse_qs((await body_of(request)).decode("latin-1")).get("token", [""])[0].strip()
        if not gate.knows(token):
            return RedirectResponse("/login?wrong=1", 303)
        return RedirectResponse("/", 303, {"set-cookie": gate.set_cookie()})

    async def about(self, _: Request) -> Response:
        return JSONResponse(self._page.about)

    async def changes(self, request: Request) -> Response:
        """Server-sent events. Each says all that is newer than the one before, so a slow browser gets fewer, never older ones."""
        if self._page.watcher.num_watching >= _MOST_PAGES:
            raise HTTPException(503, f"{_MOST_PAGES} pages are open already: close one.")
        return StreamingResponse(self._pushed(request), media_type="text/event-stream")

    async def _pushed(self, request: Request) -> AsyncIterator[str]:
        wall, loop, said, said_at = self._page.wall, asyncio.get_running_loop(), 0, float("-inf")
        with self._page.watcher.watching():
            while not self.ended.is_set() and not await request.is_disconnected():
                if wall.version > said or loop.time() - said_at > _ALIVE_S or not said_at > 0:
                    found = wall.changes(said)
                    said, said_at = found["version"], loop.time()
                    yield f"data: {json.dumps(found, allow_nan=False)}\n\n"
                await asyncio.sleep(_PUSH_S)

    async def frames(self, request: Request) -> Response:
        """Newest pictures of sensors, but for those that the browser has: `{"side", "live", "want": [[key, version]]}`."""
        asked = await json_of(request)
        side_px = next((each for each in _SIDES_PX if each >= asked.get("side", 0)), _SIDES_PX[-1])
        try:
            want = [(int(key), int(version)) for key, version in asked["want"]][:_MOST_FRAMES]
        except (KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, "expected want: a list of [key, version]") from error
        answer = partial(self._frames, want, side_px, live=bool(asked.get("live")))
        return Response(await anyio.to_thread.run_sync(answer, limiter=self._decoders), media_type="application/octet-stream")

    def _frames(self, want: list[tuple[int, int]], side_px: int, *, live: bool) -> bytes:
        entries, num_bytes = [], 0
        for key, version in want:
            picture = self._page.wall.picture(key, live=live)
            if picture is None or picture.version <= version:
                continue
            about, pixels_HW = described(picture), None
            if picture.record is None:
                about["error"] = "no frame is held"
            elif isinstance(counts := decode(picture.record, self._page.limits, side_px), str):
                about["error"] = counts
            else:
                about |= counts.about
                pixels_HW = counts.pixels_HW
                num_bytes += pixels_HW.nbytes
            entries.append((about | {"key": key}, pixels_HW))
            if num_bytes > _MOST_ANSWER_BYTES:
                break
        return packed(entries)


def described(picture: Picture) -> dict[str, Any]:
    """Everything of a picture but its counts."""
    result = picture.result
    row = None if result is None else shown_row(result) | {"tails": shown_tails(picture.tails)}
    return {"version": picture.version, "position": None if picture.record is None else str(picture.record.position), "row": row}


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _own_error(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)
