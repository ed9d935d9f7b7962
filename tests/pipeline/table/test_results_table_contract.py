"""What the committer relies on, for the real table and for the fake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.errors import StopPipeline
from contracts.position import OffsetRange
from contracts.result import Gap, Outcome
from pipeline.table.beside import BesideRows
from pipeline.table.results_table import OutcomeTable, ResultsTable
from tests.outcomes import gap, letter, result
from tests.pipeline.fakes import MemoryStorage, MemoryTable
from tests.pipeline.results import read_rows


@dataclass(frozen=True)
class Place:
    """Where tables live: `open` is what a process does at its start."""

    open: Callable[[str], OutcomeTable]
    rows: Callable[[str], list[Outcome]]


@pytest.fixture(params=["memory", "delta"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "memory":
        storage = MemoryStorage()
        return Place(lambda run_id: MemoryTable(storage, run_id), lambda run_id: [row for run, row in storage.rows if run == run_id])

    def open_delta(run_id: str) -> OutcomeTable:
        table = ResultsTable(str(tmp_path / "results"), run_id)
        table.open_or_create()
        return table

    return Place(open_delta, lambda run_id: read_rows(tmp_path / "results", run_id))


def span(start: int, stop: int, partition: int = 0, topic: str = "frames") -> OffsetRange:
    return OffsetRange(topic, partition, start, stop)


def test_rows_and_offsets_become_visible_together(place: Place) -> None:
    table = place.open("live")
    assert table.next_offsets("frames", range(3)) == {}
    outcomes: list[Outcome] = [result(0), letter(1), gap(2, 5), result(0, partition=2)]
    info = table.append(outcomes, [span(0, 5), span(0, 4, partition=2)], {"frames": "id-1"})
    assert info.num_rows == 4
    assert table.next_offsets("frames", range(3)) == {0: 5, 2: 4}
    assert place.open("live").next_offsets("frames", range(3)) == {0: 5, 2: 4}
    assert place.rows("live") == outcomes


def test_rows_of_another_run_become_visible_beside_and_gaps_say_where_it_was_not_at_work(place: Place) -> None:
    table = place.open("live")
    table.append([result(0), result(1)], [span(0, 2)], {"frames": "id-1"})
    mine = [BesideRows("shadow:mine", span(2, 4), (result(3),)), BesideRows("shadow:mine", span(6, 7), ())]
    table.append([result(offset) for offset in range(2, 7)], [span(2, 4), span(4, 6), span(6, 7)], {"frames": "id-1"}, mine)
    table.append([result(7)], [span(7, 8)], {"frames": "id-1"}, [BesideRows("shadow:mine", span(7, 8), (result(7),))])
    rows = place.rows("shadow:mine")
    assert [(row.position.offset, row.stop if isinstance(row, Gap) else None) for row in rows] == [(0, 2), (3, None), (4, 6), (7, None)]
    assert place.rows("live") == [result(offset) for offset in range(8)]
    with pytest.raises(StopPipeline, match="where the table stands"):  # a zombie's rows, and those of its shadow
        table.append([result(7)], [span(7, 8)], {"frames": "id-1"}, [BesideRows("shadow:mine", span(7, 8), (result(7),))])
    assert place.rows("shadow:mine") == rows


def test_spans_without_rows_move_the_offset_alone(place: Place) -> None:
    table = place.open("live")
    table.append([result(0)], [span(0, 1)], {})
    assert table.append([], [span(1, 9)], {}).num_rows == 0
    assert place.open("live").next_offsets("frames", [0]) == {0: 9}
    assert place.rows("live") == [result(0)]


def test_a_run_may_begin_in_the_middle_of_the_log(place: Place) -> None:
    table = place.open("live")
    table.append([result(700)], [span(700, 701)], {})
    assert table.next_offsets("frames", [0]) == {0: 701}


@pytest.mark.parametrize("spans", [[span(0, 5)], [span(4, 6)], [span(6, 7)], [span(5, 6), span(7, 8)]], ids=str)
def test_spans_that_do_not_continue_the_table_are_refused(place: Place, spans: list[OffsetRange]) -> None:
    table = place.open("live")
    table.append([result(0)], [span(0, 5)], {})
    with pytest.raises(StopPipeline, match="where the table stands"):
        table.append([], spans, {})
    assert place.open("live").next_offsets("frames", [0]) == {0: 5}


def test_a_zombie_that_wakes_up_is_refused(place: Place) -> None:
    zombie, heir = place.open("live"), place.open("live")
    zombie.append([result(0)], [span(0, 1)], {})
    heir.append([result(1)], [span(1, 2)], {})
    heir.append([result(2)], [span(2, 3)], {})
    with pytest.raises(StopPipeline, match="only one may own a partition"):
        zombie.append([result(1)], [span(1, 2)], {})
    assert place.rows("live") == [result(0), result(1), result(2)]


def test_runs_do_not_see_each_other(place: Place) -> None:
    place.open("live").append([result(0)], [span(0, 1)], {"frames": "id-1"})
    again = place.open("again-1")
    assert again.next_offsets("frames", [0]) == {}
    again.append([letter(0)], [span(0, 1)], {"frames": "id-2"})
    assert (place.rows("live"), place.rows("again-1")) == ([result(0)], [letter(0)])


def test_neighbours_on_other_partitions_do_not_disturb_each_other(place: Place) -> None:
    first, second = place.open("live"), place.open("live")
    for offset in range(4):
        first.append([result(offset)], [span(offset, offset + 1)], {"frames": "id-1"})
        second.append([result(offset, partition=1)], [span(offset, offset + 1, partition=1)], {"frames": "id-1"})
    assert place.open("live").next_offsets("frames", [0, 1]) == {0: 4, 1: 4}
    assert len(place.rows("live")) == 8


def test_a_recreated_topic_is_refused(place: Place) -> None:
    place.open("live").append([result(0)], [span(0, 1)], {"frames": "id-1"})
    table = place.open("live")
    with pytest.raises(StopPipeline):
        table.append([result(1)], [span(1, 2)], {"frames": "id-2"})
    table.append([result(1)], [span(1, 2)], {"frames": "id-1"})
    assert place.rows("live") == [result(0), result(1)]


@pytest.mark.parametrize(
    "outcomes",
    [[result(3)], [result(0, partition=1)], [result(0, topic="other")], [result(1), result(1)], [result(1), result(0)], [gap(1, 4)]],
    ids=["behind", "other partition", "other topic", "twice", "out of order", "gap reaches out"],
)
def test_outcomes_must_lie_in_the_spans_in_order(place: Place, outcomes: list[Outcome]) -> None:
    table = place.open("live")
    with pytest.raises(ValueError, match="expected"):
        table.append(outcomes, [span(0, 3)], {})
    assert place.rows("live") == []
    assert table.next_offsets("frames", [0]) == {}
