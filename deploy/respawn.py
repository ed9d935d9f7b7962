"""A driver that is started again when it dies, without a supervisor of the machine (`stream.restart`).

The command forks before Ray and the models are there: the child streams, the parent only waits for it. When the child dies (a process
of Ray that it cannot do without was killed, the kernel had no memory left, a fault of ours), another one goes on where the table stands.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

FINAL_CODES = frozenset({0, 130})
"""Done, interrupted: another process would end alike."""
_WRONG_CODE = 2
"""Wrong use or settings, of the first process; of one that follows a broker or a cluster that is not there now, but was."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_WELL_AFTER_S = 300.0
_STOPS = frozenset({signal.SIGINT, signal.SIGTERM})
_PASSED_ON = _STOPS | {signal.SIGHUP}
_HEARD = _PASSED_ON | {signal.SIGTSTP}
_PR_SET_PDEATHSIG = 1


def respawned(
    say: Callable[[str], None],
    *,
    first_pause_s: float = _FIRST_PAUSE_S,
    fork: Callable[[], int] = os.fork,
    clock: Callable[[], float] = time.monotonic,
) -> int | None:
    """Fork a child, and another one whenever one has died; SIGINT, SIGTERM and SIGHUP are passed on to it.

    Call it before there are threads. If the parent is killed, its child gets SIGTERM. Ctrl-Z stops both, and `fg` lets both go on.

    Args:
        say: gets a sentence about each death.
        first_pause_s: before the second child; doubles up to a minute, and begins anew after a child that lived for five minutes.
        fork: `os.fork`.
        clock: seconds.

    Returns:
        None in a child: go on and do the work. In the parent the exit code, once a child has ended with one of `FINAL_CODES`, the first
        one with that of wrong settings, or after it was asked to stop.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD | {signal.SIGCHLD})
    parent = os.getpid()
    pause_s = first_pause_s
    final = FINAL_CODES | {_WRONG_CODE}
    while True:
        began = clock()
        child = fork()
        if child == 0:
            _begin_child(parent, before)
            return None
        with suppress(OSError):  # so that the group is there, whoever of the two comes first
            os.setpgid(child, child)
        code, stopped = _wait_for(child)
        if stopped or code in final:
            return code if code >= 0 else 128 - code
        final = FINAL_CODES
        lived_s = clock() - began
        pause_s = first_pause_s if lived_s >= _WELL_AFTER_S else pause_s
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        with suppress(OSError, ValueError):  # nobody listens any more
            say(f"the driver (process {child}) {how} after {lived_s:.0f} s; another one starts in {pause_s:g} s, where the table stands")
        if _is_stopped_within(pause_s):
            return 130
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _begin_child(parent: int, mask: set[int]) -> None:
    """A process group of its own, so that Ctrl-C comes once: from the parent."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if os.getppid() != parent:  # it died before it could be watched
        os.kill(os.getpid(), signal.SIGTERM)


def _wait_for(child: int) -> tuple[int, bool]:
    """Exit code of a child (below 0: the signal that killed it) and whether it was asked to stop."""
    stopped = False
    while True:
        number = signal.sigwait(_HEARD | {signal.SIGCHLD})
        if number == signal.SIGTSTP:
            _stop_until_continued(child)
        elif number in _PASSED_ON:
            stopped = stopped or number in _STOPS
            os.kill(child, number)  # it is there until it has been waited for
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), stopped


def _is_stopped_within(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        found = signal.sigtimedwait(_HEARD, left)
        if found is not None and found.si_signo in _STOPS:
            return True
        if found is not None and found.si_signo == signal.SIGTSTP:
            _stop_until_continued(None)
    return False


def _stop_until_continued(child: int | None) -> None:
    """Stop as the terminal asked for: its Ctrl-Z does not reach the child, which is in a group of its own."""
    _signal_group(child, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
    _signal_group(child, signal.SIGCONT)


def _signal_group(child: int | None, number: signal.Signals) -> None:
    if child is not None:
        with suppress(ProcessLookupError):
            os.killpg(child, number)
