"""Whatever the timing, sizes, failures and changes of policy: every item gets exactly one right result, in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.batching.batcher import DynamicBatcher
from actors.batching.buckets import Served
from actors.batching.recovery import RunnerFailed
from actors.reply import FramePoison
from actors.settings import BatchPolicy
from tests.actors.fake_network import FakeItem, FakeNetwork
from tests.actors.virtual_time import run_virtual

pytestmark = pytest.mark.slow

Batcher = DynamicBatcher[FakeItem, tuple[str, int]]
Answer = list[Served[tuple[str, int]]] | BaseException
EPSILON_S = 1e-6


@dataclass(frozen=True)
class Call:
    """One caller: comes at `at_s`, and loses patience after `patience_s`."""

    at_s: float
    items: tuple[tuple[str, int, int, bool], ...]
    age_s: float
    more_coming: bool
    patience_s: float | None


@dataclass(frozen=True)
class Change:
    """Something that happens to the network or the policy at a moment."""

    at_s: float
    capacity: int | None = None
    sick: bool | None = None
    policy: BatchPolicy | None = None
    drain: bool = False


moments = st.floats(0, 1, allow_nan=False).map(lambda moment: round(moment, 3))
policies = st.builds(
    lambda size, pixels, wait_s, deadline_s, spare, num_bytes: BatchPolicy(
        max_batch_size=size,
        max_batch_pixels=pixels,
        max_wait_s=wait_s,
        deadline_s=deadline_s,
        max_queue_frames=size + spare,
        max_queue_bytes=num_bytes,
    ),
    st.integers(1, 6),
    st.integers(1, 20),
    st.sampled_from([0.0, 0.01, 0.3]),
    st.sampled_from([None, 0.05, 1.0]),
    st.integers(0, 6),
    st.integers(1, 30),
)
items = st.tuples(st.sampled_from("ab"), st.integers(1, 12), st.integers(0, 12), st.integers(0, 9).map(lambda number: number == 0))
calls = st.builds(
    Call,
    at_s=moments,
    items=st.lists(items, max_size=8).map(tuple),
    age_s=st.sampled_from([0.0, 0.04, 5.0]),
    more_coming=st.booleans() | st.just(True),
    patience_s=st.none() | st.none() | moments,
)
changes = st.one_of(
    st.builds(Change, at_s=moments, capacity=st.integers(1, 6)),
    st.builds(Change, at_s=moments, policy=policies),
    st.builds(Change, at_s=moments, drain=st.just(True)),
)
illnesses = st.builds(Change, at_s=moments, sick=st.booleans())


async def play(
    network: FakeNetwork, policy: BatchPolicy, script: list[Call], events: list[Change], max_running: int
) -> tuple[list[tuple[list[FakeItem], Answer]], Batcher]:
    """Act out a script; every caller's items and what it got."""
    batcher = network.batcher(max_running, **policy.model_dump())
    numbers = iter(range(1_000_000))

    async def call(plan: Call) -> tuple[list[FakeItem], Answer]:
        await asyncio.sleep(plan.at_s)
        mine = [FakeItem(next(numbers), *item) for item in plan.items]
        submitted = batcher.submit(mine, age_s=plan.age_s, more_coming=plan.more_coming)
        try:
            return mine, await asyncio.wait_for(submitted, plan.patience_s)
        except (TimeoutError, RunnerFailed) as error:
            return mine, error

    async def happen(change: Change) -> None:
        await asyncio.sleep(change.at_s)
        network.capacity = network.capacity if change.capacity is None else change.capacity
        network.sick = network.sick if change.sick is None else change.sick
        if change.policy is not None:
            batcher.reconfigure(change.policy)
        if change.drain:
            await batcher.drain()

    answers = asyncio.gather(*(call(plan) for plan in script))
    await asyncio.gather(*(happen(change) for change in events))
    got = await answers
    await batcher.close()
    return got, batcher


def assert_answer_is_right(mine: list[FakeItem], answer: Answer) -> None:
    assert isinstance(answer, list)
    assert len(answer) == len(mine)
    for item, served in zip(mine, answer, strict=True):
        if item.poison:
            assert served.value == FramePoison("ValueError: this item is poison")
        else:
            assert served.value == ("done", item.number)
        assert served.wait_ms >= 0


def assert_nothing_is_left(batcher: Batcher) -> None:
    stats = batcher.stats()
    assert (stats.queued_items, stats.waiting_items, stats.held_items, stats.held_bytes, stats.running_batches) == (0, 0, 0, 0, 0)


@settings(max_examples=120, deadline=None)
@given(
    policy=policies,
    script=st.lists(calls, min_size=1, max_size=8),
    events=st.lists(changes, max_size=4),
    item_s=st.sampled_from([0.0, 0.003, 0.1]),
    max_running=st.integers(1, 2),
)
def test_every_item_gets_exactly_one_result_in_order(
    policy: BatchPolicy, script: list[Call], events: list[Change], item_s: float, max_running: int
) -> None:
    network = FakeNetwork(item_s=item_s)

    got, batcher = run_virtual(play(network, policy, script, events, max_running))

    for (mine, answer), plan in zip(got, script, strict=True):
        if isinstance(answer, TimeoutError):
            assert plan.patience_s is not None, "only an impatient caller may go without"
        else:
            assert_answer_is_right(mine, answer)
    keys = {item.number: item.key for mine, _ in got for item in mine}
    for run in network.runs:
        assert {keys[number] for number in run.numbers} == {run.key}, "a batch mixes no shapes"
    assert_nothing_is_left(batcher)


@settings(max_examples=60, deadline=None)
@given(policy=policies, script=st.lists(calls, min_size=1, max_size=8), events=st.lists(changes | illnesses, max_size=5))
def test_a_sick_network_costs_whole_blocks_but_never_a_wrong_result(policy: BatchPolicy, script: list[Call], events: list[Change]) -> None:
    got, batcher = run_virtual(play(FakeNetwork(item_s=0.01), policy, script, events, 1))

    for mine, answer in got:
        if isinstance(answer, list):
            assert_answer_is_right(mine, answer)
    assert_nothing_is_left(batcher)


@settings(max_examples=60, deadline=None)
@given(policy=policies, script=st.lists(calls, min_size=1, max_size=8))
def test_batches_keep_the_policy_and_the_idle_network_never_lets_an_item_wait_too_long(policy: BatchPolicy, script: list[Call]) -> None:
    network = FakeNetwork(item_s=0.01)
    patient = [Call(plan.at_s, plan.items, plan.age_s, plan.more_coming, None) for plan in script]

    got, _ = run_virtual(play(network, policy, patient, [], 1))

    entries = {item.number: item for mine, _ in got for item in mine}
    order: defaultdict[object, list[int]] = defaultdict(list)
    seen: set[int] = set()
    for run in network.runs:
        assert len(run.numbers) <= policy.max_batch_size
        assert len(run.numbers) == 1 or sum(entries[number].pixels for number in run.numbers) <= policy.max_batch_pixels
        order[run.key].extend(number for number in run.numbers if number not in seen)
        seen.update(run.numbers)
    for numbers in order.values():
        assert numbers == sorted(numbers), "within a bucket, first in is first computed"
    all_items = sum(len(mine) for mine, _ in got)
    for mine, answer in got:
        if mine and isinstance(answer, list):
            most_s = policy.max_wait_s + all_items * network.item_s
            assert max(served.wait_ms for served in answer) / 1000 <= most_s + EPSILON_S
