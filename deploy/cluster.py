"""Ray for irstream: a local one that fits a small machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from contracts.errors import StopPipeline
from deploy.logs import quiet_ray

# Read by Ray when it is imported or its processes start, hence set here, before the import. What each is worth was
# measured on a two-core machine: metadata fetched on a thread costs 50 ms of latency per block, workers at nice 15
# starve beside anything else, and replicas answer twice as fast when user code shares their loop (ours never blocks it).
_ENVIRONMENT = {
    "RAY_DATA_METADATA_PREFETCH_ON_THREAD": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_worker_niceness": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",  # lines of every replica between those of the live view; the files keep them
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OBJECT_STORE_BYTES = 2 * 2**30
_LOGICAL_CPUS = 8
_START_ATTEMPTS = 3
_log = logging.getLogger(__name__)


def prepare_environment() -> None:
    """Set Ray's environment variables where the user has not."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def ray_session() -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a local Ray and stop it afterwards.

    Raises:
        StopPipeline: a local Ray does not come up, tried three times.
    """
    prepare_environment()
    import ray

    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        _start_local()
    quiet_ray()
    try:
        yield
    finally:
        # A local Ray ends here with everything in it. Shutting Serve down before adds error lines of the raylet about its own
        # controller, and nothing else: the stream has drained by now.
        ray.shutdown()


def _start_local() -> None:
    import ray

    free_bytes = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").exists() else _OBJECT_STORE_BYTES  # noqa: S108 - where Ray puts it
    for attempt in range(1, _START_ATTEMPTS + 1):
        before = set(psutil.Process().children(recursive=True))
        try:
            ray.init(
                address="local",
                # Logical: each of our tasks and actors reserves a fraction and says itself how many threads it computes on.
                num_cpus=max(_LOGICAL_CPUS, os.cpu_count() or 1),
                object_store_memory=min(_OBJECT_STORE_BYTES, int(free_bytes * 0.8)),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
            return
        except Exception as error:
            # Ray gives its node 30 s, a constant in its code: too little on a machine with a load far above its cores. What has
            # started by then is left running until this process ends.
            ray.shutdown()
            for process in set(psutil.Process().children(recursive=True)) - before:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            if attempt == _START_ATTEMPTS:
                raise StopPipeline(
                    expected="a local Ray that starts within 30 s",
                    got=f"{error} ({_START_ATTEMPTS} attempts)",
                    where="start of Ray",
                    action="The machine is busy or short of memory: try again later, or set RAY_ADDRESS to a running cluster.",
                ) from error
            _log.warning("Ray did not start within its time (attempt %d of %d): trying again", attempt, _START_ATTEMPTS)
