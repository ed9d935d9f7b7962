"""The page of a real stream: its sources are Kafka and the table, its address is https where it is told so."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from contracts.position import KafkaPosition, OffsetRange
from deploy.settings.app_settings import AppSettings, load_settings
from deploy.viewing.access import Gate
from deploy.viewing.serve import page_of
from deploy.viewing.server import application
from deploy.viewing.zones import ZoneEditor
from pipeline.events.targets import TargetMessage
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.topics import describe_topic
from pipeline.table.results_table import ResultsTable
from tests.certificates import Authority
from tests.deploy.viewing.asgi import ask
from tests.deploy.viewing.messages import record, row, sight
from tests.pinned import DOCS
from tests.processes import started

if TYPE_CHECKING:
    from tests.conftest import RealKafka


@pytest.mark.broker
def test_the_page_shows_what_kafka_and_the_table_have(kafka: RealKafka, tmp_path: Path) -> None:
    now = datetime.now(UTC) - timedelta(seconds=5)
    name = kafka.new_topic(1)
    settings = kafka.settings(topic=name, alerts_topic=kafka.new_topic(1))
    track_id = f"{name}/0/0#0"
    with SteadyProducer(settings) as producer:
        for offset in range(3):
            sent = record(offset, "cam-1", np.full((32, 40), offset, np.uint8), now)
            producer.send(name, sent.key, sent.value or b"", sent.headers)
        event = TargetMessage.model_validate_json((DOCS / "events.example.json").read_text())
        producer.send(settings.alerts_topic, b"cam", event.model_dump_json().encode())
        producer.flush(60)
    table = ResultsTable(str(tmp_path / "results"), "live", compact_after_commits=0)
    table.open_or_create()
    rows = [
        replace(row(offset, "cam-1", sight(track_id, 10 + offset, 12), at=now), position=KafkaPosition(name, 0, offset))
        for offset in range(3)
    ]
    table.append(rows, [OffsetRange(name, 0, 0, 3)], {name: describe_topic(settings, name).topic_id})
    own = AppSettings.model_validate({"kafka": settings.model_dump(), "sink": {"table": str(tmp_path / "results")}})
    page = page_of(own, Gate(None, False, 1), ZoneEditor(load_settings, None))
    app = application(page)
    try:
        said = ask(app, "/api/changes", until=b'"targets": 1').body
        for word in said.split(b"data: ")[1:]:
            assert '"rows": "' not in word.decode()
        found = unpacked(ask(app, f"/api/row?position={name}/0/1").body)
        assert (found["frames"][0]["row"]["position"], found["frames"][0]["width_px"]) == (f"{name}/0/1", 40)
        assert ["key 'cam-1', " in words for line, words in found["lines"] if line == "message"] == [True]
        strip = unpacked(ask(app, f"/api/track?sensor=cam-1&id={track_id.replace('#', '%23')}&at={name}/0/1").body)
        assert [(each["position"], "error" in each) for each in strip["frames"]] == [(f"{name}/0/{offset}", False) for offset in range(3)]
        assert b'"event": "updated"' in ask(app, "/api/changes", until=b'"event": "updated"').body
    finally:
        page.watcher.close()


def unpacked(body: bytes) -> Any:
    return json.loads(body[4 : 4 + int.from_bytes(body[:4], "little")])


@pytest.mark.slow
def test_the_command_prints_an_address_that_lets_in_by_https_and_ends_when_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    certificate = authority.sign("page")
    own = {"IRSTREAM_VIEW__TLS_CERTIFICATE_FILE": str(certificate.pem), "IRSTREAM_VIEW__TLS_KEY_FILE": str(certificate.key)}
    env = {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")} | own
    command = [sys.executable, "-c", "from deploy.cli.main import main; main()", "view", "--port", "0"]
    with started(command, env, tmp_path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address, _, token = line.removeprefix("live page: ").strip().partition("/?token=")
        assert address.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(authority.pem))
        with pytest.raises(HTTPError, match="401"):
            urlopen(f"{address}/api/about", context=trusted, timeout=60)
        with urlopen(Request(f"{address}/api/about", headers={"authorization": f"Bearer {token}"}), context=trusted, timeout=60) as answer:
            assert json.load(answer)["topic"] == "frames"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert token not in process.stderr.read()
