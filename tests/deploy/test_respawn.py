"""`stream.restart`: a driver that dies is followed by another one, and is stopped through its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.respawn import respawned
from tests.processes import started
from tests.waiting import wait_until

# Each child adds a line; what it then does is the next word of the arguments.
_DRIVER = """
import os, signal, sys, time
from pathlib import Path
from deploy.respawn import respawned
told, *deeds = sys.argv[1:]
code = respawned(lambda text: print(text, flush=True), first_pause_s=0.0)
if code is not None:
    sys.exit(code)
with open(told, "a") as file:
    print(os.getpid(), file=file)
deed = deeds[len(Path(told).read_text().split()) - 1]
if deed == "stay":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: print("again", flush=True))
    print("here", flush=True)
    while True:
        signal.pause()
if deed == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(int(deed))
"""


def command(told: Path, *deeds: str) -> list[str]:
    return [sys.executable, "-c", _DRIVER, str(told), *deeds]


@pytest.mark.parametrize(
    ("deeds", "code"),
    [(["killed", "70", "1", "0"], 0), (["2"], 2), (["killed", "2", "0"], 0), (["130"], 130)],
    ids=["until it is done", "settings are no matter of chance", "a broker that is away later is", "interrupted"],
)
def test_a_driver_that_dies_is_followed_by_another(tmp_path: Path, deeds: list[str], code: int) -> None:
    done = subprocess.run(command(tmp_path / "told", *deeds), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    children = (tmp_path / "told").read_text().split()
    assert len(set(children)) == len(deeds)
    deaths = done.stdout.splitlines()
    assert len(deaths) == len(deeds) - 1, deaths
    for death, child, deed in zip(deaths, children, deeds, strict=False):
        assert f"process {child}) {'was killed by SIGKILL' if deed == 'killed' else f'ended with exit code {deed}'}" in death


def test_signals_reach_the_driver_that_lives_and_a_stop_is_the_end(tmp_path: Path) -> None:
    with started(command(tmp_path / "told", "killed", "stay"), dict(os.environ)) as parent:
        assert parent.stdout is not None
        assert "was killed by SIGKILL" in parent.stdout.readline()
        assert parent.stdout.readline() == "here\n"
        parent.send_signal(signal.SIGHUP)
        assert parent.stdout.readline() == "again\n"
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(300) == 0
    assert len((tmp_path / "told").read_text().split()) == 2


def test_ctrl_z_stops_both_and_both_go_on(tmp_path: Path) -> None:
    with started(command(tmp_path / "told", "stay"), dict(os.environ)) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "here\n"
        both = [psutil.Process(parent.pid), psutil.Process(int((tmp_path / "told").read_text()))]
        parent.send_signal(signal.SIGTSTP)
        wait_until(lambda: all(each.status() == psutil.STATUS_STOPPED for each in both), "both to be stopped")
        parent.send_signal(signal.SIGCONT)
        wait_until(lambda: all(each.status() != psutil.STATUS_STOPPED for each in both), "both to go on")
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(300) == 0


def test_a_closed_stderr_does_not_end_it(tmp_path: Path) -> None:
    def say(text: str) -> None:
        raise BrokenPipeError(text)

    ends = iter([(70, False), (0, False)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploy.respawn._wait_for", lambda child: next(ends))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            assert respawned(say, fork=lambda: 2**22 + 1, first_pause_s=0.0) == 0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_driver_does_not_outlive_its_parent(tmp_path: Path) -> None:
    with started(command(tmp_path / "told", "stay"), dict(os.environ)) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "here\n"
        child = psutil.Process(int((tmp_path / "told").read_text()))
        parent.kill()
        child.wait(300)
    assert not child.is_running()


def test_pauses_grow_up_to_a_minute_and_begin_anew_after_a_long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    lives = [0.0] * 8 + [300.0, 0.0]
    ends = iter([*([(70, False)] * len(lives)), (0, False)])
    now = [0.0]
    told: list[str] = []

    def end(child: int) -> tuple[int, bool]:
        now[0] += lives.pop(0) if lives else 0.0
        return next(ends)

    monkeypatch.setattr("deploy.respawn._wait_for", end)
    monkeypatch.setattr("deploy.respawn._is_stopped_within", lambda seconds: False)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        assert respawned(told.append, fork=lambda: 4711, clock=lambda: now[0]) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    pauses = [text.split("starts in ")[1].split(" s")[0] for text in told]
    assert pauses == ["1", "2", "4", "8", "16", "32", "60", "60", "1", "2"]
