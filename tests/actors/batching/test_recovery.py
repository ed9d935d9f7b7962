"""Trouble in a batch costs as few items as possible, and never an innocent one."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Hashable, Sequence

import numpy as np
import pytest
import structlog

from actors.batching.buckets import CloseReason
from actors.batching.recovery import Recovery, RunnerFailed
from actors.reply import FramePoison
from tests.actors.fake_network import FakeItem, FakeNetwork, items_of
from tests.actors.virtual_time import run_virtual


def test_out_of_memory_halves_and_keeps_the_bucket_small_for_a_while() -> None:
    network = FakeNetwork(item_s=0, capacity=3)

    async def scenario() -> None:
        batcher = network.batcher(max_batch_size=8, max_wait_s=0.01)
        first = await batcher.submit(items_of(*range(8)))
        assert [served.value for served in first] == [("done", number) for number in range(8)]
        assert [run.numbers for run in network.runs] == [tuple(range(8)), (0, 1, 2, 3), (0, 1), (2, 3), (4, 5, 6, 7), (4, 5), (6, 7)]
        assert batcher.stats().out_of_memory == 3

        network.runs.clear()
        second = await batcher.submit(items_of(*range(4)) + items_of(*range(10, 16), key="other shape"))
        assert {run.numbers for run in network.runs} >= {(0, 1), (2, 3)}, "no second failure for what was learnt"
        assert {served.batch_size for served in second[:4]} == {2}
        assert second[0].closed_by is CloseReason.FULL

        await asyncio.sleep(61)
        network.capacity = 100
        network.runs.clear()
        await batcher.submit(items_of(*range(8)))
        assert [run.numbers for run in network.runs] == [tuple(range(8))], "memory may be free again: the ceiling is forgotten"

    run_virtual(scenario())


def test_a_poisoned_item_is_found_and_the_others_get_their_results() -> None:
    network = FakeNetwork()
    batch = [FakeItem(number, poison=number == 11) for number in range(16)]

    recovered = run_virtual(_recover(network, batch))

    assert [index for index, result in enumerate(recovered) if isinstance(result, FramePoison)] == [11]
    assert recovered[11] == FramePoison("ValueError: this item is poison")
    assert [result for result in recovered if not isinstance(result, FramePoison)] == [("done", n) for n in range(16) if n != 11]
    assert network.probes == 1
    assert len(network.runs) == 10, "whole, four levels of two halves, and a second chance for the one alone"


def test_the_log_tells_where_in_the_network_a_poisoned_item_failed() -> None:
    with structlog.testing.capture_logs() as lines:
        run_virtual(_recover(FakeNetwork(), [FakeItem(0), FakeItem(1, poison=True)]))
    assert [(line["event"], line["log_level"]) for line in lines] == [("item_is_poison", "warning")]
    assert "in run_batch" in lines[0]["trace"]


def test_every_item_may_be_poison() -> None:
    network = FakeNetwork()
    recovered = run_virtual(_recover(network, [FakeItem(number, poison=True) for number in range(5)]))
    assert recovered == [FramePoison("ValueError: this item is poison")] * 5


@pytest.mark.parametrize("hiccups", [1, 2, 3])
def test_a_passing_hiccup_blames_nobody(hiccups: int) -> None:
    network = FakeNetwork(hiccups=hiccups)
    recovered = run_virtual(_recover(network, items_of(0, 1, 2, 3)))
    assert recovered == [("done", number) for number in range(4)]


def test_a_sick_network_blames_nobody() -> None:
    network = FakeNetwork(sick=True)
    with pytest.raises(RunnerFailed, match=r"device lost; the probe failed too: RuntimeError: device lost"):
        run_virtual(_recover(network, items_of(0, 1, 2, 3)))


def test_out_of_memory_for_a_single_item_needs_the_probes_word_too() -> None:
    network = FakeNetwork(capacity=0)
    assert run_virtual(_recover(network, items_of(0))) == [FramePoison("MemoryError: out of memory")]
    network.sick = True
    with pytest.raises(RunnerFailed):
        run_virtual(_recover(network, items_of(0)))


def test_a_wrong_number_of_results_is_the_networks_fault() -> None:
    recovery = Recovery[int, int](lambda _, items: items[1:], lambda _: False)
    with pytest.raises(RunnerFailed, match="2 results for 3 items"):
        recovery.run("a", [1, 2, 3])


def test_a_failed_attempt_holds_no_memory_while_the_halves_run() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    still_held: list[bool] = []

    def run_batch(key: Hashable, items: Sequence[int]) -> Sequence[int]:
        still_held.extend(reference() is not None for reference in alive)
        activations = np.zeros(1000)
        alive.append(weakref.ref(activations))
        if len(items) > 1:
            raise MemoryError
        return items

    recovered = Recovery[int, int](run_batch, lambda error: isinstance(error, MemoryError)).run("a", [1, 2, 3, 4])

    assert recovered.results == [1, 2, 3, 4]
    assert recovered.fits == 1
    assert still_held
    assert not any(still_held)


async def _recover(network: FakeNetwork, items: list[FakeItem]) -> list[tuple[str, int] | FramePoison]:
    recovery = Recovery(network.run_batch, lambda error: isinstance(error, MemoryError), network.probe)
    return recovery.run("a", items).results
