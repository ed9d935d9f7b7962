"""A folder for the work of one process, that outlives nobody: Ray kills processes that learn, and a checkpoint is large."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

_LOCK = "lock"


@contextmanager
def own_folder(prefix: str) -> Iterator[Path]:
    """An empty folder where temporary files go; folders of the same prefix whose processes have died are removed first."""
    own = f"{prefix}{os.getpid()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if left.name.startswith(own):  # a process never waits for its own locks
            continue
        with suppress(OSError), (left / _LOCK).open("r+") as lock:  # no lock yet: it is being made
            _take(lock)
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=own) as folder, Path(folder, _LOCK).open("w") as lock:
        _take(lock)
        work = Path(folder, "work")
        work.mkdir()
        yield work


def _take(lock: TextIO) -> None:
    """Hold a lock until its file is closed or this process ends; not inherited by processes that it starts.

    Raises:
        OSError: another process holds it.
    """
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
