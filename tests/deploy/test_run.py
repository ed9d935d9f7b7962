"""Ctrl-C and SIGTERM drain; what is wrong from the start is said before Ray is started."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from contracts.errors import SettingsError
from deploy.cli.main import main
from deploy.cluster.interrupts import interruptible
from deploy.run import check_start, draining
from deploy.settings.app_settings import AppSettings, settings_from_args
from pipeline.runtime.progress import StreamProgress
from tests.processes import started

if TYPE_CHECKING:
    from tests.conftest import RealKafka

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_drains_second_tells_third_gives_up(number: signal.Signals) -> None:
    said: list[str] = []
    before = signal.getsignal(number)
    with draining(said.append, timeout_s=60.0) as drain:
        assert not drain.stop.is_set()
        os.kill(os.getpid(), number)
        assert drain.stop.is_set()
        assert "at most 60 s" in said[-1]
        drain.saw(StreamProgress(frames_in=120, frames_out=100, state="draining"))
        os.kill(os.getpid(), number)
        assert "20 frames are read and have no row yet" in said[-1]
        drain.saw(StreamProgress(frames_in=120, frames_out=120, state="draining"))
        assert "every frame that was read has its row" in drain.waiting_for()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert len(said) == 2
    assert signal.getsignal(number) is before


def test_sigterm_before_the_stream_is_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    # Ray's own handler, while it starts.
    with pytest.raises(KeyboardInterrupt), interruptible():
        sys.exit(signal.SIGTERM)
    with pytest.raises(SystemExit), interruptible():
        sys.exit(3)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_ends_every_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(number: int, frame: object) -> None:
        raise AssertionError("nobody took the signal")

    def ended() -> list[str]:
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    before = signal.signal(signal.SIGTERM, fail)
    try:
        monkeypatch.setattr("models.zoo.list_models", ended)
        with pytest.raises(SystemExit) as stopped:
            main(["models", "list"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (stopped.value.code, capsys.readouterr().err) == (130, "error: interrupted\n")


@pytest.mark.broker
def test_sigterm_while_the_demo_starts_kafka_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")} | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", "from deploy.cli.main import main; main()", "demo", "--out", str(tmp_path / "out")]
    with started(command, env, ROOT) as demo:
        while not list(tmp_path.glob("irstream-demo-*/broker.json")) and demo.poll() is None:
            time.sleep(0.02)
        pid = json.loads(next(tmp_path.glob("irstream-demo-*/broker.json")).read_text())["pid"]
        demo.send_signal(signal.SIGTERM)
        _, err = demo.communicate(timeout=240)
    assert (demo.returncode, err) == (130, "error: interrupted\n")
    assert list(tmp_path.glob("irstream-demo-*")) == []
    assert not psutil.pid_exists(pid)


def settings(kafka: RealKafka, tmp_path: Path, topic: str, table: str = "results") -> AppSettings:
    where = {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "connect_timeout_s": 5.0}
    return settings_from_args({"kafka": where, "sink": {"table": str(tmp_path / table)}})


@pytest.mark.broker
def test_a_good_start(kafka: RealKafka, tmp_path: Path) -> None:
    check_start(settings(kafka, tmp_path, kafka.new_topic()))
    assert (tmp_path / "results" / "_delta_log").is_dir()


@pytest.mark.broker
def test_a_missing_topic_is_named(kafka: RealKafka, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        check_start(settings(kafka, tmp_path, "no-such-topic"))
    assert "no-such-topic" in str(caught.value)
    assert not (tmp_path / "results").exists()


@pytest.mark.broker
def test_a_table_that_cannot_be_written_is_named(kafka: RealKafka, tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("a file")
    with pytest.raises(SettingsError) as caught:
        check_start(settings(kafka, tmp_path, kafka.new_topic(), table="in-the-way"))
    assert "in-the-way" in str(caught.value)


def test_no_broker_is_named(tmp_path: Path) -> None:
    nowhere = {"bootstrap_servers": "127.0.0.1:1", "connect_timeout_s": 1.0}
    with pytest.raises(SettingsError) as caught:
        check_start(settings_from_args({"kafka": nowhere, "sink": {"table": str(tmp_path / "results")}}))
    assert "127.0.0.1:1" in str(caught.value)
    assert caught.value.exit_code == 2
