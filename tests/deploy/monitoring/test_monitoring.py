"""What a scraper, an orchestrator and a board get."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import yaml

from deploy.monitoring.health import Health
from deploy.monitoring.server import monitoring
from deploy.settings.metrics import MetricsSettings
from observability.metrics import METRICS, Kind
from pipeline.runtime.progress import StreamProgress

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
STREAMING = StreamProgress(state="streaming", frames_out=10, lag=5)


class Clock:
    """Seconds that the test says."""

    now_s = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


def asked(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_health_and_readiness_are_there_when_curled() -> None:
    said: list[str] = []
    with monitoring("127.0.0.1", 0, 300.0, said.append) as found:
        found.meter.gauge("irstream_generation", 3, run_id="live")
        base = f"http://{found.address}"
        status, text = asked(f"{base}/metrics")
        assert (status, 'irstream_generation{run_id="live"} 3.0' in text.splitlines()) == (200, True)
        assert asked(f"{base}/healthz") == (200, "starting\n")
        assert asked(f"{base}/readyz") == (503, "starting\n")
        found.health.saw(STREAMING)
        assert asked(f"{base}/readyz") == (200, "streaming\n")
        found.health.failed("the topic is another one")
        assert asked(f"{base}/healthz") == (503, "the topic is another one\n")
        assert asked(f"{base}/other")[0] == 404
        host, port = found.address.split(":")
        with monitoring(host, int(port), 300.0, said.append) as second:
            assert second.address == ""
    assert len(said) == 1
    assert re.match(r"metrics: none are served: 127\.0\.0\.1:\d+: Address already in use; set metrics\.port", said[0])
    with monitoring("127.0.0.1", None, 300.0, said.append) as off:
        assert off.address == ""
    assert len(said) == 1, "none were wanted"


def test_a_stream_lives_while_rows_are_written_or_none_wait() -> None:
    clock = Clock()
    health = Health(300.0, clock)

    def after(pause_s: float, **changes: Any) -> tuple[bool, bool]:
        clock.now_s += pause_s
        health.saw(replace(STREAMING, **changes))
        return health.live().good, health.ready().good

    assert after(0) == (True, True)
    assert after(299) == (True, True)
    assert after(2) == (False, False), "five wait and no row came"
    assert health.live().why == "5 messages wait and no row was written for 301 s"
    assert after(1, frames_out=11) == (True, True)
    assert after(1000, frames_out=11, lag=0) == (True, True), "nothing waits"
    assert after(1000, frames_out=11, away="Kafka a:1", away_s=9.0, lag=None) == (True, False)
    assert health.ready().why == "Kafka a:1 does not answer for 9 s"
    assert after(1, frames_out=11) == (True, True), "it is just back"
    clock.now_s += 301
    assert not health.live().good, "not even a snapshot"


def expressions() -> Iterator[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert {"alert", "expr", "labels", "annotations"} <= set(rule)
            assert {"summary", "what_to_do"} == set(rule["annotations"])
            yield rule["expr"]
    board = json.loads((DEPLOY / "grafana" / "irstream.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_board_and_rules_ask_for_names_and_tags_that_exist() -> None:
    shown = set()
    for expression in expressions():
        for name, tags in re.findall(r"(irstream_\w+?)(?:_bucket|_sum|_count)?\b(?:\{([^}]*)\})?", expression):
            assert name in METRICS, expression
            histogram = re.search(rf"{name}_(bucket|sum|count)", expression) is not None
            assert histogram == (METRICS[name].kind is Kind.HISTOGRAM), expression
            assert set(re.findall(r"(\w+)=~?\"", tags)) <= set(METRICS[name].tags), expression
            shown.add(name)
    assert shown == set(METRICS), "nothing is measured that no board shows"


def test_the_scrape_file_asks_the_port_of_the_default() -> None:

    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    defaults = MetricsSettings()
    assert scrape["scrape_configs"][0]["static_configs"][0]["targets"] == [f"{defaults.host}:{defaults.port}"]
    assert (DEPLOY / "prometheus" / scrape["rule_files"][0]).is_file()
