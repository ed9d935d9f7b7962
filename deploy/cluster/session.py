"""Ray for irstream: a local one that fits a small machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

from contracts.errors import ProcessFailed, SettingsError, StopPipeline
from deploy.cluster.access import private_ray
from deploy.cluster.interrupts import interruptible
from deploy.cluster.logs import quiet_ray
from deploy.cluster.names import check_names_of_a_local_ray, runtime_env
from deploy.cluster.ray_internals import STORE_LOGGER

# Read by Ray when it is imported or its processes start, hence set here, before the import. What each is worth was
# measured on a two-core machine: metadata fetched on a thread costs 50 ms of latency per block, workers at nice 15
# starve beside anything else, and replicas answer twice as fast when user code shares their loop (ours never blocks it). Serve's
# controller looks after three replicas twice a second, not ten times, and Ray's agent gathers figures of all processes, which nobody
# reads, once a minute, not every 5 s: together 5 of the 15 % of a core that an idle stream takes.
_ENVIRONMENT = {
    "RAY_DATA_METADATA_PREFETCH_ON_THREAD": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_worker_niceness": "0",
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "REPORTER_UPDATE_INTERVAL_MS": "60000",
    "RAY_SERVE_LOG_TO_STDERR": "0",  # lines of every replica between those of the live view; the files keep them
    "RAY_task_events_report_interval_ms": "0",  # nobody reads them, and Ray's GCS kept them: 400 MiB an hour
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OBJECT_STORE_BYTES = 2 * 2**30
_OBJECT_STORE_LEAST_BYTES = 512 * 2**20
_HOST_AND_PORT = re.compile(r"(ray://)?(?P<host>[^/]+):(?P<port>\d+)")
_CONNECT_TIMEOUT_S = 5.0
_LOGICAL_CPUS = 8
_START_ATTEMPTS = 3
_SHORT_FOLDER, _LONGEST_FOLDER = "/tmp", 38  # noqa: S108 - the default of Ray itself
_log = logging.getLogger(__name__)


def prepare_environment() -> None:
    """Set Ray's environment variables where the user has not."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def cluster_address() -> str | None:
    """The cluster RAY_ADDRESS names; None for a local Ray (nothing, or the word `local`)."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


@contextmanager
def ray_session(in_flight_bytes: int = 0) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a local Ray and stop it afterwards.

    Args:
        in_flight_bytes: most bytes of messages a local object store has to hold (`stream.in_flight_bytes`).

    Raises:
        SettingsError: no cluster answers at RAY_ADDRESS, or workers would import files of others under our names.
        ProcessFailed: a local Ray does not come up.
        StopPipeline: it refuses what it is asked for.
    """
    prepare_environment()
    address = cluster_address()
    if address is None:
        check_names_of_a_local_ray()
    with nullcontext() if address else private_ray():
        if address is None:
            _start_local(in_flight_bytes)
        else:
            _connect(address)
        quiet_ray()
        try:
            with interruptible():  # Ray puts a handler of its own above any, which ends the process at once
                yield
        finally:
            # A local Ray ends here with everything in it. Shutting Serve down before adds error lines of the raylet about its
            # own controller, and nothing else: the stream has drained by now.
            import ray

            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    # `auto` and addresses Ray does not understand are for Ray to check; for one that nobody answers it would wait for ever.
    place = _HOST_AND_PORT.fullmatch(address)
    try:
        if place:
            socket.create_connection((place["host"].strip("[]"), int(place["port"])), _CONNECT_TIMEOUT_S).close()
        ray.init(address, log_to_driver=False, runtime_env=runtime_env())
    except (OSError, OverflowError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        ray.shutdown()
        raise SettingsError(
            expected="a running Ray cluster",
            got=f"{type(error).__name__}: {error}",
            where=f"RAY_ADDRESS={address}",
            action="Name the head node of a cluster (host:6379), or unset RAY_ADDRESS to start a local Ray. "
            "A cluster with a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN).",
        ) from error


def object_store_bytes(shm_free_bytes: int, in_flight_bytes: int) -> int:
    """Size of a local object store: what shared memory has room for, as long as that holds what is in flight.

    A decoded frame is about twice its message. More than shared memory holds makes Ray keep the store in files, which is
    slow; less than what is in flight would make it spill all the time, and below 75 MiB it does not start.
    """
    least = max(_OBJECT_STORE_LEAST_BYTES, 2 * in_flight_bytes)
    return max(least, min(_OBJECT_STORE_BYTES, int(shm_free_bytes * 0.8)))


def short_folder() -> str | None:
    """A folder for the sockets of a local Ray, where the one it would take does not do; None to leave it to Ray.

    The path of a socket has at most 107 bytes, of which Ray takes 65, and Ray's C++ code takes ASCII only.
    """
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or _SHORT_FOLDER
    if folder.isascii() and len(str(Path(folder).absolute())) <= _LONGEST_FOLDER:
        return None
    return f"{_SHORT_FOLDER}/ray-{os.getuid()}"


def _start_local(in_flight_bytes: int) -> None:
    import ray

    shm = Path("/dev/shm")  # noqa: S108 - where Ray puts its object store on Linux
    free_bytes = shutil.disk_usage(shm).free if shm.exists() else _OBJECT_STORE_BYTES * 2
    store_bytes = object_store_bytes(free_bytes, in_flight_bytes)
    if store_bytes > free_bytes:
        _log.warning("%s has room for %.0f MB: frames go through files, which is slow (docker run --shm-size=2g)", shm, free_bytes / 1e6)
        logging.getLogger(STORE_LOGGER).addFilter(lambda record: "/dev/shm" not in record.getMessage())  # noqa: S108
    for attempt in range(1, _START_ATTEMPTS + 1):
        before = set(psutil.Process().children(recursive=True))
        try:
            ray.init(
                address="local",
                # Logical: each of our tasks and actors reserves a fraction and says itself how many threads it computes on.
                num_cpus=max(_LOGICAL_CPUS, os.cpu_count() or 1),
                object_store_memory=store_bytes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                _temp_dir=short_folder(),
            )
            return
        except Exception as error:
            # Ray gives its node 30 s, a constant in its code: too little on a machine with a load far above its cores. What has
            # started by then is left running until this process ends.
            ray.shutdown()
            for process in set(psutil.Process().children(recursive=True)) - before:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            if isinstance(error, ValueError):  # it refuses what it was asked for, however often
                raise StopPipeline(
                    expected="a local Ray that accepts its resources",
                    got=str(error),
                    where="start of Ray",
                    action="Give this machine (or container: docker run --shm-size=2g) more memory, or lower stream.in_flight_bytes.",
                ) from error
            if attempt == _START_ATTEMPTS:
                raise ProcessFailed(
                    expected="a local Ray that starts within 30 s",
                    got=f"{error} ({_START_ATTEMPTS} attempts)",
                    where="start of Ray",
                    action="The machine is busy or short of memory: try again later, or set RAY_ADDRESS to a running cluster.",
                ) from error
            _log.warning("Ray did not start within its time (attempt %d of %d): trying again", attempt, _START_ATTEMPTS)
