"""Public texts that must not change by accident: the file in `docs/` is compared with what the code says."""

from __future__ import annotations

import os
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def assert_pinned(name: str, text: str) -> None:
    """Compare `docs/<name>` with `text`; with UPDATE_PINNED=1 in the environment, write it instead."""
    path = DOCS / name
    if os.environ.get("UPDATE_PINNED") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, f"docs/{name} is a public contract; if the change is meant: UPDATE_PINNED=1 pytest"
