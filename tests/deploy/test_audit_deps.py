"""What `make audit-deps` says of reports: nothing counts as good that was not looked up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.audit_deps import assess, audit

GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "GHSA-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"}
ACCEPTED = {"ignore": [{"id": "GHSA-1", "package": "b", "reason": "only on Windows"}]}


@pytest.mark.parametrize(
    ("packages", "known", "code", "told"),
    [
        pytest.param([GOOD], {}, 0, "1 packages audited, 0 findings", id="nothing known"),
        pytest.param([GOOD, BAD], {}, 1, "b 2: GHSA-1, fixed in 3", id="a finding"),
        pytest.param([GOOD, BAD], ACCEPTED, 0, "accepted: b 2: GHSA-1, fixed in 3 (only on Windows)", id="an accepted one"),
        pytest.param([BAD], {"ignore": [{"id": "GHSA-1", "reason": " "}]}, 2, "expected a reason", id="accepted without a reason"),
        pytest.param([GOOD], ACCEPTED, 0, "GHSA-1 is not found any more", id="an accepted one that is gone"),
        pytest.param([GOOD, SKIPPED], {}, 2, "not audited: 1 of 2 packages (c)", id="one not looked up"),
        pytest.param([BAD, SKIPPED], {}, 2, "b 2: GHSA-1", id="a finding, and one not looked up"),
        pytest.param([], {}, 2, "not audited: 0 of 0", id="an empty report"),
    ],
)
def test_a_report_is_judged(packages: list[dict[str, Any]], known: dict[str, Any], code: int, told: str) -> None:
    found, lines = assess({"dependencies": packages}, known)
    assert found == code
    assert told in "\n".join(lines)


def test_what_cannot_be_asked_is_not_good(tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text("")
    code, lines = audit(tmp_path / "no-such.lock", known)
    assert code == 2
    assert lines[0].startswith("not audited: ")
