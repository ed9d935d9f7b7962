"""Ray for irstream: a local one that fits a small machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def prepare_environment() -> None:
    """Set Ray's environment variables where the user has not."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def ray_session() -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a local Ray and stop it afterwards."""
    prepare_environment()
    import ray

    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        free_bytes = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").exists() else _OBJECT_STORE_BYTES  # noqa: S108 - where Ray puts it
        ray.init(
            address="local",
            # Logical: each of our tasks and actors reserves a fraction and says itself how many threads it computes on.
            num_cpus=max(_LOGICAL_CPUS, os.cpu_count() or 1),
            object_store_memory=min(_OBJECT_STORE_BYTES, int(free_bytes * 0.8)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    quiet_ray()
    try:
        yield
    finally:
        # A local Ray ends here with everything in it. Shutting Serve down before adds error lines of the raylet about its own
        # controller, and nothing else: the stream has drained by now.
        ray.shutdown()
