"""Opens the page on an address: token, TLS, feeds, server."""

from __future__ import annotations

import os
import secrets
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from contracts.errors import SettingsError
from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from deploy.archives.frames import FrameFinder
from deploy.settings.app_settings import AppSettings, LoadedSettings
from deploy.settings.view import LEAST_TOKEN, ViewSettings
from deploy.viewing.access import Gate
from deploy.viewing.history import History
from deploy.viewing.kafka_tail import KafkaTail
from deploy.viewing.past import Past
from deploy.viewing.server import Page, application
from deploy.viewing.table_rows import TableRows
from deploy.viewing.wall import Wall
from deploy.viewing.watcher import Watcher
from deploy.viewing.zones import ZoneEditor
from pipeline.ops.explain import Explanation, explain
from pipeline.ops.refetch import KafkaLog, fetch_again
from pipeline.table.delta import open_results

_FRAMES_BACKLOG, _FRAMES_BEHIND, _EVENTS_BACKLOG = 64, 256, 200
_GRACE_S = 1
_LOCAL = ("127.0.0.1", "localhost", "::1")
_POLITE = 10


def serve(load: Callable[[], LoadedSettings], config: Path | None, opened: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        load: the settings as they are now: where Kafka and the table are, and the page's own.
        config: the settings file that was asked for; zones are written there.
        opened: told the address with the token, once it can be opened.

    Raises:
        SettingsError: address, token or certificate cannot be used.
    """
    settings = load().settings
    view = settings.view
    token = token_of(view)
    context = _certificate(view)
    listener = _listen(view)
    port = int(listener.getsockname()[1])
    page = page_of(settings, Gate(token, context is not None, port), ZoneEditor(load, config))
    # On the machine of a stream the stream goes first.
    os.nice(_POLITE)
    config = uvicorn.Config(
        application(page),
        access_log=False,  # it would hold the token of the first address
        log_level="warning",
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=view.tls_certificate_file,
        ssl_keyfile=view.tls_key_file,
    )
    scheme, host = "https" if context else "http", view.host if view.host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104 - compared
    opened(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/{f'?token={token}' if token else ''}")
    uvicorn.Server(config).run(sockets=[listener])


def page_of(settings: AppSettings, gate: Gate, zones: ZoneEditor) -> Page:
    """The page of a stream; nothing is connected before somebody looks."""
    view, kafka, sink = settings.view, settings.kafka, settings.sink
    wall = Wall(settings.run_id, settings.preprocess, view.max_sensors, view.frames_bytes)
    watcher = Watcher(
        wall,
        lambda: KafkaTail(kafka, [kafka.topic], _FRAMES_BACKLOG, _FRAMES_BEHIND),
        None if sink.alerts == "off" else lambda: KafkaTail(kafka, [kafka.alerts_topic], _EVENTS_BACKLOG),
        TableRows(sink.table, sink.plain_storage_options(), settings.run_id, kafka.topic),
    )
    about = {"run_id": settings.run_id, "topic": kafka.topic, "table": sink.table, "may_write": view.may_write}
    return Page(wall, watcher, settings.preprocess, gate, about, _past(settings, zones))


def _past(settings: AppSettings, zones: ZoneEditor) -> Past:
    run_id, sink = settings.run_id, settings.sink

    def explained(position: KafkaPosition) -> Explanation:
        results = open_results(sink.table, sink.plain_storage_options())
        finder = FrameFinder(settings, results)
        return explain(settings.kafka, results, run_id, position, lambda each: finder.message(run_id, each))

    def fetch(positions: Sequence[KafkaPosition]) -> dict[KafkaPosition, RawRecord]:
        # A log of its own each time: a topic that is created again has another id.
        return {each.position: each for each in fetch_again(KafkaLog(settings.kafka), positions)}

    history = History(sink.table, sink.plain_storage_options(), run_id)
    return Past(history, zones, explained, fetch, settings.view.may_write)


def token_of(view: ViewSettings) -> str | None:
    """The token that lets in; None where none is required.

    Raises:
        SettingsError: the file of it cannot be used, or nobody would be kept out of a page that others can reach.
    """
    if view.anybody:
        if view.host not in _LOCAL:
            raise SettingsError(
                expected="a token for a page that other machines can reach",
                got="view.anybody = true",
                where=f"view.host = {view.host}",
                action="Require the token, or serve the page at 127.0.0.1.",
            )
        return None
    if view.token_file is None:
        return secrets.token_urlsafe(32) if view.token is None else view.token.get_secret_value()
    try:
        token = Path(view.token_file).read_text(encoding="utf-8").strip()
        got = f"one of {len(token)}"
    except (OSError, UnicodeDecodeError) as error:
        token, got = "", str(error)
    if len(token) < LEAST_TOKEN:
        raise SettingsError(
            expected=f"a file with a token of {LEAST_TOKEN} characters or more",
            got=got,
            where=f"view.token_file = {view.token_file}",
            action="Write one: openssl rand -hex 32",
        )
    return token


def _certificate(view: ViewSettings) -> ssl.SSLContext | None:
    """Checked before anything is opened: uvicorn's own error names no file."""
    if view.tls_certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(view.tls_certificate_file, view.tls_key_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            expected="a certificate and its key as PEM files",
            got=str(error),
            where=f"view.tls_certificate_file = {view.tls_certificate_file}, view.tls_key_file = {view.tls_key_file}",
            action="Name both files; the key may not be encrypted.",
        ) from error
    return context


def _listen(view: ViewSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in view.host else socket.AF_INET
    try:
        return socket.create_server((view.host, view.port), family=family)
    except OSError as error:
        raise SettingsError(
            expected="an address that is free and of this machine",
            got=error.strerror or str(error),
            where=f"view.host = {view.host}, view.port = {view.port}",
            action="Choose another port; 0 takes a free one.",
        ) from error
