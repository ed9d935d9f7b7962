"""What a user sees when things are not as they should be: starts that cannot work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import RealKafka
from tests.integration.test_commands import IRSTREAM, environment

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture
def env(kafka: RealKafka) -> dict[str, str]:
    """Three topics of its own."""
    topics = {"TOPIC": kafka.new_topic(2), "ALERTS_TOPIC": kafka.new_topic(1), "DEAD_LETTER_TOPIC": kafka.new_topic(1)}
    return environment(kafka, **{f"IRSTREAM_KAFKA__{name}": topic for name, topic in topics.items()})


def refused(cwd: Path, env: dict[str, str]) -> str:
    """What `irstream stream` says when it cannot start."""
    done = subprocess.run([*IRSTREAM, "stream"], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_broker_that_is_not_there_is_named(env: dict[str, str], tmp_path: Path) -> None:
    said = refused(tmp_path, env | {"IRSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "IRSTREAM_KAFKA__CONNECT_TIMEOUT_S": "2"})
    assert "127.0.0.1:9" in said
    assert "irstream broker up" in said


def test_a_topic_that_is_not_there_is_named(env: dict[str, str], tmp_path: Path) -> None:
    said = refused(tmp_path, env | {"IRSTREAM_KAFKA__TOPIC": "no-such-topic"})
    assert "no-such-topic" in said
    assert "--create" in said


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").is_dir(), reason="no place that even root cannot write to")
def test_a_table_that_cannot_be_written_is_named(env: dict[str, str], tmp_path: Path) -> None:
    place = "/proc/self/irstream" if os.geteuid() == 0 else "/irstream-results"
    said = refused(tmp_path, env | {"IRSTREAM_SINK__TABLE": place})
    assert place in said


def test_a_setting_nobody_knows_is_named(env: dict[str, str], tmp_path: Path) -> None:
    said = refused(tmp_path, env | {"IRSTREAM_STREAM__EPOCH_SECONDS": "5"})
    assert "epoch_seconds" in said.lower()
