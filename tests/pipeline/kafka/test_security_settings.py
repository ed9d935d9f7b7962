"""Security settings that contradict each other are refused with both names; files that cannot be used are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.errors import SettingsError
from pipeline.kafka.security import refusal, security_options
from pipeline.kafka.settings import KafkaSettings
from tests.certificates import Authority

USER = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "me"}
LOGIN = USER | {"sasl_password": "canary-word"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(
            {"sasl_username": "me"}, "expected security_protocol SASL_SSL.* with sasl_username, got PLAINTEXT", id="user, no SASL"
        ),
        pytest.param({"security_protocol": "SSL", **LOGIN}, "with sasl_mechanism, got SSL", id="SASL over SSL without SASL"),
        pytest.param({"ssl_cafile": "ca"}, "expected security_protocol SSL.* with ssl_cafile, got PLAINTEXT", id="CA, no TLS"),
        pytest.param({"security_protocol": "SASL_PLAINTEXT", **LOGIN, "ssl_keyfile": "k"}, "with ssl_keyfile, got SASL_PLAIN", id="key"),
        pytest.param({"security_protocol": "SASL_SSL"}, "expected sasl_mechanism with security_protocol SASL_SSL", id="SASL alone"),
        pytest.param({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "expected sasl_username with", id="no user"),
        pytest.param({"security_protocol": "SASL_SSL", **USER}, "exactly one of sasl_password and .*, got none", id="no password"),
        pytest.param(
            {"security_protocol": "SASL_SSL", **LOGIN, "sasl_password_file": "f"},
            "exactly one of .*, got sasl_password and sasl_password_file",
            id="two passwords",
        ),
        pytest.param({"security_protocol": "SSL", "ssl_certfile": "c"}, "expected ssl_keyfile with ssl_certfile", id="no key"),
        pytest.param({"security_protocol": "SSL", "ssl_keyfile": "k"}, "expected ssl_certfile with ssl_keyfile", id="no certificate"),
        pytest.param(
            {"security_protocol": "SSL", "ssl_key_password": "x"}, "expected ssl_keyfile with ssl_key_password", id="no key at all"
        ),
    ],
)
def test_contradictions_are_refused_by_name(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        KafkaSettings.model_validate(given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SSL", "ssl_certfile": "c", "ssl_keyfile": "k"},
        {"security_protocol": "SASL_SSL", **LOGIN},
        {"security_protocol": "SASL_PLAINTEXT", **USER, "sasl_password_file": "f"},
    ],
)
def test_what_belongs_together_is_taken(given: dict[str, str]) -> None:
    assert KafkaSettings.model_validate(given)


def test_a_password_file_is_read_without_its_line_end_and_named_when_it_cannot_be(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    settings = KafkaSettings.model_validate({"security_protocol": "SASL_PLAINTEXT", **USER, "sasl_password_file": str(secret)})
    with pytest.raises(SettingsError, match=f"kafka.sasl_password_file = {secret}.*No such file"):
        security_options(settings)
    secret.write_text(" two words \r\n")
    assert security_options(settings)["sasl_plain_password"] == " two words "
    secret.write_text("\n")
    with pytest.raises(SettingsError, match="an empty one"):
        security_options(settings)
    secret.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="no UTF-8"):
        security_options(settings)


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
@pytest.mark.parametrize("content", [None, "no PEM at all"])
def test_a_pem_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    authority = Authority(tmp_path, "authority")
    own = authority.sign("me")
    files = {"ssl_cafile": str(authority.pem), "ssl_certfile": str(own.pem), "ssl_keyfile": str(own.key)}
    assert security_options(KafkaSettings.model_validate({"security_protocol": "SSL"} | files))
    wrong = tmp_path / "wrong"
    if content is not None:
        wrong.write_text(content)
    with pytest.raises(SettingsError) as caught:
        security_options(KafkaSettings.model_validate({"security_protocol": "SSL"} | files | {name: str(wrong)}))
    # OpenSSL reads certificate and key together and does not say which of them is none: the key is named.
    told = "ssl_keyfile" if content is not None and name == "ssl_certfile" else name
    path = str(own.key) if told != name else str(wrong)
    assert caught.value.where == f"kafka.{told} = {path}"
    assert "BEGIN" not in str(caught.value)


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    mine, other = authority.sign("mine"), authority.sign("other")
    settings = KafkaSettings.model_validate({"security_protocol": "SSL", "ssl_certfile": str(mine.pem), "ssl_keyfile": str(other.key)})
    with pytest.raises(SettingsError, match=r"kafka\.ssl_keyfile.*MISMATCH"):
        security_options(settings)


def test_what_may_pass_is_no_refusal() -> None:
    assert refusal(KafkaSettings(), ConnectionError("socket disconnected")) is None
    assert refusal(KafkaSettings(), TimeoutError()) is None
