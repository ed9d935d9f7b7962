"""All tests in two halves side by side: `python -m tests.side_by_side [options of pytest]`.

Tests with a broker or Ray wait half of their time: for brokers that die, sessions that run out, processes that start. The others
compute. Each half is a pytest of its own; its lines are shown as they come, with its name before them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from threading import Thread

_HALVES = {"stream": "(broker or ray) and not whole_matrix", "others": "not broker and not ray and not whole_matrix"}
_WIDTH = max(map(len, _HALVES))
_FAILED_WITHOUT_A_CODE = 1


def _show(name: str, half: subprocess.Popen[str]) -> None:
    assert half.stdout is not None
    for line in half.stdout:
        print(f"{name:{_WIDTH}} | {line}", end="", flush=True)


def run(options: list[str]) -> int:
    """Both halves to their ends.

    Args:
        options: of pytest, for both.

    Returns:
        0 where both passed, else the exit code of one that did not.
    """
    halves = {
        name: subprocess.Popen(
            [sys.executable, "-m", "pytest", "-m", marks, "-o", f"cache_dir=.pytest_cache/{name}", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, marks in _HALVES.items()
    }
    # Ctrl-C reaches both halves by themselves; their last words are shown.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    readers = [Thread(target=_show, args=each) for each in halves.items()]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    codes = {name: half.wait() for name, half in halves.items()}
    print("; ".join(f"{name}: {'passed' if code == 0 else f'failed ({code})'}" for name, code in codes.items()))
    return next((code if code > 0 else _FAILED_WITHOUT_A_CODE for code in codes.values() if code), 0)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
