"""Bodies of requests: bounded, and JSON objects only."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

_MOST_BODY_BYTES = 64 * 1024


async def body_of(request: Request) -> bytes:
    """The body of a request, within bounds.

    Raises:
        HTTPException: it is too large.
    """
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BODY_BYTES:
                raise HTTPException(413, f"expected at most {_MOST_BODY_BYTES} bytes")
    except ClientDisconnect:
        return b""
    return body


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object in a request.

    Raises:
        HTTPException: it is none.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "expected content-type application/json")
    try:
        found = json.loads(await body_of(request))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "expected JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found
