"""A frame that kills the process of a network is found; everybody else in flight gets an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from actors.reply import ActorCrashed, DetectorReply, FramePoison, Reply
from contracts.block import unpack_block
from contracts.errors import GenerationFailed, RetryLater
from contracts.outputs import Detections
from contracts.result import DeadLetter, FrameResult, ModelRef
from pipeline.inference.crash_isolation import Isolation
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.inference.test_router import block, frame, route

KILLER = 200


class Mortal(RuleNetworks):
    """Its detector is one process: a frame marked `KILLER` ends it, and with it every call that is under way."""

    def __init__(self, spurious_deaths: int = 0) -> None:
        super().__init__(delay_s=0.01)
        self.spurious_deaths = spurious_deaths
        self.deaths = 0
        self.calls: list[list[int]] = []
        self._life = asyncio.Event()

    async def detect(self, block: Any) -> DetectorReply:
        life, marks = self._life, [int(each.pixels_HW[0, 0]) for each in unpack_block(block).frames]
        self.calls.append(marks)
        await asyncio.sleep(self.delay_s)
        if KILLER in marks or self.spurious_deaths > self.deaths:
            self.deaths += 1
            self._life.set()
            self._life = asyncio.Event()
        if life.is_set():
            raise ActorCrashed(expected="an answer", got="its process died", where="test", action="Again.")
        return await super().detect(block)


async def ask_all(network: Mortal, tables: Sequence[pa.Table]) -> list[DetectorReply]:
    isolation: Isolation[Detections] = Isolation("detector", network.detect)
    return await asyncio.gather(*(isolation(table, unpack_block(table)) for table in tables))


def answers(reply: Reply[Any]) -> list[int | str]:
    return ["poison" if isinstance(output, FramePoison) else len(output.boxes_xyxy_px) for output in reply.outputs]


def tables(*marks: Sequence[int]) -> list[pa.Table]:
    return [block([frame(index, mark) for index, mark in enumerate(each)], stop=len(each)) for each in marks]


def test_the_frame_is_found_and_all_others_in_flight_get_their_answers() -> None:
    network = Mortal()
    replies = asyncio.run(ask_all(network, tables([1, 2, 3], [4, KILLER, 5, 6], [7, 8])))
    assert [answers(reply) for reply in replies] == [[1, 2, 3], [4, "poison", 5, 6], [7, 8]]
    poison = replies[1].outputs[1]
    assert isinstance(poison, FramePoison)
    assert "detector died 2 times on this frame alone" in poison.detail
    assert network.deaths == 4, "in flight, in its block, and twice alone"


def test_a_process_that_dies_for_another_reason_costs_one_call_more_for_each_block() -> None:
    network = Mortal(spurious_deaths=1)
    replies = asyncio.run(ask_all(network, tables([1, 2], [3], [4, 5])))
    assert [answers(reply) for reply in replies] == [[1, 2], [3], [4, 5]]
    assert sorted(map(tuple, network.calls)) == sorted([(1, 2), (3,), (4, 5)] * 2)


def test_two_poisonous_frames_of_one_block_are_both_found() -> None:
    replies = asyncio.run(ask_all(Mortal(), tables([KILLER, 1, KILLER])))
    assert [answers(reply) for reply in replies] == [["poison", 1, "poison"]]


def test_a_block_of_nothing_but_poison_has_no_model_to_name() -> None:
    (reply,) = asyncio.run(ask_all(Mortal(), tables([KILLER])))
    assert answers(reply) == ["poison"]


def test_nothing_new_reaches_a_network_while_somebody_is_suspected() -> None:
    async def scenario() -> Mortal:
        network = Mortal()
        isolation: Isolation[Detections] = Isolation("detector", network.detect)
        (suspect, late) = tables([1, KILLER], [9])
        running = asyncio.ensure_future(isolation(suspect, unpack_block(suspect)))
        while not network.deaths:
            await asyncio.sleep(0.001)
        assert answers(await isolation(late, unpack_block(late))) == [9]
        await running
        return network

    assert asyncio.run(scenario()).calls == [[1, KILLER], [1, KILLER], [1], [KILLER], [KILLER], [9]]


def test_a_network_that_is_exchanged_in_the_middle_ends_the_generation() -> None:
    class Exchanged(Mortal):
        async def detect(self, block: Any) -> DetectorReply:
            reply = await super().detect(block)
            name = f"model {len(self.calls)}"
            return DetectorReply(reply.outputs, ModelRef("detection", name, ""), reply.batches, reply.compute_ms, reply.wait_ms)

    with pytest.raises(GenerationFailed, match="exchanged"):
        asyncio.run(ask_all(Exchanged(), tables([1, KILLER, 2])))


def test_the_row_of_the_frame_is_a_rejection_and_its_neighbours_are_results() -> None:
    network = Mortal()
    outcomes = route(block([frame(0, 1), frame(1, KILLER), frame(2, 2)], stop=3), network).outcomes
    assert [type(outcome) for outcome in outcomes] == [FrameResult, DeadLetter, FrameResult]
    (letter,) = [outcome for outcome in outcomes if isinstance(outcome, DeadLetter)]
    assert letter.reason.value == "poison"
    assert "died 2 times" in letter.detail


def test_a_network_that_stays_dead_ends_the_generation() -> None:
    class Silent(Mortal):
        async def detect(self, block: Any) -> DetectorReply:
            if self.deaths:
                await asyncio.Event().wait()
            return await super().detect(block)

    with pytest.raises(RetryLater, match=r"an answer of the model actors within"):
        route(block([frame(0, KILLER)], stop=1), Silent(), model_timeout_s=0.2)
