"""The broker itself: start, find, refuse, stop, and never leave a process behind (docs/kafka.md)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from contracts.errors import SettingsError
from deploy.broker.broker import Broker
from deploy.broker.process import hold_port, lock_home, log_tail, running, spawn_guarded
from deploy.cli.main import app
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import describe_topic, ensure_topic
from tests.conftest import RealKafka
from tests.processes import freeze_process

ROOT = Path(__file__).parents[3]
GUARD = ROOT / "deploy" / "broker" / "guard.py"


def gone(pid: int, within_s: float = 120.0) -> bool:
    """Whether a process ends within the time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def kafka_processes(home: Path) -> list[int]:
    """Nodes that run inside this home; their command lines name nothing of it."""
    nodes = [process for process in psutil.process_iter(["cmdline", "cwd"]) if "kafka.Kafka" in (process.info["cmdline"] or ())]
    return [process.pid for process in nodes if process.info["cwd"] == str(home)]


# --- a whole life, from the command line ------------------------------------------------------------------------------


@pytest.mark.broker
def test_up_outlives_its_command_and_is_found_refused_twice_and_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home with a space"
    run = CliRunner()
    asked = run.invoke(app, ["broker", "status", "--json", "--home", str(home)])
    assert (asked.exit_code, json.loads(asked.stdout)["bootstrap_servers"]) == (1, None)

    command = [sys.executable, "-c", "from deploy.cli.main import main; main()", "broker", "up", "--json", "--home", str(home)]
    started = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert started.returncode == 0, started.stderr
    info = json.loads(started.stdout)
    try:
        settings = KafkaSettings(bootstrap_servers=info["bootstrap_servers"])
        ensure_topic(settings, "kept", 1)
        topic_id = describe_topic(settings, "kept").topic_id

        again = run.invoke(app, ["broker", "up", "--home", str(home)])
        assert again.exit_code == 0
        assert f"already up at {info['bootstrap_servers']} (pid {info['pid']})" in again.stdout
        other_port = run.invoke(app, ["broker", "up", "--home", str(home), "--port", "1"])
        assert other_port.exit_code == 1
        assert "it keeps the port it was started with, not 1" in other_port.stderr
        # Had the first `up` been killed while it waited, the second one would finish its work.
        state = Broker(home).home.state
        state.write_text(json.dumps(info | {"ready": False}))
        assert run.invoke(app, ["broker", "status", "--home", str(home)]).exit_code == 1
        assert Broker(home).up().pid == info["pid"]
        assert json.loads(state.read_text())["ready"] is True

        # A second node on the same data would wreck this one.
        with pytest.raises(SettingsError, match="irstream broker down"):
            Broker(home).start()
        assert describe_topic(settings, "kept").topic_id == topic_id
        assert len(kafka_processes(home)) == 1

        freeze_process(info["pid"])
        frozen = run.invoke(app, ["broker", "status", "--home", str(home)])
        os.kill(info["pid"], signal.SIGCONT)
        assert frozen.exit_code == 1
        assert "does not answer" in frozen.stdout
        assert run.invoke(app, ["broker", "status", "--home", str(home)]).exit_code == 0

        # After a kill the next `up` finds neither the dead process nor its lock in the way: same port, same data.
        os.kill(info["pid"], signal.SIGKILL)
        assert gone(info["pid"])
        assert run.invoke(app, ["broker", "status", "--home", str(home)]).exit_code == 1
        revived = json.loads(run.invoke(app, ["broker", "up", "--json", "--home", str(home)]).stdout)
        assert revived["bootstrap_servers"] == info["bootstrap_servers"]
        assert describe_topic(settings, "kept").topic_id == topic_id
    finally:
        stopped = run.invoke(app, ["broker", "down", "--home", str(home)])
    assert stopped.stdout == "Kafka is stopped\n"
    assert kafka_processes(home) == []
    assert "No broker runs" in run.invoke(app, ["broker", "down", "--home", str(home)]).stdout


def test_down_finds_the_node_under_another_spelling_of_its_folder(tmp_path: Path) -> None:
    home, link = tmp_path / "home", tmp_path / "link"
    home.mkdir()
    link.symlink_to(home)
    assert Broker(link / ".." / "home").home.root == Broker(link).home.root == home.resolve()


