"""Everything of Ray that irstream uses although it is not documented: two modules, a variable, two names of loggers.

No other module of irstream touches them. Each has a test in tests/deploy/cluster/test_ray_internals.py that says what breaks
when a new version no longer has it, and pyproject.toml bounds the version for their sake.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

# Made for macOS and Windows, where a listening port asks the user; on Linux it binds every port of Ray to 127.0.0.1 as well,
# which `_node_ip_address` does not (Ray replaces a loopback address by the one of the machine).
LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
TOKEN_LOGGER = "ray._private.authentication.authentication_token_setup"  # noqa: S105 - the name of a logger
"""Notes at every start that a local Ray made itself a token."""
STORE_LOGGER = "ray._private.services"
"""Warns of too little shared memory, with advice for those who start Ray themselves."""


def read_environment_again() -> None:
    """Let Ray read LOOPBACK_VARIABLE, RAY_AUTH_MODE and the token once more; it does so once in the life of a process."""
    from ray._private import ray_constants

    raylet: Any = import_module("ray._raylet")  # its typing stub leaves these two out
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(LOOPBACK_VARIABLE, "1") != "0"
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
