"""A driver's membership without a group: it owns what it is given, until that changes."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pipeline.kafka.group import Assignment


class MemoryMembership:
    """A driver's part of the partitions, in memory; passes the tests of `Membership` (tests/pipeline/kafka/test_group_contract.py)."""

    def __init__(self, partitions: Iterable[int]) -> None:
        """Owns these from the start."""
        self._changed = threading.Condition()
        self._next: frozenset[int] = frozenset(partitions)
        self._assignment: Assignment | None = Assignment(self._next)

    def reassign(self, partitions: Iterable[int], *, lost: bool = False) -> None:
        """Rebalance: the present assignment ends; the next one begins when it is given up.

        Args:
            partitions: of the next assignment.
            lost: the group has done without us: others may own the partitions already.
        """
        with self._changed:
            self._next = frozenset(partitions)
            if self._assignment is None:
                self._assignment = Assignment(self._next)
                self._changed.notify_all()
                return
            if lost:
                self._assignment.lost.set()
            self._assignment.ended.set()

    def assignment(self, timeout_s: float) -> Assignment | None:
        """As `Membership.assignment`."""
        with self._changed:
            self._changed.wait_for(lambda: self._assignment is not None, timeout_s)
            return self._assignment

    def give_up(self, assignment: Assignment) -> None:
        """As `Membership.give_up`; the next assignment begins at once."""
        with self._changed:
            if self._assignment is assignment:
                self._assignment = Assignment(self._next)
                self._changed.notify_all()
