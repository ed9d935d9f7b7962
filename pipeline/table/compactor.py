"""Merging the many small files of a stream in the background, so that commits and readers stay fast.

One commit a second leaves 86,400 files a day, and every commit and every reader handles the whole list. Merging them is a
Delta commit of its own that changes no row and no offset; it may run beside the stream, other drivers and `irstream table maintain`.
The files it replaces stay on disk until the table is vacuumed: a reader may be in the middle of one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

import structlog
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from contracts.errors import StopPipeline
from pipeline.table.merge import merge_small_files
from pipeline.table.settings import MergePolicy

log = structlog.get_logger(__name__)


class Compactor:
    """Counts the commits of one run and merges its small files every so often, one merge at a time."""

    def __init__(
        self, path: str, run_id: str, storage_options: Mapping[str, str], after_commits: int, policy: MergePolicy | None = None
    ) -> None:
        """Nothing runs yet.

        Args:
            path: folder or URL of the table.
            run_id: only its files are merged, and those of the runs that were committed beside it.
            storage_options: for the object store.
            after_commits: merge after so many commits; 0 never merges.
            policy: how large merged files become.
        """
        self._policy = policy or MergePolicy()
        self._path = path
        self._run_ids = {run_id: None}  # in the order in which they came
        self._storage_options = dict(storage_options)
        self._after_commits = after_commits
        self._num_commits = 0
        self._thread: threading.Thread | None = None

    def count_commit(self, beside: Iterable[str] = ()) -> None:
        """A commit was made, with rows of these runs beside; starts a merge in the background when it is time and none is under way."""
        self._run_ids = self._run_ids | dict.fromkeys(beside)  # not in place: a merge may be going through it
        self._num_commits += 1
        if self._after_commits and self._num_commits >= self._after_commits and (self._thread is None or not self._thread.is_alive()):
            self._num_commits = 0
            # No daemon: the process ends when the merge has, so that it leaves no half-written file behind.
            self._thread = threading.Thread(target=self._merge, name="compaction")
            self._thread.start()

    def wait(self) -> None:
        """Return when no merge is under way."""
        if self._thread is not None:
            self._thread.join()

    def _merge(self) -> None:
        began_s = time.monotonic()
        try:
            table = DeltaTable(self._path, storage_options=self._storage_options or None)
            merged = [merge_small_files(table, self._storage_options, self._policy, run_id) for run_id in self._run_ids]
        except (DeltaError, OSError, StopPipeline) as error:
            # The next time will do; a table that we must not touch stops the stream at its next commit.
            log.info("compaction_skipped", error=str(error))
            return
        log.info(
            "compacted",
            files_before=sum(each.files_before for each in merged),
            files_after=sum(each.files_after for each in merged),
            given_up=sum(each.num_given_up for each in merged),
            seconds=round(time.monotonic() - began_s, 2),
        )
