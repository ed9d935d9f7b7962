"""The command `irstream`, with places where it can be killed and a way to fill its object store, from outside.

    python -m tests.faults.driver FOLDER stream ...

Files in FOLDER are orders: `crash` holds the name of a step of the commit, at which the process kills itself with SIGKILL, as no
signal from outside could time it; `hoard` holds seconds, for which all room of the object store is taken.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CRASH_STEPS = ("before_data_file", "after_data_file", "before_commit", "after_commit", "before_hint")
_CHUNK_BYTES = 32 * 2**20


def take(order: Path) -> str:
    """Content of an order, which is carried out once; empty when there is none."""
    try:
        text = order.read_text().strip()
        order.unlink()
    except OSError:
        return ""
    return text


def reach(folder: Path, step: str) -> None:
    """Die here if that is the order."""
    order = folder / "crash"
    try:
        ordered = order.read_text().strip() == step
    except OSError:
        return
    if ordered:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def around(kind: type[Any], name: str, folder: Path, before: str = "", after: str = "") -> None:
    """Put steps before and after a method."""
    method: Callable[..., Any] = getattr(kind, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        reach(folder, before)
        result = method(*arguments, **options)
        reach(folder, after)
        return result

    setattr(kind, name, wrapped)


def die_with_parent() -> None:
    """A test run that is killed shall leave no stream behind."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def hoard(folder: Path) -> None:
    """Take all room of the object store while ordered; what is held through a view can neither be evicted nor spilled."""
    import numpy as np
    import ray

    while True:
        time.sleep(0.2)
        seconds = float(take(folder / "hoard") or 0)
        if not seconds:
            continue
        held: list[Any] = []
        room = ray.cluster_resources().get("object_store_memory", 0.0)
        while len(held) * _CHUNK_BYTES < room * 0.97:
            held.append(ray.get(ray.put(np.ones(_CHUNK_BYTES, np.uint8))))
        (folder / "hoarding").write_text(str(len(held) * _CHUNK_BYTES))
        time.sleep(seconds)
        held.clear()
        (folder / "hoarding").unlink()


def main() -> None:
    """Put the steps in and run the command."""
    from deploy.cli.main import main as irstream
    from pipeline.kafka.topics import ClusterWatch
    from pipeline.table.results_table import ResultsTable

    folder = Path(sys.argv.pop(1))
    around(ResultsTable, "_write_files", folder, "before_data_file", "after_data_file")
    around(ResultsTable, "_commit_files", folder, "before_commit", "after_commit")
    around(ClusterWatch, "hint", folder, "before_hint")
    threading.Thread(target=hoard, args=(folder,), daemon=True).start()
    threading.Thread(target=die_with_parent, daemon=True).start()
    irstream()


if __name__ == "__main__":
    main()
