"""DynamicBatcher: when batches close, who gets what, what is bounded. All times are virtual."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.batching.batcher import DynamicBatcher
from actors.batching.buckets import CloseReason, ItemSize, Served
from actors.batching.recovery import RunnerFailed
from actors.settings import BatchPolicy
from tests.actors.fake_network import FakeItem, FakeNetwork, items_of
from tests.actors.virtual_time import NothingWillHappenError, run_virtual

Results = list[Served[tuple[str, int]]]


def numbers(results: Results) -> list[int]:
    return [result.value[1] for result in results if isinstance(result.value, tuple)]


def test_a_full_batch_starts_at_once() -> None:
    network = FakeNetwork(item_s=0.5)
    batcher = network.batcher(max_batch_size=4, max_wait_s=10)

    results = run_virtual(batcher.submit(items_of(0, 1, 2, 3)))

    assert numbers(results) == [0, 1, 2, 3]
    assert [(served.batch_size, served.closed_by, served.wait_ms) for served in results] == [(4, CloseReason.FULL, 0)] * 4
    assert results[0].compute_ms == pytest.approx(500), "batch time divided by its size"


def test_an_open_batch_waits_for_company_and_no_longer() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> tuple[Results, Results]:
        batcher = network.batcher(max_batch_size=4, max_wait_s=0.02)
        first = asyncio.create_task(batcher.submit(items_of(0, 1)))
        await asyncio.sleep(0.015)
        second = asyncio.create_task(batcher.submit(items_of(2)))
        return await first, await second

    first, second = run_virtual(scenario())

    assert [run.numbers for run in network.runs] == [(0, 1, 2)]
    assert network.runs[0].at_s == pytest.approx(0.02), "the oldest item decides"
    assert {served.closed_by for served in first + second} == {CloseReason.WAITED}
    assert [served.wait_ms for served in first + second] == pytest.approx([20, 20, 5])


def test_results_go_back_to_their_blocks_in_order() -> None:
    network = FakeNetwork()

    async def scenario() -> list[Results]:
        batcher = network.batcher(max_batch_size=3, max_wait_s=0.01)
        blocks = [items_of(0, 1), [FakeItem(2, "b"), FakeItem(3, "a"), FakeItem(4, "b")], items_of(5, 6, 7, key="b"), []]
        return await asyncio.gather(*(batcher.submit(block) for block in blocks))

    answers = run_virtual(scenario())

    assert [numbers(results) for results in answers] == [[0, 1], [2, 3, 4], [5, 6, 7], []]
    assert sorted(run.numbers for run in network.runs) == [(0, 1, 3), (2, 4, 5), (6, 7)]


@pytest.mark.parametrize("how", ["more_coming", "drain", "close"])
def test_nothing_more_coming_closes_at_once(how: str) -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=4, max_wait_s=10)
        task = asyncio.create_task(batcher.submit(items_of(0, 1), more_coming=how != "more_coming"))
        await asyncio.sleep(0.001)
        if how == "drain":
            await batcher.drain()
        elif how == "close":
            await batcher.close()
        return await task

    results = run_virtual(scenario())

    assert {served.closed_by for served in results} == {CloseReason.DRAINED}
    assert network.runs[0].at_s < 0.01


def test_after_a_drain_batches_wait_again() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=4, max_wait_s=1)
        await batcher.submit(items_of(0), more_coming=False)
        await batcher.drain()
        return await batcher.submit(items_of(1))

    assert run_virtual(scenario())[0].closed_by is CloseReason.WAITED


def test_a_deadline_closes_early_enough_for_the_time_the_batch_needs() -> None:
    network = FakeNetwork(item_s=0.1)

    async def scenario() -> tuple[Results, float]:
        batcher = network.batcher(max_batch_size=8, max_wait_s=5, deadline_s=1.5)
        await batcher.submit(items_of(*range(8)))  # teaches 0.1 s per item
        start_s = asyncio.get_running_loop().time()
        results = await batcher.submit(items_of(8, 9), age_s=0.5)
        return results, asyncio.get_running_loop().time() - start_s

    results, elapsed_s = run_virtual(scenario())

    assert {served.closed_by for served in results} == {CloseReason.DEADLINE}
    assert elapsed_s == pytest.approx(1.0), "done exactly in time: started 0.2 s before the last moment"


def test_items_that_are_late_already_start_at_once_but_do_not_overtake_for_ever() -> None:
    network = FakeNetwork(item_s=1)

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=1, max_wait_s=0.5, deadline_s=1)
        patient = asyncio.create_task(batcher.submit(items_of(0, 1, key="patient")))
        late = []
        for number in range(2, 6):
            late.append(asyncio.create_task(batcher.submit(items_of(number, key="late"), age_s=100)))
            await asyncio.sleep(0.4)
        await asyncio.gather(patient, *late)

    run_virtual(scenario())

    order = [run.numbers[0] for run in network.runs]
    assert order.index(1) < order.index(5), "an item that came much later must not pass by being late"


def test_buckets_take_turns_by_age() -> None:
    network = FakeNetwork(item_s=1)

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=2, max_wait_s=0.5)
        flood = asyncio.create_task(batcher.submit(items_of(*range(8), key="flood")))
        await asyncio.sleep(0.1)
        rare = asyncio.create_task(batcher.submit(items_of(100, key="rare")))
        await asyncio.sleep(0.1)
        later = asyncio.create_task(batcher.submit(items_of(*range(8, 16), key="flood")))
        await asyncio.gather(flood, rare, later)

    run_virtual(scenario())

    order = [run.numbers[0] for run in network.runs]
    assert order.index(100) < order.index(8), "the rare bucket is not starved by the busy one"


def test_pixels_bound_a_batch_and_a_huge_item_runs_alone() -> None:
    network = FakeNetwork()

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=10, max_batch_pixels=100, max_wait_s=0.01)
        return await batcher.submit(items_of(0, 1, 2, pixels=40) + items_of(3, pixels=500) + items_of(4, pixels=100))

    results = run_virtual(scenario())

    assert [run.numbers for run in network.runs] == [(0, 1), (2,), (3,), (4,)]
    assert {served.closed_by for served in results} == {CloseReason.FULL}


@pytest.mark.parametrize(("limits", "most"), [({"max_queue_frames": 6}, 6), ({"max_queue_bytes": 60}, 6)], ids=["frames", "bytes"])
def test_callers_wait_while_the_queue_is_full(limits: dict[str, int], most: int) -> None:
    network = FakeNetwork(item_s=0.1)
    held: list[int] = []

    async def scenario() -> list[Results]:
        batcher = network.batcher(1, max_batch_size=4, max_wait_s=0.01, **limits)
        tasks = [asyncio.create_task(batcher.submit(items_of(*range(start, start + 5), num_bytes=10))) for start in range(0, 50, 5)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.01)
            stats = batcher.stats()
            held.append(stats.held_items)
            assert stats.held_bytes == 10 * stats.held_items
        assert batcher.stats().held_items == 0
        return [task.result() for task in tasks]

    answers = run_virtual(scenario())

    assert max(held) == most
    assert [numbers(results) for results in answers] == [list(range(start, start + 5)) for start in range(0, 50, 5)]


def test_an_item_larger_than_the_queue_is_let_in_alone() -> None:
    network = FakeNetwork()
    batcher = network.batcher(max_queue_bytes=100, max_wait_s=0.01)

    results = run_virtual(batcher.submit([FakeItem(0, num_bytes=10), FakeItem(1, num_bytes=1000), FakeItem(2, num_bytes=10)]))

    assert numbers(results) == [0, 1, 2]
    assert [run.numbers for run in network.runs] == [(0,), (1,), (2,)]


def test_a_queue_full_of_open_batches_does_not_wait_for_what_cannot_join() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=4, max_queue_frames=4, max_wait_s=60)
        task = asyncio.create_task(batcher.submit([FakeItem(number, key=f"bucket {number}") for number in range(6)]))
        await asyncio.sleep(1)
        await batcher.drain()
        return await task

    results = run_virtual(scenario())

    assert [served.closed_by for served in results[:2]] == [CloseReason.FULL] * 2, "two had to make room"
    assert max(run.at_s for run in network.runs) <= 1


def test_a_shorter_wait_acts_on_what_is_queued() -> None:
    network = FakeNetwork(item_s=0)

    async def scenario() -> float:
        batcher = network.batcher(max_batch_size=4, max_wait_s=50)
        task = asyncio.create_task(batcher.submit(items_of(0)))
        await asyncio.sleep(1)
        batcher.reconfigure(BatchPolicy(max_batch_size=2, max_wait_s=3))
        await task
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == pytest.approx(3)


def test_one_batch_runs_at_a_time_unless_told_otherwise() -> None:
    async def scenario(max_running: int) -> float:
        batcher = FakeNetwork(item_s=1).batcher(max_running, max_batch_size=1)
        await batcher.submit(items_of(0, 1, 2, 3))
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario(1)) == pytest.approx(4)
    assert run_virtual(scenario(2)) == pytest.approx(2)


def test_a_cancelled_caller_takes_back_what_has_not_started() -> None:
    network = FakeNetwork(item_s=1)

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=2, max_queue_frames=4, max_wait_s=0.1)
        leaver = asyncio.create_task(batcher.submit(items_of(0, 1, 2, 3, 4, 5)))  # 2 run, 2 are queued, 2 wait
        await asyncio.sleep(0.5)
        stayer = asyncio.create_task(batcher.submit(items_of(6, 7)))
        await asyncio.sleep(0.1)
        leaver.cancel()
        results = await stayer
        with pytest.raises(asyncio.CancelledError):
            await leaver
        stats = batcher.stats()
        assert (stats.held_items, stats.held_bytes, stats.queued_items, stats.waiting_items) == (0, 0, 0, 0)
        await batcher.close()
        return results

    results = run_virtual(scenario())

    assert numbers(results) == [6, 7]
    assert [run.numbers for run in network.runs] == [(0, 1), (6, 7)]


@pytest.mark.parametrize("turns", range(8))
def test_a_caller_that_is_cancelled_while_its_result_arrives_harms_nobody(turns: int) -> None:
    network = FakeNetwork(item_s=1)

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=1)
        leaver = asyncio.create_task(batcher.submit(items_of(0)))
        stayer = asyncio.create_task(batcher.submit(items_of(1)))
        await asyncio.sleep(1)  # the result is on its way through callbacks of the loop: hit each turn of it once
        for _ in range(turns):
            await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait([leaver])
        return await stayer

    assert numbers(run_virtual(scenario())) == [1]


def test_close_finishes_everything_in_hand_and_refuses_more() -> None:
    network = FakeNetwork(item_s=0.1)

    async def scenario() -> Results:
        batcher = network.batcher(max_batch_size=4, max_queue_frames=4, max_wait_s=60)
        task = asyncio.create_task(batcher.submit(items_of(*range(11))))
        await asyncio.sleep(0)
        await batcher.close()
        assert batcher.stats().held_items == 0
        with pytest.raises(RuntimeError, match="after close"):
            await batcher.submit(items_of(99))
        return await task

    assert numbers(run_virtual(scenario())) == list(range(11))


def test_an_idle_batcher_leaves_the_loop_alone() -> None:
    async def scenario() -> None:
        batcher = FakeNetwork().batcher(max_batch_size=4, max_wait_s=0.1)
        await batcher.submit(items_of(0, 1))
        await asyncio.get_running_loop().create_future()

    # A polling timer would keep virtual time running for ever instead.
    with pytest.raises(NothingWillHappenError):
        run_virtual(scenario())


def test_a_dead_executor_is_an_error_not_a_hang() -> None:
    async def scenario() -> None:
        network = FakeNetwork()
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        batcher = DynamicBatcher(network.run_batch, lambda item: ItemSize("a", 1, 1), BatchPolicy(max_batch_size=1), executor)
        await batcher.submit(items_of(0, 1))

    with pytest.raises(RuntimeError, match="shutdown"):
        run_virtual(scenario())


def test_statistics_add_up() -> None:
    network = FakeNetwork()

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=4, max_wait_s=0.01)
        await batcher.submit(items_of(0, 1, 2, 3))
        await batcher.submit(items_of(4, 5))
        await batcher.submit([FakeItem(6, poison=True)], more_coming=False)
        stats = batcher.stats()
        assert stats.items == 7
        assert stats.batches == 3
        assert stats.closed_by == {"full": 1, "waited": 1, "drained": 1, "deadline": 0}
        assert stats.batch_sizes == {1: 1, 2: 1, 4: 1}
        assert stats.poisoned == 1
        assert stats.attempts == len(network.runs) == 4, "the poisoned item had a second chance"

    run_virtual(scenario())


def test_a_sick_network_is_shown_until_it_is_well() -> None:
    network = FakeNetwork(sick=True)

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=2)
        with pytest.raises(RunnerFailed, match="device lost"):
            await batcher.submit(items_of(0, 1))
        assert "device lost" in str(batcher.stats().failure)
        assert batcher.stats().held_items == 0
        network.sick = False
        assert numbers(await batcher.submit(items_of(2, 3))) == [2, 3]
        assert batcher.stats().failure is None

    run_virtual(scenario())


def test_the_event_loop_stays_free_while_a_real_thread_computes() -> None:
    gate = threading.Event()

    def run_batch(key: Hashable, items: Sequence[int]) -> list[int]:
        assert gate.wait(timeout=120), "the loop must go on and open the gate"
        return [item * 2 for item in items]

    async def scenario(executor: ThreadPoolExecutor) -> list[int | object]:
        batcher = DynamicBatcher(run_batch, lambda item: ItemSize("a", 1, 1), BatchPolicy(max_batch_size=2), executor)
        tasks = [asyncio.create_task(batcher.submit([number, number + 1])) for number in (0, 2)]
        await asyncio.sleep(0)
        gate.set()
        return [served.value for task in tasks for served in await task]

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(scenario(executor)) == [0, 2, 4, 6]
