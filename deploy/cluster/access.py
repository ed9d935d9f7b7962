"""Access to a local Ray: for this process and those it starts, on this machine, with a token of this session."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.cluster.ray_internals import LOOPBACK_VARIABLE, read_environment_again

_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


@contextmanager
def private_ray() -> Iterator[None]:
    """While the block runs, a Ray that is started here listens on 127.0.0.1 and refuses whoever lacks its token.

    The token is made for the block and handed to Ray's processes by environment, so it stands in no file and on no command
    line. What the user has set is kept: a token of their own lets `ray status` in, RAY_AUTH_MODE=disabled turns it off.
    """
    ours = {LOOPBACK_VARIABLE: "0", _MODE: "token"}
    if _TOKEN_PATH not in os.environ:
        ours[_TOKEN] = secrets.token_hex(32)
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    read_environment_again()
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        read_environment_again()
