"""The coordinator of a generation as a Ray actor: its read tasks are in other processes, perhaps on other machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError

from contracts.errors import IrstreamError
from pipeline.ingest.interfaces import ReadingEnded
from pipeline.ingest.read_coordinator import ReadCoordinator, ReadOrder, ReadStatus

_DRIVER_ANSWER_S = 60.0


class RayCoordinator:
    """A `Coordinator`; copies of it (pickled into the read tasks) speak to the same actor."""

    def __init__(self, starts: Mapping[int, int], max_blocks: int, max_bytes: int, order: ReadOrder | None = None) -> None:
        """Start the actor; arguments as `ReadCoordinator`."""
        actor: Any = ray.remote(ReadCoordinator).options(num_cpus=0, max_concurrency=10_000)
        self._actor: Any = actor.remote(dict(starts), max_blocks, max_bytes, order)

    def claim(self, epoch: int, part: int) -> int | None:
        """See `ReadTaskCoordinator`."""
        with _while_it_lives():
            start: int | None = ray.get(self._actor.claim.remote(epoch, part))
            return start

    def admit(self, *, holds_slot: bool) -> bool:
        """See `ReadTaskCoordinator`."""
        with _while_it_lives():
            return bool(ray.get(self._actor.admit.remote(holds_slot=holds_slot)))

    def charge(self, num_bytes: int, num_messages: int = 0) -> None:
        """See `ReadTaskCoordinator`."""
        self._actor.charge.remote(num_bytes, num_messages)

    def finish(self, epoch: int, part: int, stop: int, *, holds_slot: bool) -> None:
        """See `ReadTaskCoordinator`."""
        with _while_it_lives():
            ray.get(self._actor.finish.remote(epoch, part, stop, holds_slot=holds_slot))

    def fail(self, error: IrstreamError) -> None:
        """See `ReadTaskCoordinator`."""
        with _while_it_lives():
            ray.get(self._actor.fail.remote(error))

    def credit(self, num_blocks: int, num_bytes: int) -> None:
        """See `Coordinator`."""
        self._actor.credit.remote(num_blocks, num_bytes)

    def stop(self) -> None:
        """See `Coordinator`."""
        ray.get(self._actor.stop.remote(), timeout=_DRIVER_ANSWER_S)

    def status(self) -> ReadStatus:
        """See `Coordinator`."""
        status: ReadStatus = ray.get(self._actor.status.remote(), timeout=_DRIVER_ANSWER_S)
        return status

    def close(self) -> None:
        """Kill the actor: every read task fails at its next call, which ends the executions of Ray Data."""
        ray.kill(self._actor, no_restart=True)


@contextmanager
def _while_it_lives() -> Iterator[None]:
    try:
        yield
    except RayActorError as gone:
        raise ReadingEnded from gone
