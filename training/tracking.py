"""Trainings in MLflow: settings, curves and files of each run. What goes wrong there never ends a training."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import SettingsError
from contracts.text import counted
from training.distributed.storage import Storage

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

OFF = "off"
RUNS_FILE = "mlflow.json"
_EXPERIMENT, _DATABASE, _FILES = "irstream", "mlflow.db", "mlflow-files"
_MOST_PARAMETERS, _LONGEST_VALUE = 100, 500
_NO_NAME = re.compile(r"[^\w\-. :/]")
_RETRY_S, _LAST_S, _HANGS_S = 5.0, 30.0, 120.0
# A server that does not answer is left after seconds; MLflow itself would try for many minutes. Nothing is told to its makers.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
# Asked again, these would be refused again.
_REFUSED = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"})
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")

_Job = Callable[["MlflowClient"], None]


def tracking_uri(asked: str | None, place: str) -> str | None:
    """The place at which a training is tracked.

    Args:
        asked: URI of a server or database; `off`; None: a database (SQLite) beside the folder of the training, where MLflow is installed.
        place: folder or URL of the training.

    Returns:
        The URI; None: nowhere.

    Raises:
        SettingsError: a URI was asked for, and MLflow is not installed.
    """
    if asked == OFF:
        return None
    if find_spec("mlflow") is None:
        if asked is None:
            return None
        raise SettingsError(
            expected="MLflow to be installed",
            got="it is not",
            where="`MLflow server`",
            action='Install it (pip install "irstream[mlflow]"), or name no server.',
        )
    if asked is not None:
        return asked
    return None if "://" in place else f"sqlite:///{Path(place).resolve().parent / _DATABASE}"


def open_client(uri: str) -> MlflowClient:
    """A client of a server or database, which is made where it is not there.

    Raises:
        MlflowException: it cannot be reached.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def tracked_as(place: str) -> dict[str, Any] | None:
    """The run of a training, as its folder knows it: `uri`, `experiment`, `runs` (ids by name, the whole under an empty one)."""
    content = Storage(place).read(RUNS_FILE)
    return None if content is None else dict(json.loads(content))


