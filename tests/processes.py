"""Commands as processes that never outlive their test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_FREEZE_S = 120.0  # only against waiting for ever


@contextmanager
def started(command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a process group of its own; whatever is left of the group afterwards is killed."""
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def freeze_process(pid: int) -> None:
    """SIGSTOP, and wait until the last of its threads has stopped: on a busy machine some still answer for a while.

    Raises:
        TimeoutError: it goes on.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + _FREEZE_S
    while any(state != "T" for state in _states(pid)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} goes on {_FREEZE_S:g} s after SIGSTOP")
        time.sleep(0.01)


def _states(pid: int) -> list[str]:
    """State of each thread, one letter (proc(5)); nothing where the system has no /proc."""
    states = []
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # a thread that ended meanwhile
            states.append(stat.read_text().rpartition(")")[2].split()[0])
    return states
