"""What a person sees, without the spaces that end lines."""

from __future__ import annotations

import pytest


def screen(capsys: pytest.CaptureFixture[str]) -> str:
    """Stdout since the last call; nothing may be on stderr."""
    told, err = capsys.readouterr()
    assert err == ""
    return "\n".join(line.rstrip() for line in told.splitlines())
