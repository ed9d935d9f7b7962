"""A candidate that works beside production: its answers for a share of the frames, in place of those of one network.

The other networks' answers are production's, taken over; only the classifier is asked again where the candidate finds the targets.
Production comes first: the candidate's rows are waited for a while only, and not at all while the stream is behind. What is passed over
is an explicit gap row. A candidate that fails is put away, and production goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import structlog

from actors.reply import ActorCrashed, Output, Reply
from contracts.block import pack_block
from contracts.result import FrameResult, Gap, Outcome
from contracts.shadow_run import ShadowRun, in_share
from pipeline.inference.router import Answers, ModelHandles, RoutedBlock, Router
from pipeline.inference.rules import LiveRules, SensorRules
from pipeline.settings import StreamSettings

_BYTES_AT_ONCE = 64 * 2**20
_UNANSWERED_AT_MOST = 20
Say = Callable[[str], None]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ShadowRows:
    """Rows of a shadow for one block.

    Attributes:
        run_id: whose.
        outcomes: one for each position of its share, in log order; neighbours that were passed over are one gap row.
        passed_over: frames that the candidate was not asked for, or did not answer in time.
    """

    run_id: str
    outcomes: tuple[Outcome, ...]
    passed_over: int = 0


class CandidateError(Exception):
    """The candidate raised an error."""


class Shadow:
    """One candidate at work. Its methods belong to the loop that the routers run on."""

    def __init__(
        self,
        terms: ShadowRun,
        candidate: Callable[..., Awaitable[Reply[Any]]],
        production: ModelHandles,
        settings: StreamSettings,
        rules: LiveRules,
        *,
        patience_s: float,
        max_lag_s: float | None,
        adapted: Callable[[SensorRules], SensorRules] = lambda rules: rules,
    ) -> None:
        """Nothing is asked yet.

        Args:
            terms: run id, role and share.
            candidate: asked as the network of its role is.
            production: the networks that it works beside.
            settings: as production joins and names detections.
            rules: as production leaves out and suppresses detections.
            patience_s: longest time that rows of production wait for those of the shadow.
            max_lag_s: frames that came to Kafka longer ago are passed over; None: none are.
            adapted: makes the rules of production those of the candidate, whose scores may mean something else.
        """
        self._adapted = adapted
        self.terms = terms
        self.rows: Counter[str] = Counter()
        self._candidate = candidate
        self._production = production
        self._settings = settings
        self._rules = rules
        self._patience_s = patience_s
        self._max_lag_s = max_lag_s
        self._in_work = 0
        self._unanswered = 0

    @property
    def too_slow(self) -> bool:
        """True when one block after another went by without an answer."""
        return self._unanswered >= _UNANSWERED_AT_MOST

    def begin(self, routed: RoutedBlock) -> Callable[[], Awaitable[ShadowRows]]:
        """Start with a block of production: afterwards its pixels are not needed any more.

        Returns:
            Asks, and gives its rows after `patience_s` at the latest; raises CandidateError.
        """
        items = [each for each in routed.outcomes if isinstance(each, Gap) or in_share(each.position, self.terms.share)]
        wanted = {each.position.offset for each in items if isinstance(each, FrameResult)}
        if not wanted:
            return partial(_at_once, ShadowRows(self.terms.run_id, tuple(items)))
        if self._max_lag_s is not None and (behind_s := _age_s(items)) > self._max_lag_s:
            return partial(_at_once, self._passed_over(items, f"the stream is {behind_s:.0f} s behind"))
        chosen = [index for index, frame in enumerate(routed.view.frames) if frame.position.offset in wanted]
        frames = tuple(routed.view.frames[index] for index in chosen)
        block = pack_block(replace(routed.view, frames=frames, rejections=(), gap_stop=None))
        if self._in_work and self._in_work + block.nbytes > _BYTES_AT_ONCE:
            return partial(_at_once, self._passed_over(items, f"{_BYTES_AT_ONCE // 2**20} MiB of frames wait for it already"))
        assert routed.answers is not None
        handles = self._handles(routed.answers, chosen)
        return partial(self._asked, items, block, handles)

    async def _asked(self, items: Sequence[Outcome], block: pa.Table, handles: ModelHandles) -> ShadowRows:
        self._in_work += block.nbytes
        try:
            async with asyncio.timeout(self._patience_s) as limit:
                found = await Router(handles, self._settings, LiveRules(self._adapted(self._rules.now))).route(block, _itself)
        except TimeoutError:
            if not limit.expired():
                raise
            self._unanswered += 1
            return self._passed_over(items, f"the candidate did not answer within {self._patience_s:g} s")
        except CandidateError:
            raise
        except Exception as error:  # noqa: BLE001 - one of production's networks: the generation hears of it by itself
            log.warning("shadow_without_answer", run_id=self.terms.run_id, error=str(error))
            self._unanswered += 1
            return self._passed_over(items, "a network of production gave no answer")
        finally:
            self._in_work -= block.nbytes
        self._unanswered = 0
        answers = {each.position: each for each in found.outcomes}
        return ShadowRows(self.terms.run_id, tuple(answers[each.position] if isinstance(each, FrameResult) else each for each in items))

    def _handles(self, answers: Answers, chosen: Sequence[int]) -> ModelHandles:
        role = self.terms.role
        return ModelHandles(
            detector=self._ask if role == "detector" else _taken_over(answers.detector, chosen),
            segmenter=self._ask if role == "segmenter" else _taken_over(answers.segmenter, chosen),
            classifier=self._ask if role == "classifier" else self._production.classifier,
        )

    async def _ask(self, *arguments: Any) -> Reply[Any]:
        try:
            return await self._candidate(*arguments)
        except ActorCrashed:
            raise
        except Exception as error:
            raise CandidateError(str(error) or type(error).__name__) from error

    def _passed_over(self, items: Sequence[Outcome], why: str) -> ShadowRows:
        rows: list[Outcome] = []
        num, now = 0, datetime.now(UTC)
        detail = f"expected an answer of the candidate; got none: {why}"
        for each in items:
            if not isinstance(each, FrameResult):
                rows.append(each)
                continue
            num += 1
            stop = each.position.offset + 1
            if rows and isinstance(last := rows[-1], Gap) and last.detail is detail:
                rows[-1] = replace(last, stop=stop)
            else:
                rows.append(Gap(position=each.position, stop=stop, detail=detail, ingested_at=each.ingested_at, finished_at=now))
        return ShadowRows(self.terms.run_id, tuple(rows), num)


class LiveShadow:
    """The shadow that is at work now, if any; it may be exchanged from any thread while frames flow. It never fails."""

    def __init__(self) -> None:
        """None is."""
        self.now: Shadow | None = None
        self._say: Say = lambda text: None
        self._on_end: Callable[[Shadow], None] = lambda shadow: None
        self._said: set[Shadow] = set()

    def heard_by(self, say: Say, on_end: Callable[[Shadow], None]) -> None:
        """Tell `say` once of each kind of trouble, and `on_end` of a shadow that has been put away; neither may block."""
        self._say, self._on_end = say, on_end

    def exchange(self, shadow: Shadow | None) -> None:
        """From the next block on, this one is at work."""
        self.now = shadow

    def begin(self, routed: RoutedBlock) -> asyncio.Future[ShadowRows | None] | None:
        """Start with a block, on the loop of the routers; its rows, None where it fails; None where no shadow is."""
        if (shadow := self.now) is None:
            return None
        try:
            return asyncio.ensure_future(self._rows(shadow, shadow.begin(routed)))
        except Exception as error:  # noqa: BLE001 - whatever it is, production goes on
            self._end(shadow, error)
            return None

    async def _rows(self, shadow: Shadow, ask: Callable[[], Awaitable[ShadowRows]]) -> ShadowRows | None:
        try:
            rows = await ask()
        except Exception as error:  # noqa: BLE001 - likewise
            self._end(shadow, error)
            return None
        shadow.rows += Counter(rows=sum(not isinstance(each, Gap) for each in rows.outcomes), passed_over=rows.passed_over)
        if rows.passed_over and shadow not in self._said:
            self._said.add(shadow)
            first = next(each.detail for each in rows.outcomes if isinstance(each, Gap))
            self._tell(f"{rows.run_id}: frames are passed over ({first.partition(': ')[2]}); they are gap rows, and are counted")
        if shadow.too_slow:
            self._end(shadow, CandidateError(f"no answer in time for {_UNANSWERED_AT_MOST} blocks, one after the other"))
        return rows

    def _tell(self, text: str) -> None:
        """Say it, where there is somebody who listens: a closed terminal or a full disk is no end of production."""
        with suppress(Exception, SystemExit):
            self._say(text)

    def _end(self, shadow: Shadow, error: Exception) -> None:
        if self.now is not shadow:
            return  # it is put away already
        self.now = None
        log.warning("shadow_ended", run_id=shadow.terms.run_id, error=str(error), kind=type(error).__name__)
        self._tell(f"{shadow.terms.run_id} has ended, production goes on: {error}")
        self._on_end(shadow)


def _taken_over(reply: Reply[Output], chosen: Sequence[int]) -> Callable[[Any], Awaitable[Reply[Output]]]:
    """A network that gives, for some frames of a block, the answers that it gave before."""
    taken = replace(
        reply,
        outputs=[reply.outputs[index] for index in chosen],
        batches=[reply.batches[index] for index in chosen],
        compute_ms=[reply.compute_ms[index] for index in chosen],
        wait_ms=[reply.wait_ms[index] for index in chosen],
    )

    async def answer(block: Any) -> Reply[Output]:
        return taken

    return answer


async def _at_once(rows: ShadowRows) -> ShadowRows:
    return rows


async def _itself(block: pa.Table) -> pa.Table:
    return block


def _age_s(items: Sequence[Outcome]) -> float:
    newest = max(each.ingested_at for each in items if isinstance(each, FrameResult))
    return (datetime.now(UTC) - newest).total_seconds()
