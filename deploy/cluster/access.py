"""Access to a local Ray: for this process and those it starts, on this machine, with a token of this session."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
# Made for macOS and Windows, where a listening port asks the user; on Linux it binds every port of Ray to 127.0.0.1 as well,
# which `_node_ip_address` does not (Ray replaces a loopback address by the one of the machine).
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@contextmanager
def private_ray() -> Iterator[None]:
    """While the block runs, a Ray that is started here listens on 127.0.0.1 and refuses whoever lacks its token.

    The token is made for the block and handed to Ray's processes by environment, so it stands in no file and on no command
    line. What the user has set is kept: a token of their own lets `ray status` in, RAY_AUTH_MODE=disabled turns it off.
    """
    ours = {_LOOPBACK: "0", _MODE: "token"}
    if _TOKEN_PATH not in os.environ:
        ours[_TOKEN] = secrets.token_hex(32)
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    _read_environment_again()
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        _read_environment_again()


def _read_environment_again() -> None:
    """Ray reads these variables once in the life of a process; here one may start several sessions."""
    from ray._private import ray_constants

    raylet: Any = import_module("ray._raylet")  # its typing stub leaves these two out
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(_LOOPBACK, "1") != "0"
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
