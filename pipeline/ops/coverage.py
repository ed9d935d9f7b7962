"""Does every offset of a log have exactly one row? Interval arithmetic over the rows of one partition.

Knows neither Kafka nor Delta: what it is given are the half-open ranges that rows stand for (one offset each, more for
a gap row) and the range that must be covered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Cover:
    """Cover of `[first, stop)` by ranges.

    Attributes:
        holes: ranges that nothing covers, ascending.
        doubled: ranges that are covered more than once, ascending; one entry for each time too many.
        outside: ranges at or beyond `stop`, ascending.
    """

    holes: Spans
    doubled: Spans
    outside: Spans


def cover(starts: Int64, stops: Int64, first: int, stop: int) -> Cover:
    """Find what is missing, doubled, and too far.

    Args:
        starts: `(n,)` first offsets, in any order.
        stops: `(n,)` offsets after the last.
        first: the first offset that must be covered; ranges may begin before it.
        stop: the offset after the last one that may be.

    Raises:
        ValueError: a range that is empty or runs backwards.
    """
    if (stops <= starts).any():
        raise ValueError("expected ranges of at least one offset")
    order = np.lexsort((stops, starts))
    starts, stops = starts[order], stops[order]
    # What the ranges before each one reach; `first` before any.
    reach = np.maximum.accumulate(np.concatenate(([np.int64(first)], stops)))
    before = np.concatenate(([np.iinfo(np.int64).min], np.maximum.accumulate(stops)[:-1])) if len(stops) else stops
    gaps = np.flatnonzero(starts > reach[:-1])
    holes = [(int(reach[index]), int(min(starts[index], stop))) for index in gaps if reach[index] < stop]
    if reach[-1] < stop:
        holes.append((int(reach[-1]), stop))
    again = np.flatnonzero(starts < before)
    beyond = np.flatnonzero(stops > stop)
    return Cover(
        holes=holes,
        doubled=[(int(starts[index]), int(min(stops[index], before[index]))) for index in again],
        outside=[(int(max(starts[index], stop)), int(stops[index])) for index in beyond],
    )


def restrict(spans: Spans, offsets: Sequence[int]) -> Spans:
    """Of ascending ranges, the parts that are made of chosen offsets (ascending, each once)."""
    parts: Spans = []
    for start, stop in spans:
        for offset in offsets[bisect_left(offsets, start) : bisect_left(offsets, stop)]:
            if parts and parts[-1][1] == offset:
                parts[-1] = (parts[-1][0], offset + 1)
            else:
                parts.append((offset, offset + 1))
    return parts


def num_offsets(spans: Spans) -> int:
    """Number of offsets in ranges, doubles counted each time."""
    return sum(stop - start for start, stop in spans)
