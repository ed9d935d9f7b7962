"""Epochs: short bounded reads one after the other, slightly overlapped, each taken by a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from pipeline.ingest.interfaces import BlockRef


class EpochThread(threading.Thread):
    """Takes the blocks of one epoch and hands them on; keeps a failure in `error`, sets `ended` at the end and calls `on_end`."""

    def __init__(
        self, epoch: int, blocks: Iterator[BlockRef], on_block: Callable[[BlockRef], None], on_end: Callable[[EpochThread], None]
    ) -> None:
        """Prepare; `start()` begins the execution.

        Args:
            epoch: number of the epoch.
            blocks: what the source answers for it.
            on_block: called in this thread for each block.
            on_end: called in this thread once, after the last block or a failure.
        """
        super().__init__(name=f"epoch-{epoch}", daemon=True)
        self.epoch = epoch
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self._blocks = blocks
        self._on_block = on_block
        self._on_end = on_end

    def run(self) -> None:
        """Execute the epoch."""
        try:
            for block in self._blocks:
                self._on_block(block)
        except Exception as error:  # noqa: BLE001 - whatever ends an epoch ends the generation, by its owner
            self.error = error
        finally:
            self.ended.set()
            self._on_end(self)
