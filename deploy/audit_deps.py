"""`make audit-deps`: are there known vulnerabilities in what requirements.lock pins?

Exit code 0: every package was looked up and nothing is known; 1: something is known; 2: not every package could be looked
up (pip-audit itself ends with 0 then). Findings that are accepted stand in `known-vulnerabilities.toml`, each with a reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_KNOWN = "known-vulnerabilities.toml"
_SHOWN = 5


def audit(lock: Path, known: Path) -> tuple[int, list[str]]:
    """Exit code and what to say, by asking the vulnerability service of PyPI."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    try:
        done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, timeout=600, check=False)  # noqa: S603 - our own command line
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return 2, ["not audited: the vulnerability service did not answer within 600 s"]
    except json.JSONDecodeError:
        last = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        return 2, [f"not audited: the vulnerability service could not be asked: {last[0]}"]
    return assess(report, tomllib.loads(known.read_text(encoding="utf-8")))


def assess(report: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Exit code and what to say of a report of pip-audit.

    Args:
        report: its JSON.
        known: accepted findings, `{"ignore": [{"id", "package", "reason"}]}`.
    """
    accepted = {entry.get("id"): entry.get("reason", "").strip() for entry in known.get("ignore", [])}
    without_reason = [str(name) for name, reason in accepted.items() if not name or not reason]
    if without_reason:
        return 2, [f"{_KNOWN}: expected a reason for every id, got none for {', '.join(without_reason)}"]
    packages = report.get("dependencies", [])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = {
        each[
            "id"
        ]: f"{package['name']} {package['version']}: {each['id']}, fixed in {', '.join(each.get('fix_versions', [])) or 'no version'}"
        for package in packages
        for each in package.get("vulns", [])
    }
    lines = [line for name, line in found.items() if name not in accepted]
    code = 1 if lines else 0
    lines += [f"accepted: {line} ({accepted[name]})" for name, line in found.items() if name in accepted]
    if skipped or not packages:
        shown = ", ".join(skipped[:_SHOWN]) + (", ..." if len(skipped) > _SHOWN else "")
        lines.append(
            f"not audited: {len(skipped)} of {len(packages)} packages ({shown}): the vulnerability service does not know or serve them"
        )
        return 2, lines
    lines += [f"{_KNOWN}: {name} is not found any more; take it out" for name in accepted if name not in found]
    return code, [
        *lines,
        f"{len(packages)} packages audited, {len(found)} findings, {len(accepted.keys() & found.keys())} of them accepted",
    ]


if __name__ == "__main__":
    exit_code, findings = audit(_ROOT / "requirements.lock", _ROOT / _KNOWN)
    sys.stdout.write("\n".join(findings) + "\n")
    sys.exit(exit_code)
