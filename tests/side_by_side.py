"""Checks side by side on two cores: `python -m tests.side_by_side check|test [options of pytest]`.

`check`: linters, types and the tests that compute for a moment only. `test`: everything. Tests with a broker or Ray wait
half of their time, for brokers that die, sessions that run out, processes that start; the others compute. Their lines are shown
as they come, with a name before them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from threading import Event, Thread

from tests.fast_tests import LIMIT

# A lane is what runs one after the other: name and command.
Lane = Sequence[tuple[str, Sequence[str]]]
_FAST = "not broker and not ray and not slow"
_LINT = ("lint", ("make", "--no-print-directory", "lint"))
_FAILED_WITHOUT_A_CODE = 1
_FAST_TEST_CPU_S = 5.0  # the slowest took 2 when this was written, the marked ones from 1 to 11
# Folders whose fast tests run behind the linters; those of all others, which are about as long as both, run beside them.
_BEHIND_LINT = tuple(f"tests/{name}" for name in ("actors", "contracts", "evaluation", "models", "observability", "synthetic"))


def lanes_of(target: str, options: Sequence[str]) -> list[Lane]:
    """Both lanes of a target.

    Args:
        target: `check` or `test`.
        options: of pytest.

    Raises:
        KeyError: no such target.
    """
    fast = ("-o", f"{LIMIT}={_FAST_TEST_CPU_S:g}", *options)
    lanes: dict[str, list[Lane]] = {
        "check": [
            [_LINT, _tests("lower", _FAST, (*_BEHIND_LINT, *fast))],
            [_tests("upper", _FAST, (*(f"--ignore={folder}" for folder in _BEHIND_LINT), *fast))],
        ],
        "test": [[_tests("stream", "broker or ray", options)], [_LINT, _tests("others", "not broker and not ray", options)]],
    }
    return lanes[target]


def _tests(name: str, marks: str, options: Sequence[str]) -> tuple[str, Sequence[str]]:
    cache = f"cache_dir=.pytest_cache/{name}"
    return name, (sys.executable, "-m", "pytest", "-m", f"({marks}) and not whole_matrix", "-o", cache, *options)


def run(lanes: Sequence[Lane]) -> int:
    """All lanes to their ends; after Ctrl-C none of them starts anything more.

    Returns:
        0 where everything passed, else the exit code of something that did not.
    """
    codes: dict[str, int] = {}
    stopped = Event()
    # Ctrl-C reaches the commands by themselves; their last words are shown.
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    width = max(len(name) for lane in lanes for name, _ in lane)
    runners = [Thread(target=_run_lane, args=(lane, width, codes, stopped)) for lane in lanes]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    signal.signal(signal.SIGINT, before)
    print("; ".join(f"{name}: {'passed' if code == 0 else f'failed ({code})'}" for name, code in codes.items()))
    if stopped.is_set():
        return 128 + signal.SIGINT
    return next((code if code > 0 else _FAILED_WITHOUT_A_CODE for code in codes.values() if code), 0)


def _run_lane(lane: Lane, width: int, codes: dict[str, int], stopped: Event) -> None:
    for name, command in lane:
        if stopped.is_set():
            return
        codes[name] = _FAILED_WITHOUT_A_CODE  # until it has one
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(f"{name:{width}} | {line}", end="", flush=True)
        codes[name] = process.returncode


if __name__ == "__main__":
    if sys.argv[1] == "check":
        # Both lanes compute: a second thread of a test would only wait for the other lane.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run(lanes_of(sys.argv[1], sys.argv[2:])))
