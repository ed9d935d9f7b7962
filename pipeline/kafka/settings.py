"""Settings of Kafka: where it is, how patient we are with it, who we are to it. Nothing is connected here."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_ADDRESSES = r"^\s*[^\s,]+:\d+\s*(,\s*[^\s,]+:\d+\s*)*$"
_SASL = ("sasl_mechanism", "sasl_username", "sasl_password", "sasl_password_file")
_TLS = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password")


class KafkaSettings(BaseModel):
    """Addresses, limits, timeouts and security of Kafka. Every key is also an environment variable `IRSTREAM_KAFKA__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field("127.0.0.1:9092", pattern=_ADDRESSES, description="host:port, several by comma")
    topic: str = Field(default="frames", min_length=1, description="frames come from here")
    alerts_topic: str = Field(default="detections", min_length=1, description="detections go here")
    dead_letter_topic: str = Field(default="frames.dead", min_length=1, description="messages that cannot be used, by reference")
    group_hint: str = Field("irstream", min_length=1, description="lag tools see our progress under it; nobody may subscribe with it")
    session_timeout_s: float = Field(
        10.0,
        ge=1,
        le=300,
        description="a driver silent for so long loses its partitions to the others (no less than the broker allows, often 6)",
    )
    max_message_bytes: int = Field(default=80 * 2**20, ge=2**20, description="largest message we send")
    fetch_bytes: int = Field(default=2**20, ge=2**16, description="how much one fetch brings (a larger message still comes)")
    unacked_bytes: int = Field(default=64 * 2**20, ge=2**20, description="a producer waits above this many bytes that are not acknowledged")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="a start without an answer fails after this time")
    probe_interval_s: float = Field(default=2.0, gt=0, description="how often a silent connection is asked whether it lives")
    probe_timeout_s: float = Field(default=3.0, gt=0, description="and how long the answer may take")
    delivery_timeout_s: float = Field(default=120.0, gt=0, description="a message not acknowledged by then is sent again by a new producer")
    max_outage_s: float = Field(default=300.0, gt=0, description="a producer gives up after so long without any acknowledgement")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients talk to the broker"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(None, description="how the user proves who it is")
    sasl_username: str | None = Field(None, description="user of SASL")
    sasl_password: SecretStr | None = Field(None, description="password of SASL, never shown; by environment variable only")
    sasl_password_file: str | None = Field(None, description="or a file that holds it, as Kubernetes mounts secrets")
    ssl_cafile: str | None = Field(None, description="PEM file of the authority that signed the broker's certificate")
    ssl_certfile: str | None = Field(None, description="PEM file of our certificate, where the broker asks for one")
    ssl_keyfile: str | None = Field(None, description="PEM file of its key")
    ssl_key_password: SecretStr | None = Field(None, description="password of the key where it is encrypted, never shown")

    @model_validator(mode="after")
    def _three_topics(self) -> Self:
        if len({self.topic, self.alerts_topic, self.dead_letter_topic}) < 3:
            raise ValueError("three different names: topic, alerts_topic, dead_letter_topic (or the stream would read what it writes)")
        return self

    @model_validator(mode="after")
    def _consistent_security(self) -> Self:
        _require_consistent(self)
        return self

    @property
    def probe_timeout_ms(self) -> int:
        """Milliseconds, as kafka-python takes it."""
        return round(self.probe_timeout_s * 1000)


def _require_consistent(settings: KafkaSettings) -> None:
    """Refuse security settings that contradict each other.

    Raises:
        ValueError: names both keys.
    """
    protocol = settings.security_protocol
    given = [name for name in (*_SASL, *_TLS) if getattr(settings, name)]
    for names, speaks, wanted in (
        (_SASL, protocol.startswith("SASL"), "SASL_SSL or SASL_PLAINTEXT"),
        (_TLS, protocol.endswith("SSL"), "SSL or SASL_SSL"),
    ):
        useless = [name for name in given if name in names]
        if useless and not speaks:
            raise ValueError(f"expected security_protocol {wanted} with {useless[0]}, got {protocol}")
    if protocol.startswith("SASL"):
        for name in ("sasl_mechanism", "sasl_username"):
            if name not in given:
                raise ValueError(f"expected {name} with security_protocol {protocol}, got none")
        passwords = [name for name in given if name.startswith("sasl_password")]
        if len(passwords) != 1:
            got = " and ".join(passwords) or "none"
            raise ValueError(f"expected exactly one of sasl_password and sasl_password_file with security_protocol {protocol}, got {got}")
    for name, other in (("ssl_certfile", "ssl_keyfile"), ("ssl_keyfile", "ssl_certfile"), ("ssl_key_password", "ssl_keyfile")):
        if name in given and other not in given:
            raise ValueError(f"expected {other} with {name}, got none")
