"""One suite for the coordinator in this process and the one that is a Ray actor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from contracts.errors import StopPipeline
from pipeline.ingest.interfaces import Coordinator, ReadingEnded
from pipeline.ingest.local_coordinator import LocalCoordinator
from pipeline.ingest.ray_coordinator import RayCoordinator

TIMEOUT_S = 120.0  # only against hanging


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def coordinator(request: pytest.FixtureRequest) -> Iterator[Coordinator]:
    """Partitions 0 and 1, from offsets 5 and 7; one block (and a slot for each reader) and 100 bytes in flight."""
    if request.param == "ray":
        request.getfixturevalue("local_ray")
    kind: type[LocalCoordinator | RayCoordinator] = RayCoordinator if request.param == "ray" else LocalCoordinator
    one = kind({0: 5, 1: 7}, 1, 100)
    yield one
    one.close()


@pytest.fixture
def calls() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def waits(pool: ThreadPoolExecutor, call: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
    """Begin a call in another thread and make sure that it does not return by itself."""
    pending = pool.submit(call, *arguments, **named)
    threading.Event().wait(0.2)
    assert not pending.done()
    return pending


def test_claims_follow_each_other(coordinator: Coordinator, calls: ThreadPoolExecutor) -> None:
    assert (coordinator.claim(0, 0), coordinator.claim(0, 1)) == (5, 7)
    second = waits(calls, coordinator.claim, 1, 0)
    coordinator.finish(0, 0, 9, holds_slot=False)
    assert second.result(TIMEOUT_S) == 9
    assert coordinator.status().finished == {(0, 0): (5, 9)}


def test_a_second_claim_is_a_fault(coordinator: Coordinator) -> None:
    assert coordinator.claim(0, 0) == 5
    assert coordinator.claim(0, 0) is None
    assert "each read task to run once" in str(coordinator.status().fault)
    assert coordinator.admit(holds_slot=False) is False


def test_room_comes_back_with_credits(coordinator: Coordinator, calls: ThreadPoolExecutor) -> None:
    assert all(coordinator.admit(holds_slot=False) for _ in range(3))
    coordinator.charge(60, 2)
    coordinator.charge(60)
    fourth = waits(calls, coordinator.admit, holds_slot=False)
    coordinator.credit(1, 0)
    threading.Event().wait(0.2)
    assert not fourth.done(), "120 bytes are on their way"
    coordinator.credit(0, 60)
    assert fourth.result(TIMEOUT_S) is True
    status = coordinator.status()
    assert (status.blocks_in_flight, status.bytes_in_flight, status.messages) == (3, 60, 2)


def test_stop_releases_everybody(coordinator: Coordinator, calls: ThreadPoolExecutor) -> None:
    coordinator.claim(0, 0)
    assert all(coordinator.admit(holds_slot=False) for _ in range(3))
    admit, claim = waits(calls, coordinator.admit, holds_slot=False), waits(calls, coordinator.claim, 1, 0)
    coordinator.stop()
    assert admit.result(TIMEOUT_S) is False
    assert claim.result(TIMEOUT_S) is None


def test_an_error_keeps_its_class_and_its_text(coordinator: Coordinator) -> None:
    error = StopPipeline(expected="a", got="b", where="c", action="d")
    coordinator.fail(error)
    fault = coordinator.status().fault
    assert type(fault) is StopPipeline
    assert str(fault) == str(error)


def test_its_end_reaches_who_waits_and_who_comes_later(coordinator: Coordinator, calls: ThreadPoolExecutor) -> None:
    coordinator.claim(0, 0)
    assert all(coordinator.admit(holds_slot=False) for _ in range(3))
    waiting = [waits(calls, coordinator.admit, holds_slot=False), waits(calls, coordinator.claim, 1, 0)]
    coordinator.close()
    for pending in waiting:
        with pytest.raises(ReadingEnded):
            pending.result(TIMEOUT_S)
    with pytest.raises(ReadingEnded):
        coordinator.claim(0, 1)
    with pytest.raises(ReadingEnded):
        coordinator.finish(0, 0, 6, holds_slot=False)
    # Rows that are routed or committed late change nothing any more.
    coordinator.charge(1)
    coordinator.credit(1, 1)
    coordinator.close()
