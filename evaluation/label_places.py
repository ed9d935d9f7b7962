"""Places for words beside boxes, where they cover nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Area: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom; y grows downwards."""


def free_place(size: tuple[float, float], box: Area, taken: Iterable[Area], frame: tuple[float, float], gap: float) -> Area | None:
    """The first of six places around a box at which words cover nothing.

    Args:
        size: width and height of the words.
        box: that they belong to.
        taken: areas that must stay to be seen.
        frame: width and height of what they must lie in.
        gap: between words and box.

    Returns:
        The place, above the box if that is free; None where there is no room.
    """
    (width, height), (left, top, right, bottom), others = size, box, list(taken)
    corners = (
        (left, top - gap - height),
        (left, bottom + gap),
        (right + gap, top),
        (left - gap - width, top),
        (right - width, top - gap - height),
        (right - width, bottom + gap),
    )
    for x, y in corners:
        place = (x, y, x + width, y + height)
        inside = x >= 0 and y >= 0 and place[2] <= frame[0] and place[3] <= frame[1]
        if inside and not any(_overlap(place, other) for other in others):
            return place
    return None


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