def test_down_keeps_the_note_about_a_node_it_cannot_tell_from_a_stranger(tmp_path: Path) -> None:
    """The lock is held, the note names another process: deleted, nothing would lead to the node any more."""
    home = Broker(tmp_path).home
    home.state.write_text("{}")
    holder = lock_home(home)
    assert holder is not None
    told = CliRunner().invoke(app, ["broker", "down", "--home", str(tmp_path)])
    assert told.exit_code == 2
    assert f"fuser {home.lock}" in told.stderr
    assert home.state.exists()
    holder.close()
    assert "No broker runs" in CliRunner().invoke(app, ["broker", "down", "--home", str(tmp_path)]).stdout
    assert not home.state.exists()


# --- errors that name what to do --------------------------------------------------------------------------------------


@pytest.mark.broker
def test_a_node_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path, kafka: RealKafka) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\n")
    broker = Broker(tmp_path)
    with pytest.raises(SettingsError) as failed:
        broker.up()
    assert "ended with code 1" in str(failed.value)
    assert "Stored node id 7" in str(failed.value)
    assert kafka_processes(tmp_path) == []
    assert broker.status() is None


def test_taken_port_is_named(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingsError, match=f"port {taken.getsockname()[1]} is taken.*--port"),
    ):
        Broker(tmp_path, taken.getsockname()[1]).up()


def test_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"free disk space.*IRSTREAM_BROKER_HOME"):
        Broker(tmp_path, min_free_bytes=2**62).up()


def test_home_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"file.*--home"):
        Broker(tmp_path / "file" / "home").up()


def test_settings_errors_end_the_command_with_code_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["broker", "up", "--home", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert "error:" in result.stderr


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_held_port_is_given_to_nobody_else_but_can_be_listened_on() -> None:
    held = hold_port(0)
    assert held is not None
    port = held.getsockname()[1]
    others = [hold_port(0) for _ in range(50)]
    assert port not in [each.getsockname()[1] for each in others if each is not None]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does
    listener.bind(("127.0.0.1", port))
    listener.listen()
    assert hold_port(port) is None
    for each in (held, listener, *others):
        assert each is not None
        each.close()


def test_a_recycled_pid_is_not_mistaken_for_the_broker(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    me = psutil.Process()
    state = {"bootstrap_servers": "127.0.0.1:1", "pid": me.pid, "started_at": me.create_time(), "ready": True}
    broker.home.state.write_text(json.dumps(state | {"home": "", "log_file": "", "java": ""}))
    assert running(broker.home) is None
    assert broker.status() is None
    assert broker.down() is False  # and above all it is not killed


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_state_file_means_not_running(tmp_path: Path, text: str) -> None:
    broker = Broker(tmp_path)
    broker.home.state.write_text(text)
    assert broker.status() is None


def start_guard(*command: str) -> tuple[subprocess.Popen[bytes], int]:
    guard = subprocess.Popen([sys.executable, "-I", str(GUARD), "0.5", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert guard.stdout is not None
    return guard, int(guard.stdout.readline())


def close_pipes(guard: subprocess.Popen[bytes]) -> None:
    for pipe in (guard.stdin, guard.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
    guard.wait(120)


@pytest.mark.parametrize("stubborn", [False, True], ids=["obeys SIGTERM", "ignores SIGTERM"])
def test_guarded_process_ends_with_the_pipe(stubborn: bool) -> None:
    trap = "trap '' TERM; " if stubborn else ""
    guard, pid = start_guard("sh", "-c", f"{trap}while :; do sleep 0.05; done")
    assert psutil.pid_exists(pid)
    close_pipes(guard)
    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
def test_guarded_process_ends_when_its_guard_is_killed() -> None:
    guard, pid = start_guard("sleep", "100")
    guard.kill()
    assert gone(pid)
    close_pipes(guard)


def test_guarded_process_ends_when_its_grandparent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom deploy.broker.process import spawn_guarded\n"
        "lock = open(sys.argv[1] + '/lock', 'w')\n"
        "print(spawn_guarded(['sleep', '100'], Path(sys.argv[1]) / 'out', lock, 1.0)[1], flush=True)\ntime.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    assert gone(pid)
    parent.stdout.close()
    parent.wait(120)


def test_guard_reports_a_command_that_does_not_exist(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock, pytest.raises(SettingsError, match="no-such-java"):
        spawn_guarded([str(tmp_path / "no-such-java")], tmp_path / "out", lock, 1.0)


def test_log_tail_prefers_errors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert log_tail(log, 2).split() == ["line", "98", "line", "99"]
    log.write_text("x ERROR the cause\n" + "".join(f"INFO {number}\n" for number in range(100)))
    assert log_tail(log).strip() == "x ERROR the cause"
