"""Start, find and stop the Java process of a broker, without ever leaving one behind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

import psutil

from contracts.errors import SettingsError
from deploy.broker.config import HOST, Home, java_environment

_GUARD = Path(__file__).with_name("guard.py")


@dataclass(frozen=True, slots=True)
class BrokerInfo:
    """A started broker, as its state file describes it.

    Attributes:
        bootstrap_servers: address for clients, `host:port`.
        pid: of the Java process.
        started_at: seconds since the epoch.
        ready: whether it has answered a client; False only while it starts.
    """

    bootstrap_servers: str
    pid: int
    started_at: float
    home: str
    log_file: str
    java: str
    ready: bool


def write_state(home: Home, info: BrokerInfo) -> None:
    """Replace the state file at once."""
    draft = home.state.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(info), indent=1) + "\n")
    draft.replace(home.state)


def running(home: Home) -> tuple[BrokerInfo, psutil.Process] | None:
    """The broker of this home, if its process lives.

    A pid may have been given to another process since: it counts only with the start time we noted (to the second
    or two that clock corrections move it) and with this home's configuration on its command line.
    """
    try:
        known = json.loads(home.state.read_text())
        info = BrokerInfo(**{field.name: known[field.name] for field in fields(BrokerInfo)})
        process = psutil.Process(info.pid)
        same = abs(process.create_time() - info.started_at) < 5.0 and _runs_in(process, home)
        return (info, process) if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, psutil.NoSuchProcess, psutil.AccessDenied, json.JSONDecodeError, KeyError, TypeError):
        return None


def _runs_in(process: psutil.Process, home: Home) -> bool:
    arguments = process.cmdline()
    if str(home.properties) in arguments:  # as earlier versions started it
        return True
    return home.properties.name in arguments and Path(process.cwd()) == home.root


def prepare_folders(home: Home, min_free_bytes: int) -> None:
    """Make the folders of a home.

    Raises:
        SettingsError: not writable, or too little room.
    """
    try:
        home.logs.mkdir(parents=True, exist_ok=True)
        home.lock.touch()
    except OSError as error:
        raise SettingsError(
            expected="a folder that can be written",
            got=str(error),
            where=f"broker home {home.root}",
            action="Name another one with --home or IRSTREAM_BROKER_HOME.",
        ) from error
    free = shutil.disk_usage(home.root).free
    if free < min_free_bytes:
        raise SettingsError(
            expected=f"at least {min_free_bytes / 1e6:.0f} MB of free disk space",
            got=f"{free / 1e6:.0f} MB",
            where=f"broker home {home.root}",
            action="Make room, or name a folder on another disk with --home or IRSTREAM_BROKER_HOME.",
        )


def lock_home(home: Home) -> IO[str] | None:
    """Take the lock of this home before Java starts; None when another broker (or starting one) has it.

    A second node on the same data wrecks the first one although it exits itself, so this must come first. Java
    inherits the open file: the kernel frees the lock when the last holder is gone, however it died.
    """
    handle = home.lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def in_use(home: Home) -> bool:
    """True while a broker (or a process that starts one) holds the lock of this home."""
    if not home.lock.exists():
        return False
    lock = lock_home(home)
    if lock is not None:
        lock.close()
    return lock is None


def hold_port(port: int) -> socket.socket | None:
    """Bind a port without listening; None when it is taken. `port` 0 takes any free one.

    Nobody else is given a bound port, yet Java can listen on it because both sides set SO_REUSEADDR: no race between
    choosing a port and using it. Close the socket once Java listens.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((HOST, port))
    except OSError as error:
        held.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    return held


def hold_ports(home: Home, port: int | None, preferred: int | None) -> list[socket.socket]:
    """Hold a client port (`port`, or the last one of this home, or `preferred`, or any) and a controller port.

    Raises:
        SettingsError: the port asked for is taken, or there is none at all.
    """
    if port is not None:
        wanted = [port]
    else:
        last = home.last_port.read_text().strip() if home.last_port.is_file() else ""
        wanted = [int(last)] if last.isdigit() else []
        wanted += [preferred] if preferred else []
        wanted.append(0)
    held = next((one for one in map(hold_port, wanted) if one is not None), None)
    controller = hold_port(0)
    if held is None or controller is None:
        raise SettingsError(
            expected="a free port",
            got=f"port {wanted[0]} is taken or not allowed",
            where=f"starting the broker on {HOST}",
            action="Choose another one with --port, or none for any free one.",
        )
    return [held, controller]


def spawn_detached(command: list[str], out: Path, lock: IO[str], folder: Path | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that outlives us, in a session of its own (no Ctrl-C, no hang-up), inside a folder. Gives process and pid."""
    with out.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            cwd=folder,
            env=java_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    return process, process.pid


def spawn_guarded(
    command: list[str], out: Path, lock: IO[str], stop_s: float, folder: Path | None = None
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that dies with us, even when we are killed. Gives its guard (our child) and its own pid."""
    with out.open("wb") as sink:
        guard = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-I", str(_GUARD), str(stop_s), *command],
            cwd=folder,
            env=java_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    assert guard.stdout is not None
    line = guard.stdout.readline()
    if not line.strip().isdigit():
        guard.wait()
        raise SettingsError(
            expected="a started Java process",
            got=out.read_text(errors="replace")[-500:],
            where=command[0],
            action="Check this Java installation.",
        )
    return guard, int(line)


def stop_process(process: psutil.Process, timeout_s: float) -> bool:
    """Ask a process to stop, then make it. Gives whether it stopped by itself within the time."""
    try:
        process.terminate()
        process.wait(timeout_s)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        try:
            process.kill()
            process.wait(timeout_s)
        except psutil.NoSuchProcess:
            return True
        return False
    return True


def log_tail(path: Path, num_lines: int = 12) -> str:
    """The last lines of a log file, errors first if there are any; empty when there is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - 64_000))
        lines = log.read().decode(errors="replace").splitlines()
    failures = [line for line in lines if any(word in line for word in (" ERROR ", " FATAL ", "Exception", "Error:", "Caused by"))]
    return "\n".join(f"    {line[:300]}" for line in (failures or lines)[-num_lines:])
