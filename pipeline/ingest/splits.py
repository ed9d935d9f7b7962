"""A bounded read cut into pieces of about equal bytes, so that the readers of one large partition are as many as those of several.

Rows become visible in the order of their partition. So pieces of a partition are read side by side, but only a few ahead of the first
that is not finished: what lies behind it waits in memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from contracts.position import OffsetRange
from pipeline.ingest.read_coordinator import ReadOrder

_EPOCH_ROWS = 80_000  # of a driver's memory, each block of an execution of Ray Data costs 1.7 kB


@dataclass(frozen=True, slots=True)
class SplitRules:
    """Rules for cutting.

    Attributes:
        num_readers: pieces that are read at once.
        split_bytes: size of a piece, bytes of messages.
        uncommitted_rows: rows that may wait in memory for their commit.
        bytes_per_offset: mean size of a message, by partition; where it is not known, only rows count.
        whole: partitions that can be read from their beginning only, and so are not cut.
    """

    num_readers: int
    split_bytes: int
    uncommitted_rows: int
    bytes_per_offset: Mapping[int, float] = field(default_factory=dict)
    whole: frozenset[int] = frozenset()

    @property
    def window(self) -> int:
        """Pieces that may be begun, from the first that is not finished."""
        return 2 * self.num_readers

    @property
    def max_rows(self) -> int:
        """Most offsets of a piece: those of a whole window must find room beside what waits for a commit."""
        return max(1, self.uncommitted_rows // (2 * self.window))

    def offsets_of(self, partition: int) -> int:
        """Offsets of a piece of this partition."""
        mean = self.bytes_per_offset.get(partition, 0.0)
        return max(1, min(self.max_rows, int(self.split_bytes / mean) if mean > 0 else self.max_rows))


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Pieces of a bounded read.

    Attributes:
        spans: of each piece; its number is its place here. Partitions take turns.
        epochs: numbers of the pieces of each epoch.
        order: in which they may be read.
    """

    spans: tuple[OffsetRange, ...]
    epochs: tuple[range, ...]
    order: ReadOrder
    _starts: dict[int, list[int]] = field(default_factory=dict)
    _numbers: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the directory for `number_of`."""
        for number, span in sorted(enumerate(self.spans), key=lambda item: item[1]):
            self._starts.setdefault(span.partition, []).append(span.start)
            self._numbers.setdefault(span.partition, []).append(number)

    @property
    def num_readers(self) -> int:
        """Pieces that are read at once."""
        return self.order.num_readers

    def number_of(self, span: OffsetRange) -> int:
        """Number of the piece that holds these offsets."""
        return self._numbers[span.partition][bisect_right(self._starts[span.partition], span.start) - 1]


def cut(
    topic: str,
    starts: Mapping[int, int],
    stops: Mapping[int, int],
    rules: SplitRules,
    selected_offsets: Mapping[int, Sequence[int]] | None = None,
) -> Splits:
    """Cut what is left of a range.

    Args:
        topic: of the range.
        starts: first offset to read, per partition.
        stops: exclusive end of each.
        rules: how large pieces are.
        selected_offsets: the only offsets to read, ascending per partition; pieces then begin and end at one of them.
    """
    pieces: list[tuple[int, OffsetRange]] = []
    for partition in sorted(starts):
        selected = None if selected_offsets is None else selected_offsets.get(partition)
        edges = _edges(starts[partition], stops[partition], partition, rules, selected)
        pieces += ((turn, OffsetRange(topic, partition, *edge)) for turn, edge in enumerate(pairwise(edges)))
    pieces.sort(key=lambda piece: (piece[0], piece[1].partition))
    spans = tuple(span for _, span in pieces)
    epochs = _epochs(spans)
    first_epochs = {number: epoch for epoch, numbers in enumerate(epochs) for number in numbers}
    in_order = tuple(number for number, span in enumerate(spans) if span.partition not in rules.whole)
    num_readers = max(1, min(rules.num_readers, len(spans)))
    return Splits(spans, epochs, ReadOrder(num_readers, first_epochs, in_order, rules.window))


def _edges(start: int, stop: int, partition: int, rules: SplitRules, selected: Sequence[int] | None) -> list[int]:
    if partition in rules.whole:
        return [start, stop]
    step = rules.offsets_of(partition)
    if selected is None:
        return [*range(start, stop, step), stop]
    left = selected[bisect_right(selected, start - 1) :]
    return [start, *left[step::step], stop] if left else [start, stop]


def _epochs(spans: Sequence[OffsetRange], rows: Callable[[OffsetRange], int] = len) -> tuple[range, ...]:
    """Pieces one after the other, as many as an execution of Ray Data may have blocks; at least one each."""
    epochs: list[range] = []
    begin = num_rows = 0
    for number, span in enumerate(spans):
        if number > begin and num_rows + rows(span) > _EPOCH_ROWS:
            epochs.append(range(begin, number))
            begin, num_rows = number, 0
        num_rows += rows(span)
    return (*epochs, range(begin, len(spans))) if spans else ()
