"""One suite for a membership in memory and one of a real group: partitions move when their owner has given them up, not before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pipeline.kafka.client import connect_admin
from pipeline.kafka.group import Assignment, Membership
from pipeline.kafka.memory_group import MemoryMembership
from pipeline.runtime.resources import Members
from tests.conftest import RealKafka

WAIT_S = 120.0  # only against waiting for ever


@dataclass
class Driver:
    """A driver that owns a topic of two partitions; `grow` adds a third."""

    members: Members
    grow: Callable[[], None]


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.broker)])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    if request.param == "memory":
        members = MemoryMembership({0, 1})
        yield Driver(members, lambda: members.reassign({0, 1, 2}))
        return
    kafka: RealKafka = request.getfixturevalue("kafka")
    settings = kafka.settings(topic=kafka.new_topic(2), session_timeout_s=10.0, probe_interval_s=0.2)

    def grow() -> None:
        admin = connect_admin(settings)
        admin.create_partitions({settings.topic: 3})
        admin.close()

    with Membership(settings, "live") as member:
        yield Driver(member, grow)


def owned(members: Members) -> Assignment:
    """The present assignment, which must come."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if (assignment := members.assignment(0.2)) is not None:
            return assignment
    pytest.fail(f"no assignment within {WAIT_S:g} s")


def test_one_driver_owns_everything(driver: Driver) -> None:
    assignment = owned(driver.members)
    assert assignment.partitions == {0, 1}
    assert not assignment.ended.is_set()
    assert driver.members.assignment(0.1) is assignment


def test_the_next_assignment_comes_when_the_ended_one_is_given_up(driver: Driver) -> None:
    before = owned(driver.members)
    driver.grow()
    assert before.ended.wait(WAIT_S)
    assert not before.lost.is_set()
    assert driver.members.assignment(0.1) is before, "it still writes"
    driver.members.give_up(before)
    after = owned(driver.members)
    assert after.partitions == {0, 1, 2}
    assert not after.ended.is_set()


def test_giving_up_what_is_over_takes_nothing_away(driver: Driver) -> None:
    before = owned(driver.members)
    driver.grow()
    assert before.ended.wait(WAIT_S)
    driver.members.give_up(before)
    after = owned(driver.members)
    driver.members.give_up(before)
    assert driver.members.assignment(0.1) is after
