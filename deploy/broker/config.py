"""Configuration of the embedded node: one KRaft node, small, quick to start, loopback only."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.broker.java import Java

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 80 * 1024 * 1024
# 72 MB frames (6000 x 6000 x 16 bit), four in flight, run out of memory at 320m.
_HEAP = "384m"
_LOG4J = Path(__file__).with_name("log4j2.properties")
_INTERNAL_TOPICS = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")


def default_home() -> Path:
    """`$IRSTREAM_BROKER_HOME`, else `$XDG_STATE_HOME/irstream/broker`, else the same below `~/.local/state`."""
    named = os.environ.get("IRSTREAM_BROKER_HOME")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "irstream" / "broker"


class Home:
    """The folder of one broker: data, log files, configuration and what is known about the running process."""

    def __init__(self, root: Path) -> None:
        """Name the places; nothing is created yet."""
        self.root = root
        # A name that no properties file, list of folders or option of Java has to hold: Java is started inside the home, and its
        # arguments are relative. A comma, a backslash or an accent in the home's path is then none of its business.
        self.data = root / "data"
        self.logs = root / "logs"
        self.broker_log = self.logs / "broker.log"
        self.java_out = self.logs / "java.out"
        self.properties = root / "server.properties"
        self.state = root / "broker.json"
        self.lock = root / "lock"
        self.last_port = root / "port"

    @property
    def formatted(self) -> bool:
        """True when the data folder carries the identity of a node."""
        return (self.data / "meta.properties").is_file()


def server_properties(home: Home, port: int, controller_port: int) -> dict[str, str]:
    """Every setting of the node, in Kafka's own names."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(home.data.relative_to(home.root)),
        # A misspelt topic must be an error, not a new empty topic.
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MAX_MESSAGE_BYTES),
        # After SIGKILL the old registration must expire before the node serves again: 5 s instead of 12 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "log.segment.bytes": "134217728",
        "log.initial.task.delay.ms": "1000",
        "log.retention.check.interval.ms": "5000",
        # The default cleaner buffer alone is 128 MiB of heap.
        "log.cleaner.dedupe.buffer.size": "2097152",
        "log.cleaner.threads": "1",
        "background.threads": "2",
        "num.network.threads": "2",
        "num.io.threads": "2",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
    for topic in _INTERNAL_TOPICS:
        settings[f"{topic}.replication.factor"] = "1"
        settings[f"{topic}.num.partitions"] = "1"
    return settings


def write_properties(path: Path, settings: Mapping[str, str]) -> None:
    """Write a Java properties file (a backslash would start an escape)."""
    path.write_text("".join(f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in settings.items()))


class ClassArchive:
    """Kafka's classes as this Java has loaded them once, so that the next starts take two thirds of the CPU time.

    The first node that stops in good order writes the archive. Java checks by itself that it fits.
    """

    def __init__(self, folder: Path, java: Path, home: Home) -> None:
        """Name the archive of this Java, and where the node of this home would write it first."""
        identity = f"{java.resolve()} {java.stat().st_mtime_ns}"
        self._path = folder / f"classes-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.jsa"
        self._draft = home.root / "classes.jsa"

    @property
    def option(self) -> str:
        """Use the archive, or write it at the end."""
        return f"-XX:SharedArchiveFile={self._path}" if self._path.is_file() else f"-XX:ArchiveClassesAtExit={self._draft.name}"

    def settle(self, *, stopped_well: bool) -> None:
        """After the node has stopped: keep what it wrote, unless it was killed while writing."""
        if not self._draft.is_file():
            return
        if stopped_well and not self._path.is_file():
            arriving = self._path.with_suffix(f".{os.getpid()}")
            shutil.copyfile(self._draft, arriving)
            arriving.replace(self._path)
        self._draft.unlink()


def java_environment() -> dict[str, str]:
    """The environment of Java: in an ASCII locale it could not open its own folder where that has an accent."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def start_command(java: Java, jars: Sequence[Path], home: Home, archive: ClassArchive) -> list[str]:
    """The command line of the node."""
    return [*_java_command(java, jars, home, _HEAP), archive.option, "kafka.Kafka", str(home.properties.relative_to(home.root))]


def format_command(java: Java, jars: Sequence[Path], home: Home, scram_users: Mapping[str, str]) -> list[str]:
    """The command line of Kafka's own storage tool, for the first start in a data folder.

    It holds name and password of each of `scram_users`, the users that the node knows from its first moment.
    """
    tool = ["kafka.tools.StorageTool", "format", "--cluster-id", _uuid(), "--config", str(home.properties.relative_to(home.root))]
    for name, password in scram_users.items():
        tool += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
    return [*_java_command(java, jars, home, "128m"), *tool]


def format_from(checkpoint: Path, home: Home) -> None:
    """Give a new data folder an identity without starting Java: what the storage tool writes, from a kept checkpoint.

    The checkpoint names feature levels only; the identity is in `meta.properties`.
    """
    home.data.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkpoint, home.data / "bootstrap.checkpoint")
    write_properties(home.data / "meta.properties", {"version": "1", "node.id": "1", "cluster.id": _uuid(), "directory.id": _uuid()})


def _java_command(java: Java, jars: Sequence[Path], home: Home, heap: str) -> list[str]:
    class_path = ":".join(str(jar.absolute()) for jar in jars)
    return [
        str(java.path.absolute()),
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={_LOG4J}",
        f"-Dkafka.logs.dir={home.logs.relative_to(home.root)}",
        "-cp",
        class_path,
    ]


def _uuid() -> str:
    """A random UUID as Kafka writes it: base64url without padding, no leading dash (the tool would read an option)."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text
