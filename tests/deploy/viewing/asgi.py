"""Asks an ASGI application without a network."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from deploy.viewing.access import App, Message


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


def ask(app: App, path: str, body: Any = None, *, method: str = "", until: bytes | None = None, **headers: str) -> Answer:
    """One request; an answer without an end is left once its body holds `until`."""
    own = {"host": "127.0.0.1:8765", **({} if body is None else {"content-type": "application/json"})}
    named = own | {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method or ("GET" if body is None else "POST"),
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8765),
    }
    return asyncio.run(asyncio.wait_for(_ask(app, scope, content, until), 60))


async def _ask(app: App, scope: Message, content: bytes, until: bytes | None) -> Answer:
    answer, heard = Answer(), asyncio.Event()
    waiting = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await heard.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            if (until is not None and until in answer.body) or not message.get("more_body"):
                heard.set()

    await app(scope, receive, send)
    return answer
