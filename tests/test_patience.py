"""No test is red because a machine is slow: it waits for what it wants to see, and a limit in seconds is only against waiting for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
_LEAST_GUARD_S = 60
_CLOCKS = ("monotonic", "perf_counter", "time")  # not those of the processor: `process_time`, `thread_time`


def impatience(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a test that presume how fast something is done, and what is wrong there."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and _name(node.func) == "Timer":
            yield node.lineno, "a timer presumes what is done by then: act when it is seen"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_clock(node.left) and _is_short(node.right):
            yield node.lineno, f"wait at least {_LEAST_GUARD_S} s (tests/waiting.py)"
        elif isinstance(node, ast.Compare):
            places = [node.left, *node.comparators]
            for left, operator, right in zip(places, node.ops, places[1:], strict=False):
                if isinstance(operator, ast.Lt | ast.LtE) and _is_elapsed(left) and _is_short(right):
                    yield node.lineno, "not by the clock: compare counts, order or settings"


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_clock(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in _CLOCKS and not node.args


def _is_elapsed(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _is_clock(node.left)


def _is_short(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value < _LEAST_GUARD_S


def test_no_test_presumes_how_fast_a_machine_is() -> None:
    found = [
        f"{file.relative_to(TESTS)}:{line}: {wrong}"
        for file in sorted(TESTS.rglob("*.py"))
        for line, wrong in impatience(file.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "impatient"),
    [
        ("threading.Timer(0.5, stop.set).start()", True),
        ("assert time.monotonic() - began < 5", True),
        ("assert 0.9 < time.monotonic() - began < 5", True),
        ("deadline = time.monotonic() + 10", True),
        ("assert time.monotonic() - began > 0.9", False),
        ("assert time.monotonic() - began < GUARD_S", False),
        ("assert time.process_time() - began < 5", False),
        ("deadline = time.monotonic() + GUARD_S", False),
        ("moved_at = time.monotonic()", False),
    ],
)
def test_what_is_impatient_is_seen(line: str, impatient: bool) -> None:
    assert bool(list(impatience(line))) == impatient
