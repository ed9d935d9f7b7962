"""Claims, credits and stopping: what Ray Data does not guarantee."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from contracts.errors import RetryLater, StopPipeline
from pipeline.ingest.read_coordinator import ReadCoordinator


def coordinator(max_blocks: int = 2, max_bytes: int = 100) -> ReadCoordinator:
    return ReadCoordinator({0: 5, 1: 7}, max_blocks, max_bytes)


async def waits(call: Awaitable[object]) -> asyncio.Future[object]:
    """Start a call and make sure that it does not return by itself."""
    task = asyncio.ensure_future(call)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_a_claim_says_where_to_read_from() -> None:
    async def scenario() -> None:
        one = coordinator()
        assert await one.claim(0, 0) == 5
        assert await one.claim(0, 1) == 7

    asyncio.run(scenario())


def test_the_next_epoch_waits_until_the_partition_is_finished_and_goes_on_there() -> None:
    async def scenario() -> None:
        one = coordinator()
        await one.claim(0, 0)
        await one.claim(0, 1)
        second = await waits(one.claim(1, 0))
        await one.finish(0, 1, 20, holds_slot=False)
        await asyncio.sleep(0)
        assert not second.done(), "another partition's end lets nobody in"
        await one.finish(0, 0, 9, holds_slot=False)
        assert await second == 9
        assert (await one.status()).finished == {(0, 0): (5, 9), (0, 1): (7, 20)}

    asyncio.run(scenario())


def test_a_second_start_of_a_read_task_ends_the_generation() -> None:
    async def scenario() -> None:
        one = coordinator()
        await one.claim(0, 0)
        assert await one.claim(0, 0) is None
        status = await one.status()
        assert isinstance(status.fault, RetryLater)
        assert "epoch 0, partition 0" in str(status.fault)
        assert await one.claim(0, 1) is None, "nobody starts in a generation that is over"

    asyncio.run(scenario())


def test_blocks_in_flight_are_bounded_and_given_back() -> None:
    async def scenario() -> None:
        one = coordinator(max_blocks=2)
        # Two blocks, and a slot for each of the two readers.
        assert all([await one.admit(holds_slot=False) for _ in range(4)])
        fifth = await waits(one.admit(holds_slot=False))
        await one.credit(1, 0)
        assert await fifth
        assert (await one.status()).blocks_in_flight == 4

    asyncio.run(scenario())


def test_quiet_partitions_do_not_starve_a_busy_one() -> None:
    async def scenario() -> None:
        one = ReadCoordinator(dict.fromkeys(range(20), 0), max_blocks=2, max_bytes=100)
        for _ in range(19):
            assert await one.admit(holds_slot=False)
            assert await one.admit(holds_slot=True), "it waits for its first message, for as long as there is none"
        for _ in range(50):
            assert await asyncio.wait_for(one.admit(holds_slot=False), 1)
            await one.charge(10, 1)
            await one.credit(1, 10)

    asyncio.run(scenario())


def test_bytes_in_flight_are_bounded_but_one_large_block_passes() -> None:
    async def scenario() -> None:
        one = coordinator(max_blocks=10, max_bytes=100)
        await one.charge(1_000)
        assert await one.admit(holds_slot=False), "nothing else is in flight: a block larger than the bound must pass"
        second = await waits(one.admit(holds_slot=False))
        await one.credit(0, 950)
        assert await second

    asyncio.run(scenario())


def test_a_poll_that_found_nothing_keeps_its_slot() -> None:
    async def scenario() -> None:
        one = coordinator(max_blocks=1)
        assert await one.admit(holds_slot=False)
        assert await one.admit(holds_slot=True)
        assert (await one.status()).blocks_in_flight == 1
        await one.finish(0, 0, 5, holds_slot=True)
        assert (await one.status()).blocks_in_flight == 0

    asyncio.run(scenario())


def test_stop_releases_everybody() -> None:
    async def scenario() -> None:
        one = coordinator(max_blocks=1)
        await one.claim(0, 0)
        assert all([await one.admit(holds_slot=False) for _ in range(3)])
        blocked = await waits(one.admit(holds_slot=False))
        waiting = await waits(one.claim(1, 0))
        await one.stop()
        assert await blocked is False
        assert await waiting is None
        assert await one.admit(holds_slot=True) is False
        assert (await one.status()).blocks_in_flight == 2, "a held slot goes back with the refusal"

    asyncio.run(scenario())


def test_the_first_fault_counts() -> None:
    async def scenario() -> None:
        one = coordinator()
        first = StopPipeline(expected="a", got="b", where="c", action="d")
        await one.fail(first)
        await one.fail(RetryLater(expected="e", got="f", where="g", action="h"))
        assert (await one.status()).fault is first
        assert not await one.admit(holds_slot=False)

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["fail", "replay"])
def test_a_fault_releases_everybody(how: str) -> None:
    async def scenario() -> None:
        one = coordinator(max_blocks=1)
        await one.claim(0, 0)
        assert all([await one.admit(holds_slot=False) for _ in range(3)])
        blocked, waiting = await waits(one.admit(holds_slot=False)), await waits(one.claim(1, 0))
        if how == "fail":
            await one.fail(RetryLater(expected="e", got="f", where="g", action="h"))
        else:
            await one.claim(0, 0)
        assert await asyncio.wait_for(blocked, 120) is False
        assert await asyncio.wait_for(waiting, 120) is None

    asyncio.run(scenario())


def test_several_blocks_are_given_back_at_once() -> None:
    async def scenario() -> None:
        one = coordinator(max_blocks=3)
        for _ in range(3):
            assert await one.admit(holds_slot=False)
            await one.charge(10, 1)
        await one.credit(3, 30)
        status = await one.status()
        assert (status.blocks_in_flight, status.bytes_in_flight) == (0, 0)

    asyncio.run(scenario())


def test_a_replay_does_not_hide_the_first_fault() -> None:
    async def scenario() -> None:
        one = coordinator()
        first = StopPipeline(expected="a", got="b", where="c", action="d")
        await one.claim(0, 0)
        await one.fail(first)
        await one.claim(0, 0)
        assert (await one.status()).fault is first

    asyncio.run(scenario())


@pytest.mark.parametrize("messages", [[3, 4], [0, 0], [16]])
def test_messages_are_counted(messages: list[int]) -> None:
    async def scenario() -> None:
        one = coordinator()
        for count in messages:
            await one.charge(1, count)
        assert (await one.status()).messages == sum(messages)

    asyncio.run(scenario())
