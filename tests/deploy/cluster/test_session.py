"""A cluster that is not there is named at once; a local Ray starts beside little shared memory."""

from __future__ import annotations

import socket

import pytest

from contracts.errors import SettingsError
from deploy.cluster.session import cluster_address, object_store_bytes, ray_session, short_folder

MEBIBYTE = 2**20


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(("value", "address"), [("", None), ("local", None), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379")])
def test_which_addresses_name_a_cluster(monkeypatch: pytest.MonkeyPatch, value: str, address: str | None) -> None:
    monkeypatch.setenv("RAY_ADDRESS", value)
    assert cluster_address() == address


@pytest.mark.parametrize(
    ("folder", "ours"), [(None, False), ("/tmp", False), ("/var/tmp/user-1000", False), ("/tmp/é", True), ("/" + 94 * "t", True)]
)
def test_sockets_of_a_local_ray_get_a_short_ascii_folder(monkeypatch: pytest.MonkeyPatch, folder: str | None, ours: bool) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    if folder is None:
        monkeypatch.delenv("TMPDIR", raising=False)
    else:
        monkeypatch.setenv("TMPDIR", folder)
    found = short_folder()
    assert (found is not None) is ours
    assert found is None or (found.isascii() and len(found) < 38)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "127.0.0.1:99999999", "no-such-host.invalid:6379", "nonsense"]
)
def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """For an address nobody answers at Ray itself waits for ever, and so would this test."""
    address = address.format(port=closed_port())
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SettingsError) as caught, ray_session():
        pass
    assert caught.value.exit_code == 2
    assert f"RAY_ADDRESS={address}" in str(caught.value)


@pytest.mark.parametrize(
    ("shm_mb", "in_flight_mb", "store_mb"),
    [
        pytest.param(16_000, 256, 2048, id="room for all"),
        pytest.param(1000, 256, 800, id="room for what is in flight"),
        pytest.param(64, 256, 512, id="a container without --shm-size"),
        pytest.param(0, 0, 512, id="no room at all"),
        pytest.param(1000, 600, 1200, id="less than what is in flight"),
    ],
)
def test_the_object_store_holds_what_is_in_flight(shm_mb: int, in_flight_mb: int, store_mb: int) -> None:
    assert object_store_bytes(shm_mb * MEBIBYTE, in_flight_mb * MEBIBYTE) == store_mb * MEBIBYTE
