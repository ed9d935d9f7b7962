"""Guards every answer of the page: who may see it (a token, then a cookie), from where, and what a browser may do with it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = ("/static/", "/login")
_YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Gate:
    """Rule for who may come in.

    Attributes:
        token: that lets in; None: everybody who uses this machine.
        secure: the page is served by https.
        port: cookies are shared between ports, so their name has it.
    """

    token: str | None
    secure: bool
    port: int

    @property
    def cookie_name(self) -> str:
        """Name of the cookie that stands for the token."""
        return f"irstream-view-{self.port}"

    @property
    def _pass(self) -> str:
        return hmac.new((self.token or "").encode(), b"irstream view", hashlib.sha256).hexdigest()

    def knows(self, token: str) -> bool:
        """True for the token."""
        return self.token is None or hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode())

    def set_cookie(self) -> str:
        """Header for somebody who gave the token."""
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie_name}={self._pass}; Path=/; HttpOnly; SameSite=Lax; Max-Age={_YEAR_S}{secure}"

    def admits(self, headers: dict[str, str]) -> bool:
        """True for a request with the cookie, or with the token in `Authorization: Bearer`."""
        if self.token is None:
            return True
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows(value.strip()):
            return True
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._pass.encode())

    def refuses_host(self, headers: dict[str, str]) -> bool:
        """True where anybody may come in, but the name that was asked for is not this machine's: another site's page may be behind it."""
        return self.token is None and (urlsplit(f"//{headers.get('host', '')}").hostname or "") not in _LOOPBACK

    def refuses_origin(self, headers: dict[str, str]) -> bool:
        """True for a request that the page of another site makes a browser send."""
        origin = headers.get("origin")
        if origin is not None:
            return urlsplit(origin).netloc != headers.get("host", "")
        return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


class Guard:
    """The application behind the gate."""

    def __init__(self, app: App, gate: Gate) -> None:
        """Guard an application.

        Args:
            app: ASGI.
            gate: the rule.
        """
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path, gate = scope["path"], self._gate
        if gate.refuses_host(headers):
            await _answer(send, 421, b"Without a token this page answers to the names of this machine only: 127.0.0.1 or localhost.\n")
        elif scope["method"] not in ("GET", "HEAD") and gate.refuses_origin(headers):
            await _answer(send, 403, b"Another site may not ask for this.\n")
        elif path == "/" and (token := parse_qs(scope["query_string"].decode("latin-1")).get("token")):
            if gate.knows(token[0]):
                await _answer(send, 303, b"", location="/", set_cookie=gate.set_cookie())
            else:
                await _answer(send, 303, b"", location="/login?wrong=1")
        elif path.startswith(_OPEN) or gate.admits(headers):
            await self._app(scope, receive, _with_headers(send))
        elif path == "/":
            await _answer(send, 303, b"", location="/login")
        else:
            await _answer(send, 401, b"The token is missing or wrong: open the address that `irstream view` has printed.\n")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            message = {**message, "headers": [*message["headers"], *(each for each in _HEADERS if each[0] not in own)]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, body: bytes, **headers: str) -> None:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain; charset=utf-8"), *named]}
    await _with_headers(send)(start)
    await send({"type": "http.response.body", "body": body})
