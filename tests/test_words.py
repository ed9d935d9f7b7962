"""Docstrings say what a thing is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from irstream_names import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = ("What", "Who", "Whom", "Whose", "Which", "Whether", "Where", "When", "Why", "How")


def first_words(package: str) -> Iterator[tuple[str, str]]:
    """Place and first word of each docstring, those of modules, classes, functions and of what is assigned just before."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            value = node.value if isinstance(node, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield f"{path.relative_to(ROOT)}:{value.lineno}", value.value.split(maxsplit=1)[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_docstring_begins_with_a_question(package: str) -> None:
    words = list(first_words(package))
    assert words
    assert [place for place, word in words if word in QUESTIONS] == []
