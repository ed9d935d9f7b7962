"""A real Apache Kafka on this machine: one KRaft node from Kafka's own jars, for demos and tests.

Read by `irstream broker up|down|status`, by the demo and by the tests. An own Kafka needs nothing of this: name it in
`IRSTREAM_KAFKA__BOOTSTRAP_SERVERS`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil
from kafka.errors import KafkaError

from contracts.errors import SettingsError
from deploy.broker.config import (
    HOST,
    ClassArchive,
    Home,
    default_home,
    format_command,
    format_from,
    java_environment,
    server_properties,
    start_command,
    write_properties,
)
from deploy.broker.jars import cache_folder, ensure_jars
from deploy.broker.java import Java, find_java
from deploy.broker.process import (
    BrokerInfo,
    hold_ports,
    in_use,
    lock_home,
    log_tail,
    prepare_folders,
    running,
    spawn_detached,
    spawn_guarded,
    stop_process,
    write_state,
)
from pipeline.kafka.client import connect_admin
from pipeline.kafka.settings import KafkaSettings

_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 5.0
_POLL_S = 0.05
_MIN_FREE_BYTES = 200 * 1000 * 1000


class Broker:
    """One Kafka node with its data in one folder.

    As a context manager the node lives as long as the block, and dies with this process however that ends; `up()`
    starts one that stays until `down()`.
    """

    def __init__(
        self,
        home: Path | None = None,
        port: int | None = None,
        *,
        preferred_port: int | None = None,
        overrides: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        client: KafkaSettings | None = None,
        min_free_bytes: int = _MIN_FREE_BYTES,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Describe the node; nothing is started yet.

        Args:
            home: its folder; default: `default_home()`.
            port: exactly this port; default: the last one of this home if free, else `preferred_port` if free, else any.
            preferred_port: see `port`.
            overrides: settings of the node in Kafka's own names, above ours.
            scram_users: name to password of users (SCRAM-SHA-512) that a new data folder begins with, where the overrides ask for them.
            client: how a client of the node proves who it is, where the overrides ask for that; the address is filled in.
            min_free_bytes: refuse to start with less room on the disk.
            say: called with a line about what takes time (the first download).
        """
        # Resolved: the node is known by its command line, which holds this path as it was spelt at the start.
        self.home = Home((home or default_home()).resolve())
        self._port = port
        self._preferred_port = preferred_port
        self._overrides = dict(overrides or {})
        self._scram_users = dict(scram_users or {})
        self._client = client or KafkaSettings()
        self._min_free_bytes = min_free_bytes
        self._say = say
        self._child: subprocess.Popen[bytes] | None = None
        self._info: BrokerInfo | None = None

    @property
    def info(self) -> BrokerInfo:
        """The started node.

        Raises:
            RuntimeError: it was not started by this object.
        """
        if self._info is None:
            raise RuntimeError("the broker is not started: use `with Broker(...)` or `up()`")
        return self._info

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients."""
        return self.info.bootstrap_servers

    def status(self) -> BrokerInfo | None:
        """The node of this home if it runs and has answered; None otherwise."""
        found = running(self.home)
        return found[0] if found is not None and found[0].ready else None

    def answers(self, info: BrokerInfo) -> bool:
        """True when a running node serves a client within some seconds (a frozen one, or one out of memory, does not)."""
        try:
            here = {"bootstrap_servers": info.bootstrap_servers, "connect_timeout_s": _ANSWER_TIMEOUT_S}
            connect_admin(self._client.model_copy(update=here)).close()
        except KafkaError:
            return False
        return True

    def up(self) -> BrokerInfo:
        """Start a node that outlives this process; if one runs already, just describe it.

        Raises:
            SettingsError: nothing fits (no Java, no jars, no room, port taken, folder in use or not writable), or it did
                not become ready; the text shows the end of its log.
        """
        return self._start(guarded=False)

    def start(self) -> BrokerInfo:
        """Start a node that dies with this process. Same errors as `up`, and also when one runs already."""
        return self._start(guarded=True)

    def down(self, timeout_s: float = _STOP_TIMEOUT_S) -> bool:
        """Stop the node of this home: SIGTERM, then SIGKILL after the time. Gives whether there was one.

        While somebody else holds the lock, what is noted about the node stays: it is all that leads to its process.
        """
        found = running(self.home)
        if found is not None:
            info, process = found
            stopped_well = stop_process(process, timeout_s) and info.ready
            ClassArchive(cache_folder(), Path(info.java), self.home).settle(stopped_well=stopped_well)
        self._reap(timeout_s)
        self._info = None
        if found is not None or not in_use(self.home):
            self.home.state.unlink(missing_ok=True)
        return found is not None

    def __enter__(self) -> Self:
        """Start a node that dies with this process."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it."""
        self.down()

    def _reap(self, timeout_s: float) -> None:
        """Close our end of the guard's pipe and collect our child, so that no zombie stays."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is None and child.poll() is None:
            child.terminate()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(timeout_s + 5.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _start(self, *, guarded: bool) -> BrokerInfo:
        prepare_folders(self.home, self._min_free_bytes)
        if running(self.home) is None:
            self._reap(_STOP_TIMEOUT_S)  # a guard whose Java was killed holds the lock a moment longer
        lock = lock_home(self.home)
        if lock is None:
            return self._join_other(guarded=guarded)
        held: list[socket.socket] = []
        try:
            with lock:
                java, jars = find_java(), ensure_jars(cache_folder(), say=self._say)
                held = hold_ports(self.home, self._port, self._preferred_port)
                port, controller_port = (each.getsockname()[1] for each in held)
                write_properties(self.home.properties, server_properties(self.home, port, controller_port) | self._overrides)
                self._format(java, jars)
                info = self._launch(java, jars, port, lock, guarded=guarded)
            self._wait_until_ready(info)
        except BaseException:
            self.down()
            raise
        finally:
            for each in held:
                each.close()
        self._info = replace(info, ready=True)
        write_state(self.home, self._info)
        self.home.last_port.write_text(f"{port}\n")
        return self._info

    def _join_other(self, *, guarded: bool) -> BrokerInfo:
        """Another process holds the lock: wait until that broker is ready (`up`), or refuse."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not guarded and time.monotonic() < deadline:
            found = running(self.home)
            if found is not None and (found[0].ready or self.answers(found[0])):
                # Whoever started it may have been killed before it could note that.
                self._info = replace(found[0], ready=True)
                write_state(self.home, self._info)
                return self._info
            if lock := lock_home(self.home):
                lock.close()
                return self._start(guarded=guarded)
            time.sleep(_POLL_S)
        raise SettingsError(
            expected="a data folder that no running broker uses",
            got="its lock is held by a running one",
            where=f"broker home {self.home.root}",
            action="Stop that one with `irstream broker down`, or name another folder with --home or IRSTREAM_BROKER_HOME.",
        )

    def _format(self, java: Java, jars: Sequence[Path]) -> None:
        """Give a new data folder its identity; keep the checkpoint, so that the next new folder costs no Java start."""
        if self.home.formatted:
            return
        kept = cache_folder() / "bootstrap.checkpoint"
        if kept.is_file() and not self._scram_users:
            format_from(kept, self.home)
            return
        command = format_command(java, jars, self.home, self._scram_users)
        result = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_START_TIMEOUT_S, check=False, cwd=self.home.root, env=java_environment()
        )
        if result.returncode != 0:
            raise self._failed(f"format ended with code {result.returncode}: {(result.stderr or result.stdout).strip()[-500:]}")
        if self._scram_users:
            return  # the checkpoint holds their credentials
        draft = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(self.home.data / "bootstrap.checkpoint", draft)
        draft.replace(kept)

    def _launch(self, java: Java, jars: Sequence[Path], port: int, lock: IO[str], *, guarded: bool) -> BrokerInfo:
        command = start_command(java, jars, self.home, ClassArchive(cache_folder(), java.path, self.home))
        if guarded:
            self._child, pid = spawn_guarded(command, self.home.java_out, lock, _STOP_TIMEOUT_S, self.home.root)
        else:
            self._child, pid = spawn_detached(command, self.home.java_out, lock, self.home.root)
        try:
            started_at = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            started_at = time.time()
        info = BrokerInfo(f"{HOST}:{port}", pid, started_at, str(self.home.root), str(self.home.broker_log), str(java.path), ready=False)
        # Written before it is ready: were we killed now, `down` could still find it.
        write_state(self.home, info)
        return info

    def _wait_until_ready(self, info: BrokerInfo) -> None:
        """Until a client gets an answer. The port accepts only after the node is registered."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        host, port = info.bootstrap_servers.split(":")
        while time.monotonic() < deadline:
            assert self._child is not None
            if self._child.poll() is not None:
                raise self._failed(f"it ended with code {self._child.returncode}")
            try:
                socket.create_connection((host, int(port)), timeout=1.0).close()
            except OSError:
                time.sleep(_POLL_S)
                continue
            if self.answers(info):
                return
        raise self._failed(f"no answer within {_START_TIMEOUT_S:.0f} s")

    def _failed(self, got: str) -> SettingsError:
        tail = "\n".join(part for part in (log_tail(self.home.java_out), log_tail(self.home.broker_log)) if part)
        return SettingsError(
            expected="a Kafka broker that starts and answers",
            got=f"{got}; the end of its log:\n{tail}\n   ",
            where=f"broker home {self.home.root}",
            action=f"See {self.home.broker_log}. Stale or damaged data: stop the broker, remove {self.home.data} and start again.",
        )
