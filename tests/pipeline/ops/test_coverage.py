"""Interval arithmetic of the auditor, held to counting offset by offset."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ops.coverage import Cover, Spans, cover, num_offsets, restrict


def spans(*ranges: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops."""
    pairs = np.array(ranges, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(0, 1), (1, 2), (2, 3)], Cover([], [], []), id="complete"),
        pytest.param([(2, 3), (0, 1), (1, 2)], Cover([], [], []), id="any order"),
        pytest.param([(0, 1), (2, 3)], Cover([(1, 2)], [], []), id="one missing"),
        pytest.param([(1, 2)], Cover([(0, 1), (2, 3)], [], []), id="both ends missing"),
        pytest.param([], Cover([(0, 3)], [], []), id="nothing there"),
        pytest.param([(0, 1), (1, 2), (1, 2), (2, 3)], Cover([], [(1, 2)], []), id="one twice"),
        pytest.param([(0, 1)] * 3 + [(1, 3)], Cover([], [(0, 1), (0, 1)], []), id="one three times"),
        pytest.param([(0, 3), (1, 2)], Cover([], [(1, 2)], []), id="a row inside a gap row"),
        pytest.param([(0, 2), (1, 3)], Cover([], [(1, 2)], []), id="overlapping gap rows"),
        pytest.param([(0, 1), (1, 2), (2, 3), (3, 4)], Cover([], [], [(3, 4)]), id="beyond the watermark"),
        pytest.param([(0, 2), (2, 5)], Cover([], [], [(3, 5)]), id="across the watermark"),
        pytest.param([(0, 3), (7, 8)], Cover([], [], [(7, 8)]), id="far beyond leaves no hole"),
        pytest.param([(-5, 1), (1, 3)], Cover([], [], []), id="begins before the range"),
    ],
)
def test_of_three_offsets(rows: Spans, expected: Cover) -> None:
    assert cover(*spans(*rows), 0, 3) == expected


def test_an_empty_range_is_no_row() -> None:
    with pytest.raises(ValueError, match="at least one offset"):
        cover(*spans((2, 2)), 0, 3)


@given(
    st.lists(st.tuples(st.integers(0, 25), st.integers(1, 5)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=30),
    st.integers(0, 5),
    st.integers(0, 25),
)
def test_holes_and_what_lies_outside_are_those_of_counting(rows: Spans, first: int, length: int) -> None:
    stop = first + length
    found = cover(*spans(*rows), first, stop)
    times = Counter(offset for low, high in rows for offset in range(low, high))
    assert [offset for low, high in found.holes for offset in range(low, high)] == [x for x in range(first, stop) if not times[x]]
    assert Counter(x for low, high in found.outside for x in range(low, high)) == {x: n for x, n in times.items() if x >= stop}
    assert {x for low, high in found.doubled for x in range(low, high)} == {x for x, n in times.items() if n > 1}
    assert all(low < high for low, high in found.holes + found.doubled + found.outside)
    if all(high == low + 1 for low, high in rows):
        assert num_offsets(found.doubled) == sum(n - 1 for n in times.values())


@given(
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), max_size=6),
    offsets=st.sets(st.integers(0, 70)),
)
def test_what_is_chosen_of_some_ranges_is_what_lies_in_both(spans: list[tuple[int, int]], offsets: set[int]) -> None:
    covered = {offset for start, length in spans for offset in range(start, start + length)}
    apart = restrict([(offset, offset + 1) for offset in sorted(covered)], sorted(offsets))
    assert {offset for start, stop in apart for offset in range(start, stop)} == covered & offsets
    assert all(one[1] < other[0] for one, other in pairwise(apart)), "neighbours are one range"
