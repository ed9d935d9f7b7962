"""`irstream publish` as people use it: real broker, real processes, exit codes, one clear message."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from kafka import KafkaConsumer

from contracts.codecs import encode_pixels
from contracts.frame import ContentType
from pipeline.kafka.topics import end_offsets
from tests.processes import started
from tests.waiting import GUARD_S, wait_until

if TYPE_CHECKING:
    from tests.conftest import RealKafka

COMMAND = [sys.executable, "-c", "from deploy.cli.main import main; main()", "publish"]


def run(address: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    told = os.environ | {"IRSTREAM_KAFKA__BOOTSTRAP_SERVERS": address} | environment
    return subprocess.run([*COMMAND, *arguments], env=told, capture_output=True, text=True, check=False, timeout=120)


def num_messages(kafka: RealKafka, topic: str) -> int:
    return sum(end_offsets(kafka.settings(topic=topic), topic).values())


@pytest.mark.broker
def test_synthetic_cameras_into_a_topic_made_for_them(kafka: RealKafka) -> None:
    topic = f"made-{time.time_ns()}"
    done = run(
        kafka.bootstrap_servers, "synthetic", "--topic", topic, "--create-topic", "--partitions", "3", "--sensors", "2", "--size", "96x64",
        "--fps", "0", "--limit", "20", "--band", "MWIR", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["sent"], summary["acked"], summary["skipped"], summary["topic"]) == (20, 20, 0, topic)
    assert summary["sensor_ids"] == ["land-skyline-mwir", "air-ground-mwir"]
    assert len(end_offsets(kafka.settings(topic=topic), topic)) == 3
    assert num_messages(kafka, topic) == 20


def test_nodata_that_is_no_number_is_said_before_a_broker_is_asked() -> None:
    done = run("127.0.0.1:1", "frames", "--nodata", "none")
    assert done.returncode == 2
    assert "--nodata: expected a number, nan or inf" in done.stderr
    assert "'none'" in done.stderr


@pytest.mark.broker
def test_nodata_is_sent_along(kafka: RealKafka, tmp_path: Path) -> None:
    floats = np.full((16, 16), np.nan, np.float32)
    (tmp_path / "a.npy").write_bytes(encode_pixels(floats, ContentType.NPY))
    topic = kafka.new_topic()
    done = run(kafka.bootstrap_servers, str(tmp_path), "--topic", topic, "--nodata=nan,-9999")
    assert done.returncode == 0, done.stderr
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=120_000)
    assert dict(next(consumer).headers)["ir_nodata"] == b"nan,-9999"
    consumer.close()


@pytest.mark.broker
def test_a_folder_with_a_bad_file_says_so_and_goes_on(kafka: RealKafka, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encode_pixels(np.full((16, 16), number, np.uint8), ContentType.PNG))
    (tmp_path / "1b.png").write_bytes(b"\x89PNG\r\n\x1a\n, and then nothing")
    topic = kafka.new_topic()
    (tmp_path / "notes.txt").write_text("no frame")
    done = run(kafka.bootstrap_servers, str(tmp_path), "--topic", topic, "--sensor", "cam", "--fps", "50")
    assert done.returncode == 1, done.stderr
    assert "3 frames of 1 sensor in topic" in done.stdout
    assert "skipped  1 frame that could not be sent; first: " in done.stdout
    assert "1 file without the name of an image or video (1 .txt)" in done.stdout
    assert "skipped" in done.stderr
    assert "1b.png" in done.stderr
    assert num_messages(kafka, topic) == 3


@pytest.mark.broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_counts_and_acknowledges_what_was_sent(kafka: RealKafka, number: signal.Signals) -> None:
    topic = kafka.new_topic()
    told = os.environ | {"IRSTREAM_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    arguments = ["synthetic", "--topic", topic, "--size", "64", "--fps", "40", "--json"]
    with started([*COMMAND, *arguments], told) as process:
        wait_until(lambda: num_messages(kafka, topic) >= 5 or process.poll() is not None, "five frames")
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=GUARD_S)
    assert process.returncode == 0, stderr
    summary = json.loads(stdout)
    assert summary["interrupted"]
    assert summary["sent"] == summary["acked"] == num_messages(kafka, topic) >= 5


@pytest.mark.broker
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synthetic", "--topic", "not-there"], "expected a topic named not-there"),
        (["/not/there"], "/not/there: expected images"),
        (["synthetic", "--size", "7"], "--size: expected SIDE or WIDTHxHEIGHT"),
        (["synthetic", "--codec", "jpeg"], "--codec: expected a codec that holds 9 to 16 bit"),
        (["synthetic", "--scene", "moon"], "--scene"),
        (["synthetic", "--fps", "-1"], "--fps"),
        ([], "Missing argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_message_and_exit_code_2(kafka: RealKafka, arguments: list[str], message: str) -> None:
    topic = [] if "--topic" in arguments else ["--topic", kafka.new_topic()]
    done = run(kafka.bootstrap_servers, *arguments, *topic)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_no_broker_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    done = run("127.0.0.1:1", "synthetic", IRSTREAM_KAFKA__CONNECT_TIMEOUT_S="1")
    assert done.returncode == 2
    assert "127.0.0.1:1: expected a Kafka broker that answers within 1 s" in done.stderr
    assert "Traceback" not in done.stderr
