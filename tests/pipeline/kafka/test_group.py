"""Drivers of one run divide the partitions among themselves; what is given up is given up only when its owner says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from kafka.errors import GroupAuthorizationFailedError

from contracts.errors import StopPipeline
from pipeline.kafka.client import connect_admin
from pipeline.kafka.group import Assignment, Membership
from pipeline.kafka.settings import KafkaSettings
from tests.conftest import RealKafka
from tests.processes import freeze_process, started

pytestmark = pytest.mark.broker
WAIT_S = 120.0  # only against waiting for ever


@pytest.fixture
def settings(kafka: RealKafka) -> KafkaSettings:
    return kafka.settings(topic=kafka.new_topic(4), session_timeout_s=6.0, probe_interval_s=0.5)


def assignment_of(member: Membership, wanted: int) -> Assignment:
    """Wait until a member owns so many partitions; gives up what it has to give up meanwhile."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        assignment = member.assignment(0.2)
        if assignment is None:
            continue
        if assignment.ended.wait(0.2):
            member.give_up(assignment)
        elif len(assignment.partitions) == wanted:
            return assignment
    pytest.fail(f"no assignment of {wanted} partitions within {WAIT_S:g} s")


def test_one_driver_owns_everything_and_leaves_at_once(settings: KafkaSettings) -> None:
    for _ in range(3):
        with Membership(settings, "live") as member:
            assert assignment_of(member, 4).partitions == {0, 1, 2, 3}
        assert not member._thread.is_alive()


def test_drivers_of_another_run_are_none_of_our_business(settings: KafkaSettings) -> None:
    with Membership(settings, "live") as one, Membership(settings, "again") as other:
        assert assignment_of(one, 4).partitions == assignment_of(other, 4).partitions == {0, 1, 2, 3}


def test_partitions_move_only_when_their_owner_has_given_them_up(settings: KafkaSettings) -> None:
    with Membership(settings, "live") as old:
        everything = assignment_of(old, 4)
        with Membership(settings, "live") as new:
            assert everything.ended.wait(WAIT_S), "the newcomer asks for its part"
            assert not everything.lost.is_set()
            assert new.assignment(settings.session_timeout_s * 1.5) is None, "the owner still writes, and still lives"
            old.give_up(everything)
            # Both at once: what one of them gets for a moment the other has to wait for.
            ours, theirs = settle((old, new), 4)
            assert ours.partitions | theirs.partitions == {0, 1, 2, 3}
        assert ours.ended.wait(WAIT_S), "the other one has left"
        old.give_up(ours)
        assert assignment_of(old, 4).partitions == {0, 1, 2, 3}


def test_more_drivers_than_partitions_wait_for_theirs(kafka: RealKafka) -> None:
    settings = kafka.settings(topic=kafka.new_topic(1), session_timeout_s=6.0)
    with Membership(settings, "live") as one:
        assignment_of(one, 1)
        with Membership(settings, "live") as other:
            deadline = time.monotonic() + WAIT_S
            owned: list[int] = []
            while sum(owned) != 1 or len(owned) != 2:
                assert time.monotonic() < deadline
                owned = []
                for member in (one, other):
                    assignment = member.assignment(0.5)
                    if assignment is not None and assignment.ended.is_set():
                        member.give_up(assignment)
                    elif assignment is not None:
                        owned.append(len(assignment.partitions))


def test_partitions_that_are_added_are_shared_out(settings: KafkaSettings) -> None:
    with Membership(settings, "live") as member:
        assignment = assignment_of(member, 4)
        admin = connect_admin(settings)
        admin.create_partitions({settings.topic: 6})
        admin.close()
        assert assignment.ended.wait(WAIT_S)
        member.give_up(assignment)
        assert assignment_of(member, 6).partitions == set(range(6))


