"""Words beside boxes cover neither boxes nor each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluation.label_places import Area, free_place

FRAME = (100.0, 80.0)
BOXES = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 70), st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=12)


def test_above_if_free_else_below_else_beside() -> None:
    box = (40.0, 30.0, 50.0, 40.0)
    assert free_place((20, 8), box, [], FRAME, 2) == (40, 20, 60, 28)
    above = (35.0, 15.0, 70.0, 29.0)
    assert free_place((20, 8), box, [above], FRAME, 2) == (40, 42, 60, 50)
    below = (35.0, 41.0, 70.0, 55.0)
    assert free_place((20, 8), box, [above, below], FRAME, 2) == (52, 30, 72, 38)


def test_no_room_is_none() -> None:
    assert free_place((120, 8), (40, 30, 50, 40), [], FRAME, 2) is None
    assert free_place((20, 8), (0, 0, 100, 80), [], FRAME, 2) is None


@given(BOXES)
def test_words_lie_inside_and_cover_nothing(boxes: list[tuple[int, int, int, int]]) -> None:
    taken: list[Area] = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    for box in list(taken):
        place = free_place((18, 6), box, taken, FRAME, 1)
        if place is None:
            continue
        assert 0 <= place[0] < place[2] <= FRAME[0]
        assert 0 <= place[1] < place[3] <= FRAME[1]
        for other in taken:
            assert place[2] <= other[0] or other[2] <= place[0] or place[3] <= other[1] or other[3] <= place[1]
        taken.append(place)
