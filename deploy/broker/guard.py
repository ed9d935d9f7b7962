"""Run a command that must not outlive its parent: `python -I guard.py STOP_S COMMAND...`.

Standard library only, run as a script. Prints the pid of the command, then waits. When standard input ends (the
parent closed it, or died in whatever way) the command gets SIGTERM, and SIGKILL after STOP_S seconds. When this
guard itself is killed, Linux kills the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Start the command, watch both ends."""
    stop_s, command = float(sys.argv[1]), sys.argv[2:]
    # The pipe on standard output is only for the pid: the command writes to where our errors go.
    # preexec_fn is safe here: this process has one thread, and that thread lives as long as the process.
    child = subprocess.Popen(  # noqa: S603 - our own command line
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr, close_fds=False, preexec_fn=_die_with_parent
    )
    print(child.pid, flush=True)
    threading.Thread(target=_exit_with, args=(child,), daemon=True).start()
    sys.stdin.buffer.read()
    child.terminate()
    try:
        child.wait(stop_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_with(child: subprocess.Popen[bytes]) -> None:
    code = child.wait()
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
