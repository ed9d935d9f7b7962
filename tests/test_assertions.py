"""Every test can fail: it holds an assertion itself, beside what its helpers and types ask for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
_SAYS = ("raises", "warns", "fail")


def asserts(function: ast.AST) -> bool:
    """Whether a test says what must be so: `assert`, `pytest.raises` and its like, or a helper that is called `assert_...`."""
    return any(_asserts(node) for node in ast.walk(function))


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return not _narrows(node.test)
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _SAYS or name.startswith("assert_")


def _narrows(test: ast.expr) -> bool:
    """`x is not None` is for the type checker."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name | ast.Attribute) and isinstance(test.ops[0], ast.IsNot)


def functions_of(text: str) -> Iterator[ast.FunctionDef]:
    """Functions that pytest takes for tests."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield node


def test_every_test_asserts_something() -> None:
    found = [
        f"{file.relative_to(TESTS)}:{test.lineno} {test.name}"
        for file in sorted(TESTS.rglob("test_*.py"))
        for test in functions_of(file.read_text(encoding="utf-8"))
        if not asserts(test)
    ]
    assert found == [], "assert something that can be seen from outside; where no error is the point, what holds without one"


@pytest.mark.parametrize(
    ("body", "fails"),
    [
        ("run()", False),
        ("value = run()\n    assert value is not None\n    run(value)", False),
        ("wait_for(lambda: done)", False),
        ("assert run() == 1", True),
        ("assert run() is not None", True),
        ("with pytest.raises(ValueError):\n        run()", True),
        ("np.testing.assert_array_equal(run(), 1)", True),
    ],
)
def test_what_can_fail_is_seen(body: str, fails: bool) -> None:
    (test,) = functions_of(f"def test_it():\n    {body}\n")
    assert asserts(test) == fails
