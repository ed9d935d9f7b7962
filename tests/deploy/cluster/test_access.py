"""A local Ray listens on this machine only, lets nobody in without its token, and serves no page."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from deploy.cluster.access import private_ray

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[3]
VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
SESSION = """
import json, os, sys
from deploy.cluster.session import ray_session
with ray_session():
    import ray
    token_of_a_worker = ray.get(ray.remote(lambda: os.environ["RAY_AUTH_TOKEN"]).remote())
    context = ray.get_runtime_context()
    session = ray._private.worker._global_node.get_session_dir_path()
    print(json.dumps([context.gcs_address, token_of_a_worker, session]), flush=True)
    sys.stdin.read()
"""
CLIENT = """
import sys, ray
ray.init(sys.argv[1], log_to_driver=False)
print("in:", ray.get(ray.remote(lambda: 42).remote()))
"""
OURS = """
from deploy.cluster.session import ray_session
with ray_session():
    print("in")
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A local Ray in a process of its own."""

    pid: int
    address: str
    token: str
    folder: Path

    def family(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def listeners(self) -> list[tuple[str, int]]:
        """Address and port of every socket that takes connections."""
        sockets = [each for process in self.family() for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
        return [(each.laddr.ip.removeprefix("::ffff:"), each.laddr.port) for each in sockets]


def without_access(**changes: str) -> dict[str, str]:
    """An environment without a token; another process finds a Ray on 127.0.0.1 only with the last variable."""
    changes = {"PYTHONPATH": str(ROOT), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} | changes
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | changes


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    env = without_access(RAY_ADDRESS="")
    with subprocess.Popen([sys.executable, "-c", SESSION], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address, token, folder = json.loads(process.stdout.readline())
        yield Session(process.pid, address, token, Path(folder))
        assert process.stdin is not None
        process.stdin.close()


def test_every_port_is_on_this_machine_only(session: Session) -> None:
    found = session.listeners()
    assert len(found) >= 5
    assert {ip for ip, _ in found} == {"127.0.0.1"}


def test_no_page_is_served(session: Session) -> None:
    """Neither Serve's proxy (8000) nor the dashboard (8265); what speaks HTTP are Ray's agents (token) and meters (no secret)."""
    ports = {port for _, port in session.listeners()}
    assert not ports & {8000, 8265}
    answers = {port: page(port) for port in ports}
    assert set(answers.values()) <= {"no HTTP", "401", "metrics"}
    assert "401" in answers.values()


def page(port: int) -> str:
    """What a browser without a token sees."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/jobs/", timeout=30) as answer:
            text = answer.read(500).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return str(error.code)
    except (OSError, http.client.HTTPException):  # what gRPC says is no HTTP/1
        return "no HTTP"
    return "metrics" if text.startswith("# HELP") else text


def test_only_the_token_lets_in(session: Session, tmp_path: Path) -> None:
    """All at the same time: who is refused waits long for it."""
    wrong = {
        "none": without_access(),
        "another": without_access(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64),
        "switched off": without_access(RAY_AUTH_MODE="disabled"),
    }
    clients = {name: run_python(CLIENT, env, session.address) for name, env in wrong.items()}
    right = run_python(CLIENT, without_access(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=session.token), session.address)
    secret = tmp_path / "token"
    secret.write_text(session.token)
    ours = without_access(RAY_ADDRESS=session.address)
    told = run_python(OURS, ours)
    let_in = run_python(OURS, ours | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(secret)})
    out, err = right.communicate(timeout=240)
    assert out.strip() == "in: 42", err
    for name, refused in clients.items():
        out, _ = refused.communicate(timeout=240)
        assert (name, refused.returncode != 0, out) == (name, True, "")
    out, err = told.communicate(timeout=240)
    assert out == ""
    assert "RAY_AUTH_TOKEN_PATH" in err, "irstream says what is missing"
    out, err = let_in.communicate(timeout=240)
    assert out == "in\n", err


def run_python(code: str, env: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_token_is_on_no_command_line_and_in_no_file(session: Session) -> None:
    assert len(session.token) == 64
    assert all(session.token not in word for process in session.family() for word in process.cmdline())
    files = [path for path in session.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if session.token.encode() in path.read_bytes()] == []


def test_the_environment_is_as_before_and_each_token_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    seen = []
    for _ in range(2):
        with private_ray():
            seen.append([os.environ.get(name) for name in VARIABLES])
        assert not any(name in os.environ for name in VARIABLES)
    (mode, first, path, loopback), (_, second, *_) = seen
    assert (mode, path, loopback) == ("token", None, "0")
    assert first
    assert second
    assert first != second


def test_what_the_user_has_set_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "token").write_text("mine")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    with private_ray():
        assert "RAY_AUTH_TOKEN" not in os.environ
        assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with private_ray():
        assert os.environ["RAY_AUTH_MODE"] == "disabled"
