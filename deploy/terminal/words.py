"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping


def count(number: int) -> str:
    """`12345` to `12 345`."""
    return f"{number:,}".replace(",", " ")


def seconds(value_s: float | None) -> str:
    """`0.0384` to `38 ms`, `12.3` to `12.3 s`, `200` to `3 min 20 s`; None to a dash."""
    if value_s is None:
        return "-"
    if value_s < 1:
        return f"{value_s * 1000:.0f} ms"
    if value_s < 120:
        return f"{value_s:.1f} s"
    minutes, rest_s = divmod(round(value_s), 60)
    return f"{minutes} min {rest_s} s"


def listed(counts: Mapping[str, int]) -> str:
    """`{"bird": 3, "drone": 12}` to `drone 12, bird 3`: the most frequent first."""
    return ", ".join(f"{name} {count(number)}" for name, number in sorted(counts.items(), key=lambda item: -item[1]))
