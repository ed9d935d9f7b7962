"""The tables of docs/networks.md and benchmarks/ are those of the cards that ship."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from models.zoo import list_trained
from tests.pinned import DOCS, assert_pinned
from training.report.card_tables import DETECTORS, TABLES, fill_tables, overview_rows

PAGES = [page for page in (*DOCS.glob("*.md"), *DOCS.with_name("benchmarks").glob("*.md")) if "<!-- cards: " in page.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_cards(page: Path) -> None:
    assert_pinned(f"../{page.parent.name}/{page.name}", fill_tables(page.read_text(encoding="utf-8")))


def test_every_table_is_on_one_page() -> None:
    shown = [name for page in PAGES for name in re.findall(r"<!-- cards: (\w+) -->", page.read_text(encoding="utf-8"))]
    assert Counter(shown) == Counter(TABLES.keys())


def test_every_network_has_a_row() -> None:
    assert sorted(row[0].strip("`") for row in list(overview_rows())[2:]) == list_trained()


def test_old_rows_are_replaced_and_the_rest_stays() -> None:
    filled = fill_tables("before\n<!-- cards: detection -->\n| stale |\n<!-- end -->\nafter\n")
    assert filled.startswith("before\n<!-- cards: detection -->\n| data | `harrier`: AP50 |")
    assert filled.endswith("|\n<!-- end -->\nafter\n")
    assert "stale" not in filled
    assert fill_tables(filled) == filled


def test_an_unknown_table_is_a_clear_error() -> None:
    with pytest.raises(SettingsError, match=rf"one of overview.*got 'no{DETECTORS[0]}'"):
        fill_tables(f"<!-- cards: no{DETECTORS[0]} -->\n<!-- end -->\n")