def test_partitions_that_are_added_while_others_drain_are_shared_out(settings: KafkaSettings) -> None:
    with Membership(settings, "live") as one, Membership(settings, "live") as other:
        members = (one, other)
        settle(members, 4)
        admin = connect_admin(settings)
        admin.create_partitions({settings.topic: 6})
        admin.close()
        # A drain that takes longer than any poll: the other one waits for the answer to its join.
        assert {number for assignment in settle(members, 6, drain_s=1.5) for number in assignment.partitions} == set(range(6))


def settle(members: Sequence[Membership], num_partitions: int, drain_s: float = 0.0) -> list[Assignment]:
    """Wait until some members together own so many partitions."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        assignments: list[Assignment] = []
        for member in members:
            assignment = member.assignment(0.2)
            if assignment is not None and assignment.ended.is_set():
                time.sleep(drain_s)
                member.give_up(assignment)
            elif assignment is not None:
                assignments.append(assignment)
        if len(assignments) == len(members) and sum(len(assignment.partitions) for assignment in assignments) == num_partitions:
            return assignments
    pytest.fail(f"no {num_partitions} partitions within {WAIT_S:g} s")


# Log lines go elsewhere: another thread writes them, and they would end up in the middle of ours.
MEMBER = """
import structlog, sys
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.group import Membership
with Membership(KafkaSettings.model_validate_json(sys.argv[1]), "live") as member:
    while True:
        assignment = member.assignment(0.1)
        if assignment is None:
            continue
        print("owns", len(assignment.partitions), flush=True)
        while not assignment.ended.wait(0.1):
            pass
        print("lost" if assignment.lost.is_set() else "revoked", flush=True)
        member.give_up(assignment)
"""


@contextmanager
def member_process(settings: KafkaSettings) -> Iterator[subprocess.Popen[str]]:
    with started([sys.executable, "-c", MEMBER, settings.model_dump_json()], dict(os.environ)) as process:
        yield process


def hears(process: subprocess.Popen[str], *wanted: str) -> list[str]:
    """Lines of a member up to the first that is wanted."""
    assert process.stdout is not None
    heard: list[str] = []
    for line in process.stdout:
        heard.append(line.strip())
        if heard[-1] in wanted:
            return heard
    pytest.fail(f"the member ended after {heard}")


def test_a_killed_driver_loses_its_share_to_the_others(settings: KafkaSettings) -> None:
    with member_process(settings) as process:
        hears(process, "owns 4")
        with Membership(settings, "live") as other:
            assignment_of(other, 2)
            process.kill()
            assert assignment_of(other, 4).partitions == {0, 1, 2, 3}


def test_a_frozen_driver_is_told_that_it_has_lost_its_share(settings: KafkaSettings) -> None:
    with member_process(settings) as process:
        hears(process, "owns 4")
        with member_process(settings) as other:
            hears(other, "owns 2")
            hears(process, "owns 2")
            freeze_process(process.pid)
            hears(other, "owns 4")
            process.send_signal(signal.SIGCONT)
            assert hears(process, "lost", "revoked") == ["lost"], "it must not commit what another driver reads by now"
            assert hears(process, "owns 2") == ["owns 2"]


def test_a_session_the_broker_does_not_allow_is_a_clear_error(settings: KafkaSettings) -> None:
    too_long = settings.model_copy(update={"session_timeout_s": 3600.0})
    with Membership(too_long, "live") as member, pytest.raises(StopPipeline, match=r"group of drivers.*InvalidSessionTimeout"):
        assert member.assignment(WAIT_S) is None, "no answer"


def test_who_may_not_join_is_told_which_right_is_missing() -> None:
    settings = KafkaSettings(topic="frames", alerts_topic="detections", dead_letter_topic="frames.dead", group_hint="mine")
    member = Membership(settings, "live")
    member._fail(GroupAuthorizationFailedError())
    with pytest.raises(StopPipeline, match=r"joining the group of drivers mine\.live\.frames.*READ on groups with the prefix `mine\.`"):
        member.assignment(0.0)