class Tracker:
    """A run and those below it (folds). Each call returns at once; a thread of its own writes, in order, and asks again after failures."""

    def __init__(self, uri: str, place: str, title: str, parameters: Mapping[str, object], say: Callable[[str], None]) -> None:
        """Know what to write where. The run begins with the first thing told: of a training that is refused there is none.

        Args:
            uri: of the server or database.
            place: folder or URL of the training; ids of runs stay in it, so that a training that goes on is one run.
            title: of the run.
            parameters: settings of the training, nested or not.
            say: gets a sentence when the server cannot be reached, once, and when something is lost.
        """
        self._uri, self._place, self._say, self._storage = uri, place, say, Storage(place)
        there, shown = tracked_as(place), masked(uri)
        self._known: dict[str, Any] = there if there and there["uri"] == shown else {"uri": shown, "experiment": None, "runs": {}}
        self._open: list[str] = []
        self.begun = False
        self._begin_whole: _Job = self._beginning("", title, parameters)
        self._jobs: deque[_Job] = deque()
        self._more, self._closing = threading.Condition(), False
        self._until_s, self._patience_s, self._lost, self._told = math.inf, _LAST_S, 0, False
        self._thread = threading.Thread(target=self._write, name="mlflow", daemon=True)
        self._thread.start()

    def begin(self, name: str, parameters: Mapping[str, object]) -> None:
        """Begin a run below this one, or go on with it: its name within the training, and its settings."""
        self._put(self._beginning(name, name, parameters))

    def _beginning(self, name: str, title: str, parameters: Mapping[str, object]) -> _Job:
        def job(client: MlflowClient) -> None:
            from mlflow.entities import Param

            if name in self._known["runs"] and self._goes_on(client, name):
                return
            experiment, tags = self._experiment(client), {"mlflow.parentRunId": self._known["runs"][""]} if name else {}
            run = self._known["runs"][name] = client.create_run(experiment, run_name=title, tags=tags).info.run_id
            self._storage.write(RUNS_FILE, json.dumps(self._known, indent=1).encode())
            self._open.append(name)
            each = [Param(key, value[:_LONGEST_VALUE]) for key, value in flat(parameters).items()]
            for first in range(0, len(each), _MOST_PARAMETERS):
                client.log_batch(run, params=each[first : first + _MOST_PARAMETERS])

        return job

    def _goes_on(self, client: MlflowClient, name: str) -> bool:
        """Go on with a run, whose settings stay; False where somebody deleted it, or what it was in."""
        from mlflow.exceptions import MlflowException

        try:
            client.update_run(self._known["runs"][name], status="RUNNING")
            client.log_batch(self._known["runs"][name], metrics=[])
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"):
                raise
            if not name:
                self._known = {"uri": self._known["uri"], "experiment": None, "runs": {}}
            return False
        self._open.append(name)
        return True

    def point(self, step: int, values: Mapping[str, float | None], name: str = "") -> None:
        """Figures at a step; those that are none or not finite are left out."""
        finite = {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}
        at_ms = int(time.time() * 1000)

        def job(client: MlflowClient) -> None:
            from mlflow.entities import Metric

            client.log_batch(self._known["runs"][name], metrics=[Metric(_plain(key), value, at_ms, step) for key, value in finite.items()])

        if finite:
            self._put(job)

    def keep(self, file: str, content: bytes | Path, name: str = "") -> None:
        """Keep a file with the run: its content, or where it lies."""

        def job(client: MlflowClient) -> None:
            run = self._known["runs"][name]
            if isinstance(content, Path):
                client.log_artifact(run, str(content))
                return
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / file
                path.write_bytes(content)
                client.log_artifact(run, str(path))

        self._put(job)

    def end(self, status: str, name: str = "") -> None:
        """End a run: `FINISHED`, `KILLED` or `FAILED`; the whole with all that are still under way."""

        def job(client: MlflowClient) -> None:
            for each in [name] if name else self._open[::-1]:
                client.set_terminated(self._known["runs"][each], status)
            self._open = [each for each in self._open if name and each != name]

        self._put(job)

    def close(self, patience_s: float = _LAST_S) -> None:
        """Wait as long as things are written, and so long for one that is not; what is lost then is said."""
        with self._more:
            self._closing, self._patience_s, self._until_s = True, patience_s, time.monotonic() + patience_s
            self._more.notify()
        while self._thread.is_alive() and time.monotonic() < self._until_s + _HANGS_S:
            self._thread.join(1.0)
        lost = self._lost + len(self._jobs)
        if lost:
            self._say(f"MLflow ({masked(self._uri)}): {counted(lost, 'record')} not written")

    def _put(self, job: _Job) -> None:
        with self._more:
            if not self.begun:
                self.begun = True
                self._jobs.append(self._begin_whole)
            self._jobs.append(job)
            self._more.notify()

    def _write(self) -> None:
        client: MlflowClient | None = None
        while True:
            with self._more:
                while not self._jobs and not self._closing:
                    self._more.wait()
                if not self._jobs or time.monotonic() > self._until_s:
                    return
                job = self._jobs[0]
            try:
                client = client or open_client(self._uri)
                job(client)
            except Exception as error:  # noqa: BLE001 - whatever a server answers is no end of a training
                self._failed(error)
                if getattr(error, "error_code", None) not in _REFUSED and not isinstance(error, (KeyError, ImportError)):
                    with self._more:
                        if not self._closing:
                            self._more.wait_for(lambda: self._closing, _RETRY_S)
                        elif time.monotonic() + 1 < self._until_s:
                            self._more.wait(1)
                    continue
                self._lost += 1
            with self._more:
                self._jobs.popleft()
                if self._closing:
                    self._until_s = max(self._until_s, time.monotonic() + self._patience_s)

    def _failed(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            words = str(error).splitlines() or [type(error).__name__]
            self._say(f"MLflow ({masked(self._uri)}): {words[0][:200]}; the training goes on")

    def _experiment(self, client: MlflowClient) -> str:
        if self._known["experiment"] is None:
            there = client.get_experiment_by_name(_EXPERIMENT)
            self._known["experiment"] = there.experiment_id if there else client.create_experiment(_EXPERIMENT, _files_of(self._uri))
        return str(self._known["experiment"])


@contextmanager
def tracked(
    uri: str | None, place: str, title: str, parameters: Mapping[str, object], say: Callable[[str], None]
) -> Iterator[Tracker | None]:
    """A run in MLflow from the first thing that is told until the block ends; it ends as the block does. None: `uri` is None.

    Args:
        uri: see `tracking_uri`.
        place: folder or URL of the training.
        title: of the run.
        parameters: settings of the training.
        say: see `Tracker`.
    """
    if uri is None:
        yield None
        return
    tracker = Tracker(uri, place, title, parameters, say)
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if tracker.begun:
            tracker.end(status)
        tracker.close()


def masked(uri: str) -> str:
    """The URI without user and password: folders of trainings travel."""
    return _CREDENTIALS.sub("", uri)


def flat(values: Mapping[str, object], before: str = "") -> dict[str, str]:
    """Nested settings as names with dots and texts."""
    found: dict[str, str] = {}
    for key, value in values.items():
        name = _plain(f"{before}{key}")
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: str(value)}
    return found


def _plain(name: str) -> str:
    """A name that MLflow takes."""
    return _NO_NAME.sub("_", name.replace("@", " at "))


def _files_of(uri: str) -> str | None:
    """Folder of files: beside a database on this machine; None: a server knows."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).resolve().parent / _FILES).as_uri()
