"""What irstream uses of Ray although it is not documented: each part, and what breaks without it.

A new version of Ray is tried against this file first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from deploy.cluster.ray_internals import LOOPBACK_VARIABLE, STORE_LOGGER, TOKEN_LOGGER, read_environment_again

ACCESS = (LOOPBACK_VARIABLE, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture
def environment() -> Iterator[pytest.MonkeyPatch]:
    """Without a word about access; afterwards Ray knows of nothing that was set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ACCESS:
            patch.delenv(name, raising=False)
        yield patch
    read_environment_again()


def part(module: str, name: str, without_it: str) -> Any:
    """The part, which is there."""
    owner = import_module(module)
    assert hasattr(owner, name), f"Ray has no {module}.{name} any more. Without it {without_it}."
    return getattr(owner, name)


def test_without_the_loopback_constant_every_port_of_a_local_ray_is_open_to_the_network(environment: pytest.MonkeyPatch) -> None:
    without_it = "a local Ray listens on all addresses of the machine"
    constants = "ray._private.ray_constants"
    assert part(constants, "ENABLE_RAY_CLUSTERS_ENV_VAR", without_it) == LOOPBACK_VARIABLE, f"another name; with the old one {without_it}"
    part(constants, "ENABLE_RAY_CLUSTER", without_it)
    address = part("ray._private.services", "get_node_ip_address", without_it)
    environment.setenv(LOOPBACK_VARIABLE, "0")
    read_environment_again()
    assert address() == "127.0.0.1", f"the constant is no longer looked at: {without_it}"
    environment.setattr("ray._private.services.node_ip_address_from_perspective", lambda _: "of the network")
    environment.delenv(LOOPBACK_VARIABLE)
    read_environment_again()
    assert address() == "of the network", "a Ray that the user wants on the network cannot be reached"


def test_without_the_second_reading_of_its_settings_a_second_ray_lets_everybody_in(environment: pytest.MonkeyPatch) -> None:
    without_it = "a Ray started after another in one process keeps the other's mode: it may ask for no token"
    config = part("ray._raylet", "Config", without_it)
    assert hasattr(config, "initialize"), f"Ray has no Config.initialize any more. Without it {without_it}."
    mode, modes = part("ray._raylet", "get_authentication_mode", without_it), part("ray._raylet", "AuthenticationMode", without_it)
    for text, expected in (("token", modes.TOKEN), ("disabled", modes.DISABLED), ("token", modes.TOKEN)):
        environment.setenv("RAY_AUTH_MODE", text)
        read_environment_again()
        assert mode() == expected, without_it


def test_without_a_token_cache_that_can_be_emptied_a_second_ray_refuses_its_own_driver(environment: pytest.MonkeyPatch) -> None:
    without_it = "the driver shows a second Ray the token of the first"
    loader = part("ray._raylet", "AuthenticationTokenLoader", without_it).instance()
    assert hasattr(loader, "reset_cache"), f"Ray has no AuthenticationTokenLoader.reset_cache any more. Without it {without_it}."
    environment.setenv("RAY_AUTH_MODE", "token")
    for token in ("1" * 64, "2" * 64):
        environment.setenv("RAY_AUTH_TOKEN", token)
        read_environment_again()
        assert loader.get_raw_token() == token, without_it


@pytest.mark.parametrize(
    ("name", "without_it"),
    [
        pytest.param(TOKEN_LOGGER, "each start of a local Ray writes notes about its token into the live view", id="token"),
        pytest.param(STORE_LOGGER, "its advice about shared memory stands beside ours", id="store"),
    ],
)
def test_without_the_names_of_the_loggers_lines_of_ray_stand_in_the_live_view(name: str, without_it: str) -> None:
    logger = part(name, "logger", without_it)
    assert logger is logging.getLogger(name), f"{name} logs under the name {logger.name}: {without_it}"


def test_without_the_path_in_its_words_the_advice_about_shared_memory_is_not_found(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    size = part("ray._private.services", "determine_plasma_store_config", "this test needs another way to the warning")
    environment.setattr("ray._private.utils.get_shared_memory_bytes", lambda: 0)
    with caplog.at_level(logging.WARNING, STORE_LOGGER):
        size(100 * 2**20, str(tmp_path))
    (record,) = [record for record in caplog.records if record.name == STORE_LOGGER]
    assert "/dev/shm" in record.getMessage(), "deploy/cluster/session.py knows the warning by this path"
