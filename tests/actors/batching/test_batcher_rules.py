"""The batcher: urgency, what it learns and forgets, and callers that wait in vain or leave."""

from __future__ import annotations

import asyncio

import pytest

from actors.batching.batcher import DynamicBatcher
from actors.batching.buckets import MAX_REMEMBERED_BUCKETS, Buckets, CloseReason, ItemSize
from actors.batching.recovery import RunnerFailed
from actors.settings import BatchPolicy
from tests.actors.fake_network import FakeItem, FakeNetwork, items_of
from tests.actors.virtual_time import VirtualExecutor, run_virtual


def test_the_most_urgent_item_of_a_batch_decides() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> float:
        batcher = network.batcher(max_batch_size=8, max_wait_s=5, deadline_s=2.0)
        fresh = asyncio.create_task(batcher.submit(items_of(0)))
        await asyncio.sleep(0.1)
        old = await batcher.submit(items_of(1), age_s=1.5)
        assert {served.closed_by for served in old + await fresh} == {CloseReason.DEADLINE}
        return network.runs[0].at_s

    assert run_virtual(scenario()) == pytest.approx(0.6)


def test_the_time_per_item_follows_a_network_that_becomes_faster() -> None:
    network = FakeNetwork(item_s=0.1)

    async def scenario() -> float:
        batcher = network.batcher(max_batch_size=8, max_wait_s=5, deadline_s=2.0)
        await batcher.submit(items_of(*range(8)))
        network.item_s = 0.01
        for start in range(8, 8 + 8 * 30, 8):
            await batcher.submit(items_of(*range(start, start + 8)))
        begin = asyncio.get_running_loop().time()
        await batcher.submit(items_of(1000, 1001))
        return network.runs[-1].at_s - begin

    assert run_virtual(scenario()) == pytest.approx(2.0, abs=0.005)


def test_what_was_learnt_of_many_shapes_is_bounded_and_the_newest_kept() -> None:
    buckets = Buckets[FakeItem, int]()
    for number in range(10 * MAX_REMEMBERED_BUCKETS):
        buckets.learn_time("busy", 0.1)
        buckets.learn_time(number, 0.1)
    assert len(buckets._memory) <= MAX_REMEMBERED_BUCKETS
    assert "busy" in buckets._memory


def test_callers_behind_a_full_queue_hear_of_a_dead_executor_too() -> None:
    async def scenario() -> list[object]:
        network = FakeNetwork(item_s=1)
        executor = VirtualExecutor(network.duration_s)
        batcher = DynamicBatcher(
            network.run_batch, lambda item: ItemSize("a", 1, 1), BatchPolicy(max_batch_size=1, max_queue_frames=1), executor
        )
        tasks = [asyncio.create_task(batcher.submit(items_of(number))) for number in range(3)]
        await asyncio.sleep(0.5)
        executor.shutdown()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = run_virtual(scenario())
    assert isinstance(first, list)
    assert [type(answer) for answer in others] == [RuntimeError] * 2


@pytest.mark.parametrize("turns", range(8))
def test_a_caller_that_is_cancelled_while_its_failure_arrives_harms_nobody(turns: int) -> None:
    network = FakeNetwork(item_s=1, sick=True)

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=1)
        leaver = asyncio.create_task(batcher.submit(items_of(0)))
        stayer = asyncio.create_task(batcher.submit(items_of(1)))
        await asyncio.sleep(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait([leaver])
        with pytest.raises(RunnerFailed):
            await stayer

    run_virtual(scenario())


def test_a_batch_may_be_filled_to_the_last_pixel() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=8, max_batch_pixels=4, max_wait_s=1)
        await asyncio.gather(batcher.submit(items_of(0, 1, pixels=2)), batcher.submit(items_of(2, 3, pixels=2)))

    run_virtual(scenario())
    assert [run.numbers for run in network.runs] == [(0, 1), (2, 3)]
    assert [run.at_s for run in network.runs] == [0, 0], "a full batch waits for nothing"


def test_a_new_policy_counts_at_once_for_what_waits() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> float:
        batcher = network.batcher(max_batch_size=8, max_wait_s=60)
        waiting = asyncio.create_task(batcher.submit(items_of(0)))
        await asyncio.sleep(1)
        batcher.reconfigure(BatchPolicy(max_batch_size=1))
        await waiting
        return network.runs[0].at_s

    assert run_virtual(scenario()) == pytest.approx(1)
