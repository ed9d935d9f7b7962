"""Commands as processes that never outlive their test."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

_FREEZE_S = 120.0  # only against waiting for ever
_COMMAND_S = 120.0
# What takes seconds of every process that imports it anew; the optimisers of torch import the last one.
_IMPORTED_ONCE = [
    "deploy.cli.main",
    "deploy.cli.table",
    "deploy.cli.tune",
    "deploy.cli.train",
    "deploy.terminal.training_view",
    "training.fit",
    "tests.pipeline.table.cared_table",
    "torch._dynamo",
]


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


def imported_already() -> ForkServerContext:
    """For processes of their own that need not import everything anew: they fork from one that has, and that runs nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    return context


@contextmanager
def running(arguments: Sequence[str], env: Mapping[str, str], told: Path) -> Iterator[BaseProcess]:
    """The command `irstream` in such a process, the leader of its group; whatever is left of the group afterwards is killed.

    Args:
        arguments: of the command.
        env: all its variables.
        told: file for what it says.
    """
    process = imported_already().Process(target=_run, args=(tuple(arguments), dict(env), str(Path.cwd()), told, told))
    process.start()
    try:
        yield process
    finally:
        assert process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def irstream(*arguments: str, cwd: Path, first: Callable[[], None] | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in such a process, in a folder; of the variables `IRSTREAM_...` it has those that are given.

    Args:
        arguments: of the command.
        cwd: the folder.
        first: a function of a module that the process calls before the command.
        variables: see above.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")} | variables
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = imported_already().Process(target=_run, args=(arguments, env, str(cwd), out, err, first))
        process.start()
        process.join(_COMMAND_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _run(arguments: tuple[str, ...], env: dict[str, str], cwd: str, out: Path, err: Path, first: Callable[[], None] | None = None) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # As in a terminal: what a shell starts in the background begins with SIGINT ignored, and so do tests started there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream.fileno())
    from deploy.cli.main import main

    if first is not None:
        first()
    main(arguments)


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
