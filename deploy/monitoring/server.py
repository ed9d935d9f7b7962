"""`/metrics`, `/healthz` and `/readyz` of one stream, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.monitoring.health import Health, Verdict
from observability.exporter import CONTENT_TYPE, ScrapedMeter

_GOOD, _BAD = 200, 503


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Answers that a server gives.

    Attributes:
        address: `127.0.0.1:9464`; empty where nothing is served.
    """

    meter: ScrapedMeter
    health: Health
    address: str = ""


@contextmanager
def monitoring(host: str, port: int | None, stall_s: float, say: Callable[[str], None]) -> Iterator[Monitoring]:
    """Serve while the block runs. A port that is taken is said, and is no reason not to stream.

    Args:
        host: address to listen on.
        port: 0 for a free one, None for none.
        stall_s: see `Health`.
        say: takes a line.
    """
    meter, health = ScrapedMeter(), Health(stall_s)
    server = None
    if port is not None:
        try:
            server = ThreadingHTTPServer((host, port), _handler(meter, health))
        except OSError as error:
            reason = error.strerror or str(error)
            say(f"metrics: none are served: {host}:{port}: {reason}; set metrics.port to another one, 0 for any, none for none")
    if server is None:
        yield Monitoring(meter, health)
        return
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield Monitoring(meter, health, f"{host}:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(meter: ScrapedMeter, health: Health) -> type[BaseHTTPRequestHandler]:
    def verdict(found: Verdict) -> tuple[int, str, bytes]:
        return _GOOD if found.good else _BAD, "text/plain; charset=utf-8", f"{found.why}\n".encode()

    pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
        "/metrics": lambda: (_GOOD, CONTENT_TYPE, meter.text()),
        "/healthz": lambda: verdict(health.live()),
        "/readyz": lambda: verdict(health.ready()),
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers GET of the three pages."""

        timeout = 30.0  # whoever connects and says nothing holds a thread no longer

        def do_GET(self) -> None:
            """Answer."""
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self.send_error(404, f"expected one of {', '.join(pages)}")
                return
            status, kind, content = page()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    return Handler
