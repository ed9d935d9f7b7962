"""A broker, cameras that never stop, drivers that a supervisor starts again, and a watch on the table: what faults are done to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from contracts.frame import Band, ContentType, Platform
from deploy.broker.broker import Broker
from pipeline.inputs.cameras import synthetic_source
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import end_offsets, ensure_topic
from pipeline.publish import publish
from synthetic.settings import SyntheticSettings

ROOT = Path(__file__).resolve().parents[2]
CAMERAS = (
    SyntheticSettings(width_px=128, height_px=96, bit_depth=14, seed=1, platform=Platform.LAND, band=Band.MWIR),
    SyntheticSettings(width_px=96, height_px=96, bit_depth=8, seed=2, platform=Platform.AIR, band=Band.LWIR),
)
_WATCH_S = 0.25
_ALIVE_S = 240.0
RUN_ID = "live"


@dataclass
class Driver:
    """One `irstream stream` process and the supervisor's view of it."""

    process: subprocess.Popen[bytes]
    log: Path
    leave_dead: bool = False
    starts: int = 1


@dataclass(frozen=True)
class Moment:
    """Where the table stood at one time (`time.time()`), per partition."""

    at: float
    next_offsets: dict[int, int] = field(default_factory=dict)


class Scene:
    """One stream under load; a context manager."""

    def __init__(
        self, folder: Path, *, fps: float = 6.0, partitions: int = 2, table: Path | None = None, words: Sequence[str] | None = None
    ) -> None:
        """Nothing runs before the context is entered.

        Args:
            folder: for everything.
            fps: frames a second, all cameras together.
            partitions: of the topic.
            table: where the results go; default: in the folder.
            words: how a driver is started; default: `irstream stream`, with places where it can be killed.
        """
        self.words = words or [sys.executable, "-m", "tests.faults.driver", str(folder), "stream", "--json"]
        self.folder, self.fps, self.partitions = folder, fps, partitions
        self.table = table or folder / "results"
        self.drivers: list[Driver] = []
        self.moments: list[Moment] = []
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._hold = threading.Lock()

    def __enter__(self) -> Self:
        """Start everything and wait until rows come."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.broker = self._stack.enter_context(Broker(self.folder / "broker"))
        topics = {"topic": "frames", "alerts_topic": "detections", "dead_letter_topic": "frames.dead"}
        self.kafka = KafkaSettings(bootstrap_servers=self.broker.bootstrap_servers, **topics)
        ensure_topic(self.kafka, self.kafka.topic, self.partitions)
        self._stack.callback(self._end_drivers)
        self.start_driver()
        for work in (self._feed, self._watch, self._supervise):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._stack.callback(thread.join, 60)
        self._stack.callback(self._stop.set)
        self.wait(lambda: sum(self.next_offsets().values()) > 0, "first rows")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End everything."""
        self._stack.close()

    def start_driver(self, **environment: str) -> Driver:
        """Start one more `irstream stream`."""
        number = len(self.drivers) + 1
        log = self.folder / f"driver-{number}.log"
        driver = Driver(self._spawn(log, environment), log)
        with self._hold:
            self.drivers.append(driver)
        return driver

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of a driver."""
        return (
            {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")}
            | {
                "PYTHONPATH": str(ROOT),
                "IRSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                "IRSTREAM_SINK__TABLE": str(self.table),
                "IRSTREAM_STREAM__EPOCH_S": "60",
                "IRSTREAM_MODELS__SEGMENTER__MODEL": "acm",  # faults hit any network alike, and this one leaves two cores for the rest
            }
            | more
        )

    def _spawn(self, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        env = self.environment(**environment)
        with log.open("ab") as out:
            return subprocess.Popen(self.words, cwd=self.folder, env=env, stdout=out, stderr=out, start_new_session=True)

    def _supervise(self) -> None:
        """What systemd or Kubernetes does: start again what has ended."""
        while not self._stop.wait(0.2):
            with self._hold:
                for driver in self.drivers:
                    if driver.process.poll() is not None and not driver.leave_dead:
                        driver.process = self._spawn(driver.log, {})
                        driver.starts += 1

    def _end_drivers(self) -> None:
        for driver in self.drivers:
            driver.leave_dead = True
            family = self.family(driver)
            driver.process.kill()
            driver.process.wait(60)
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=60)

    def _feed(self) -> None:
        source = synthetic_source(CAMERAS, None, ContentType.PNG)
        with SteadyProducer(self.kafka) as producer:
            publish(source, producer, self.kafka.topic, fps=self.fps / len(CAMERAS), stop=self._stop)

    def _watch(self) -> None:
        table: DeltaTable | None = None
        while not self._stop.wait(_WATCH_S):
            try:
                if table is None:
                    table = DeltaTable(str(self.table))
                table.update_incremental()
                app_id = f"{RUN_ID}/{self.kafka.topic}"
                found = {number: table.transaction_version(f"{app_id}/{number}") for number in range(self.partitions)}
            except (DeltaError, OSError):
                table = None
                continue
            self.moments.append(Moment(time.time(), {number: offset for number, offset in found.items() if offset is not None}))

    def next_offsets(self) -> dict[int, int]:
        """Where the table stands now, per partition."""
        return dict(self.moments[-1].next_offsets) if self.moments else {}

    def ends(self) -> dict[int, int]:
        """Where the log ends now, per partition."""
        return {each.partition: offset for each, offset in end_offsets(self.kafka, self.kafka.topic).items()}

    def wait(self, done: Callable[[], bool], what: str, timeout_s: float = _ALIVE_S) -> float:
        """Wait; gives the time at which it was done.

        Raises:
            TimeoutError: with the end of every driver's log.
        """
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                tails = "\n".join(f"{each.log.name}: {each.log.read_text(errors='replace')[-3000:]}" for each in self.drivers)
                raise TimeoutError(f"{what} not within {timeout_s:g} s; next offsets {self.next_offsets()}, ends {self.ends()}\n{tails}")
            time.sleep(_WATCH_S / 2)
        return time.time()

    def caught_up_with(self, ends: dict[int, int]) -> bool:
        """Whether every message below these offsets is accounted for."""
        next_offsets = self.next_offsets()
        return all(next_offsets.get(number, 0) >= end for number, end in ends.items())

    def family(self, driver: Driver | None = None) -> list[psutil.Process]:
        """A driver's processes: its Ray, readers, models."""
        try:
            return psutil.Process((driver or self.drivers[0]).process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def find(self, *marks: str, timeout_s: float = 60.0) -> list[psutil.Process]:
        """Processes of the first driver whose title holds one of the marks; waits until there is one."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = []
            for process in self.family():
                with suppress(psutil.Error):
                    title = " ".join([process.name(), *process.cmdline()])
                    if any(mark in title for mark in marks):
                        found.append(process)
            if found:
                return found
            time.sleep(0.1)
        raise TimeoutError(f"no process of {marks}")

    def order(self, name: str, text: str) -> None:
        """Give the drivers an order (see `tests.faults.driver`)."""
        draft = self.folder / f"{name}.draft"
        draft.write_text(text)
        draft.replace(self.folder / name)

    def model(self, role: str) -> psutil.Process:
        """The process of one of the three networks."""
        return self.find(f":{role}", f"#{role}#")[0]
