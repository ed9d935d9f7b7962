"""Kafka's own jars: a pinned list, fetched once in parallel, verified by sha256, kept in the user's cache folder."""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.errors import SettingsError

KAFKA_VERSION = "4.3.1"
_LIST = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}-jars.csv")
_THREADS = 8
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned Maven coordinate."""

    group: str
    artifact: str
    version: str
    num_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Name in the cache folder."""
        return f"{self.artifact}-{self.version}.jar"


class Fetcher(Protocol):
    """Brings one jar into a folder of its own and says where it lies."""

    def __call__(self, jar: Jar, into: Path) -> Path:
        """Fetch; raises `OSError` or `RuntimeError` when that fails."""


def pinned_jars() -> list[Jar]:
    """Read the list that ships with the package."""
    with _LIST.open(newline="") as lines:
        return [Jar(row["group"], row["artifact"], row["version"], int(row["bytes"]), row["sha256"]) for row in csv.DictReader(lines)]


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/irstream/kafka-VERSION`, else the same below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "irstream" / f"kafka-{KAFKA_VERSION}"


def ensure_jars(
    folder: Path,
    jars: Sequence[Jar] | None = None,
    fetch: Fetcher | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Make sure that every pinned jar lies in `folder` with the right sha256; fetch what is missing.

    Several processes may call this at once: one fetches, the others wait for it.

    Args:
        folder: where the jars are kept, one file each.
        jars: the pinned list; default: that of the package.
        fetch: how one jar is brought; default: by `jgo`, which knows the Maven repository.
        say: called once, before a download begins.

    Returns:
        The files, sorted by name (a stable class path).

    Raises:
        SettingsError: no network and not in the cache, a wrong checksum, no room, or a folder that cannot be written.
    """
    wanted = pinned_jars() if jars is None else list(jars)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / ".lock"), ThreadPoolExecutor(_THREADS) as pool:
            good = pool.map(lambda jar: _is_good(folder / jar.file_name, jar), wanted)
            missing = [jar for jar, fine in zip(wanted, good, strict=True) if not fine]
            if missing:
                num_mb = sum(jar.num_bytes for jar in missing) / 1e6
                say(f"Fetching Apache Kafka {KAFKA_VERSION}, once: {len(missing)} jars, {num_mb:.0f} MB")
                bring = fetch or _fetch_by_jgo()
                for _ in pool.map(lambda jar: _bring(jar, folder, bring), missing):
                    pass
    except OSError as error:
        action = "Make room there" if error.errno == errno.ENOSPC else "Make the folder writable or set XDG_CACHE_HOME to one that is"
        raise SettingsError(expected="a folder for Kafka's jars", got=str(error), where=str(folder), action=f"{action}.") from error
    return sorted(folder / jar.file_name for jar in wanted)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel lets go when this process dies
        yield


def _is_good(path: Path, jar: Jar) -> bool:
    if not path.is_file() or path.stat().st_size != jar.num_bytes:
        return False
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest() == jar.sha256


def _bring(jar: Jar, folder: Path, fetch: Fetcher) -> None:
    """Fetch into a folder beside the target, verify, then rename: a half-written jar is never seen."""
    problem = ""
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as staging:
            try:
                arrived = fetch(jar, Path(staging))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
                    raise
                problem = str(error)
                continue
            except RuntimeError as error:
                problem = str(error)
                continue
            if _is_good(arrived, jar):
                arrived.replace(folder / jar.file_name)
                return
            problem = f"{arrived.stat().st_size} bytes with another sha256"
    raise SettingsError(
        expected=f"{jar.group}:{jar.artifact}:{jar.version} with {jar.num_bytes} bytes and sha256 {jar.sha256[:12]}...",
        got=problem,
        where=f"fetching Apache Kafka {KAFKA_VERSION} ({_ATTEMPTS} attempts)",
        action=f"Connect this machine to a Maven repository, put the jars of {_LIST.name} into {folder}, or name a Kafka of your own "
        "in IRSTREAM_KAFKA__BOOTSTRAP_SERVERS.",
    )


def _fetch_by_jgo() -> Fetcher:
    try:
        from jgo.maven import MavenContext  # an extra: only where we run a broker ourselves
    except ImportError as error:
        raise SettingsError(
            expected="the package jgo",
            got=str(error),
            where="fetching Apache Kafka",
            action="Run: pip install 'irstream[broker]'. Or name a Kafka of your own in IRSTREAM_KAFKA__BOOTSTRAP_SERVERS.",
        ) from error

    def fetch(jar: Jar, into: Path) -> Path:
        # jgo streams straight into its cache, so each attempt gets an empty one. No dependency resolution:
        # over several coordinates it mixes in other versions.
        context = MavenContext(repo_cache=into)
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())

    return fetch
