"""A real broker that talks to nobody in plain text: SCRAM users on one port, client certificates on another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.broker.broker import Broker
from deploy.broker.config import HOST
from deploy.broker.process import hold_port
from pipeline.kafka.client import connect_admin
from pipeline.kafka.settings import KafkaSettings
from tests.certificates import Authority, Certificate
from tests.conftest import RealKafka

ADMIN, ADMIN_PASSWORD = "admin", "admin-word-5d1f"
# Short, so that a user who is removed is noticed within seconds.
_SESSION_MS = 4000


class SecuredKafka(RealKafka):
    """The broker, its authority and its four addresses; `settings()` are those of the administrator over SCRAM."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        super().__init__(f"{HOST}:{ports['SCRAM']}")
        self.folder = folder
        self.mtls_servers = f"{HOST}:{ports['MTLS']}"
        self.expired_servers = f"{HOST}:{ports['EXPIRED']}"
        self.authority = Authority(folder, "authority")
        self.node = self.authority.sign("broker")
        self.expired = self.authority.sign("expired", expired=True)

    def settings(self, **changes: object) -> KafkaSettings:
        return self.scram(ADMIN, ADMIN_PASSWORD, **changes)

    def scram(self, user: str, password: str, **changes: object) -> KafkaSettings:
        """Settings of a user with a password."""
        return KafkaSettings.model_validate(
            {
                "bootstrap_servers": self.bootstrap_servers,
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": user,
                "sasl_password": password,
                "ssl_cafile": str(self.authority.pem),
            }
            | changes
        )

    def mtls(self, certificate: Certificate | None, **changes: object) -> KafkaSettings:
        """Settings of a client with a certificate, or of one without."""
        own = {"ssl_certfile": str(certificate.pem), "ssl_keyfile": str(certificate.key)} if certificate else {}
        return KafkaSettings.model_validate(
            {"bootstrap_servers": self.mtls_servers, "security_protocol": "SSL", "ssl_cafile": str(self.authority.pem)} | own | changes
        )

    def new_user(self) -> tuple[str, str]:
        """A SCRAM user without any right: name and password."""
        name, password = f"user-{uuid4().hex[:8]}", f"word-{uuid4().hex}"
        self.set_password(name, password)
        return name, password

    def set_password(self, name: str, password: str) -> None:
        """Make the user, or give it another password; whoever is connected has to prove it within `_SESSION_MS`."""
        with closing(connect_admin(self.settings())) as admin:
            admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password)])

    def allow(self, principal: str, kind: ResourceType, name: str, *operations: ACLOperation, prefixed: bool = False) -> None:
        """Give rights, as `kafka-acls.sh --add --allow-principal` does."""
        pattern = ResourcePattern(kind, name, ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL)
        acls = [ACL(principal, "*", operation, ACLPermissionType.ALLOW, pattern) for operation in operations]
        with closing(connect_admin(self.settings())) as admin:
            admin.create_acls(acls)


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredKafka]:
    """Run the broker while the block lasts; every listener speaks TLS, also those between broker and controller."""
    # Bound and held until Java listens: nobody else is given these ports.
    held = {name: hold_port(0) for name in ("SCRAM", "MTLS", "EXPIRED", "CONTROLLER")}
    ports = {name: each.getsockname()[1] for name, each in held.items() if each is not None}
    kafka = SecuredKafka(folder, ports)
    clients = ",".join(f"{name}://{HOST}:{ports[name]}" for name in ("SCRAM", "MTLS", "EXPIRED"))
    login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{ADMIN}" password="{ADMIN_PASSWORD}";'
    overrides = {
        "listeners": f"{clients},CONTROLLER://{HOST}:{ports['CONTROLLER']}",
        "advertised.listeners": clients,
        "controller.quorum.voters": f"1@{HOST}:{ports['CONTROLLER']}",
        "listener.security.protocol.map": "SCRAM:SASL_SSL,MTLS:SSL,EXPIRED:SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "SCRAM",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": login,
        "connections.max.reauth.ms": str(_SESSION_MS),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(kafka.node.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(kafka.authority.pem),
        "listener.name.controller.ssl.client.auth": "required",
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": str(kafka.expired.both),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN};User:CN=broker",
    }
    try:
        with Broker(folder / "home", ports["SCRAM"], overrides=overrides, scram_users={ADMIN: ADMIN_PASSWORD}, client=kafka.settings()):
            yield kafka
    finally:
        for each in held.values():
            if each is not None:
                each.close()
