"""Checks side by side on two cores: `python -m tests.side_by_side check|test [options of pytest]`.

`check`: linters, types and the tests that compute for a moment only. `test`: everything. There is a lane more than there are cores:
tests with a broker or Ray wait half of their time, for brokers that die, sessions that run out, processes that start, and those that
compute fill the gaps. These give way to the others (`nice`). Lines are shown as they come, with a name before them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

from tests.fast_tests import LIMIT

# A lane is what runs one after the other: name and command.
Lane = Sequence[tuple[str, Sequence[str]]]
_COMPUTES = "not broker and not ray"
_FAST = f"{_COMPUTES} and not slow"
_LINT = ("lint", ("make", "--no-print-directory", "lint"))
_GIVES_WAY = ("nice", "-n", "15")  # the lane with Ray is the longest, and waits for the processes it starts
_FAILED_WITHOUT_A_CODE = 1
_FAST_TEST_CPU_S = 3.0  # the slowest took 2.6 on a busy machine, the marked ones from 1 to 17
# Lines that pytest, mypy and ruff begin so are shown once more at the end: the lanes are long.
_TELLS_A_FAULT = ("E  ", "FAILED ", "ERROR ")
# Folders of the lane `lower`; those of all others are the lane `upper`. Slow tests are not spread as fast ones are: `upper` has the
# linters before it in `test`, `lower` what computes beside Kafka.
_LOWER = {
    "check": ("actors", "contracts", "evaluation", "models", "observability", "pipeline/table", "synthetic", "training"),
    "test": ("actors", "models", "training"),
}


def lanes_of(target: str, options: Sequence[str]) -> list[Lane]:
    """Both lanes of a target.

    Args:
        target: `check` or `test`.
        options: of pytest.

    Raises:
        KeyError: no such target.
    """
    fast = ("-o", f"{LIMIT}={_FAST_TEST_CPU_S:g}", "--hypothesis-profile=quick", *options)
    lower = [f"tests/{name}" for name in _LOWER[target]]
    upper = [f"--ignore={folder}" for folder in lower]
    lanes: dict[str, list[Lane]] = {
        "check": [[_LINT], [_tests("lower", _FAST, (*lower, *fast))], [_tests("upper", _FAST, (*upper, *fast))]],
        "test": [
            [_tests("stream", "ray", (*files_that_name("ray"), *options))],
            [
                _tests("kafka", "broker and not ray", (*files_that_name("broker"), *options)),
                _giving_way(_tests("lower", _COMPUTES, (*lower, *options))),
            ],
            [_LINT, _giving_way(_tests("upper", _COMPUTES, (*upper, *options)))],
        ],
    }
    return lanes[target]


def files_that_name(mark: str) -> list[str]:
    """Test files in which a mark stands; importing all others for a few tests would take as long as these."""
    here = Path(__file__).parent
    return sorted(str(path.relative_to(here.parent)) for path in here.rglob("test_*.py") if f"mark.{mark}" in path.read_text("utf-8"))


def _tests(name: str, marks: str, options: Sequence[str]) -> tuple[str, Sequence[str]]:
    cache = f"cache_dir=.pytest_cache/{name}"
    return name, (sys.executable, "-m", "pytest", "-m", f"({marks}) and not whole_matrix", "-o", cache, *options)


def _giving_way(step: tuple[str, Sequence[str]]) -> tuple[str, Sequence[str]]:
    name, command = step
    return name, (*_GIVES_WAY, *command)


def run(lanes: Sequence[Lane]) -> int:
    """All lanes to their ends; after Ctrl-C none of them starts anything more.

    Returns:
        0 where everything passed, else the exit code of something that did not.
    """
    codes: dict[str, int] = {}
    faults: list[str] = []
    stopped = Event()
    # Ctrl-C reaches the commands by themselves; their last words are shown.
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    width = max(len(name) for lane in lanes for name, _ in lane)
    runners = [Thread(target=_run_lane, args=(lane, width, codes, faults, stopped)) for lane in lanes]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    signal.signal(signal.SIGINT, before)
    print(*faults, sep="\n", end="\n" if faults else "")
    print("; ".join(f"{name}: {'passed' if code == 0 else f'failed ({code})'}" for name, code in codes.items()))
    if stopped.is_set():
        return 128 + signal.SIGINT
    return next((code if code > 0 else _FAILED_WITHOUT_A_CODE for code in codes.values() if code), 0)


def _run_lane(lane: Lane, width: int, codes: dict[str, int], faults: list[str], stopped: Event) -> None:
    """Show the lines of a lane; keep those that tell a fault, in a few words each, for the end."""
    for name, command in lane:
        if stopped.is_set():
            return
        codes[name] = _FAILED_WITHOUT_A_CODE  # until it has one
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                shown = f"{name:{width}} | {line}"
                print(shown, end="", flush=True)
                if line.startswith(_TELLS_A_FAULT):
                    faults.append(shown.rstrip())
        codes[name] = process.returncode


if __name__ == "__main__":
    # A second thread of a test would only wait for the other lanes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Hundreds of processes would compile our sources anew, and pytest every test.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(run(lanes_of(sys.argv[1], sys.argv[2:])))
