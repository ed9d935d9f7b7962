"""Commands over SCRAM and over client certificates as processes; their password and key are in nothing they leave behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import ray
from deltalake import DeltaTable
from kafka.admin import ACLOperation, ResourceType

from tests.integration.test_commands import IRSTREAM
from tests.secured_kafka import SecuredKafka

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ray_folder(local_ray: None) -> Path:
    """Where the Ray of all tests logs."""
    return Path(ray.nodes()[0]["ObjectStoreSocketName"]).parents[1]


def environment(secured: SecuredKafka, **kafka: str) -> dict[str, str]:
    topics = {"TOPIC": secured.new_topic(2), "ALERTS_TOPIC": secured.new_topic(2), "DEAD_LETTER_TOPIC": secured.new_topic(2)}
    ours = {f"IRSTREAM_KAFKA__{name}": value for name, value in (topics | kafka).items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("IRSTREAM_")}
    return inherited | ours | {"PYTHONPATH": str(ROOT)}


def allow(secured: SecuredKafka, principal: str, env: dict[str, str]) -> None:
    """The rights of docs/kafka.md for one who publishes and streams."""
    topic, alerts, dead = (env[f"IRSTREAM_KAFKA__{name}"] for name in ("TOPIC", "ALERTS_TOPIC", "DEAD_LETTER_TOPIC"))
    secured.allow(principal, ResourceType.TOPIC, topic, ACLOperation.READ, ACLOperation.WRITE)
    secured.allow(principal, ResourceType.TOPIC, alerts, ACLOperation.WRITE)
    secured.allow(principal, ResourceType.TOPIC, dead, ACLOperation.WRITE)
    secured.allow(principal, ResourceType.GROUP, "irstream", ACLOperation.READ)
    secured.allow(principal, ResourceType.GROUP, "irstream.", ACLOperation.READ, prefixed=True)


def run(cwd: Path, env: dict[str, str], *arguments: str, code: int = 0) -> str:
    """Everything the command prints."""
    done = subprocess.run([*IRSTREAM, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    return told


def test_publish_and_stream_over_scram_leave_the_password_nowhere(
    secured_kafka: SecuredKafka, tmp_path: Path, joining_local_ray: dict[str, str], ray_folder: Path
) -> None:
    user, password = secured_kafka.new_user()
    env = environment(
        secured_kafka,
        BOOTSTRAP_SERVERS=secured_kafka.bootstrap_servers,
        SECURITY_PROTOCOL="SASL_SSL",
        SASL_MECHANISM="SCRAM-SHA-512",
        SASL_USERNAME=user,
        SASL_PASSWORD=password,
        SSL_CAFILE=str(secured_kafka.authority.pem),
    ) | {"IRSTREAM_DEBUG": "1", "IRSTREAM_MODELS__SEGMENTER__MODEL": "acm", **joining_local_ray}
    allow(secured_kafka, f"User:{user}", env)
    told = run(tmp_path, env, "publish", "synthetic", "--limit", "10", "--fps", "0")
    told += run(tmp_path, env, "config", "show") + run(tmp_path, env, "config", "check", "--json")
    told += run(tmp_path, env, "stream", "--until-caught-up", "--json")
    told += run(tmp_path, env, "audit")
    assert DeltaTable(str(tmp_path / "runs" / "results")).to_pyarrow_table().num_rows == 10
    wrong = env | {"IRSTREAM_KAFKA__SASL_PASSWORD": f"{password}-no-more", "IRSTREAM_DEBUG": "0"}
    refused = run(tmp_path, wrong, "publish", "synthetic", "--limit", "1", code=2)
    assert "IRSTREAM_KAFKA__SASL_PASSWORD" in refused
    assert password not in told + refused
    logs = [path for folder in (ray_folder, tmp_path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any("raylet" in path.name for path in logs)
    assert [path for path in logs if password.encode() in path.read_bytes()] == []


def test_publish_with_a_client_certificate_leaves_its_key_nowhere(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    own = secured_kafka.authority.sign("recorder", key_password="sealed-4711")
    env = environment(
        secured_kafka,
        BOOTSTRAP_SERVERS=secured_kafka.mtls_servers,
        SECURITY_PROTOCOL="SSL",
        SSL_CAFILE=str(secured_kafka.authority.pem),
        SSL_CERTFILE=str(own.pem),
        SSL_KEYFILE=str(own.key),
        SSL_KEY_PASSWORD="sealed-4711",
    )
    allow(secured_kafka, "User:CN=recorder", env)
    told = run(tmp_path, env, "publish", "synthetic", "--limit", "10", "--fps", "0") + run(tmp_path, env, "config", "show")
    told += run(tmp_path, env | {"IRSTREAM_KAFKA__SSL_KEY_PASSWORD": "another"}, "publish", "synthetic", "--limit", "1", code=2)
    lines = own.key.read_text().splitlines()
    assert len(lines) > 2
    assert [line for line in [*lines, "sealed-4711"] if line in told] == []
