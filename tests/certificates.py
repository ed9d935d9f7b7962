"""Certificates for tests: authorities, and what they sign, as the PEM files that Kafka and its clients read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


class Authority:
    """Signs certificates.

    Attributes:
        pem: file with its certificate.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Make a key and a certificate that it signs itself."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        now = datetime.now(UTC)
        certificate = (
            _builder(self._name, self._name, self._key.public_key(), now - _DAY, now + _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = folder / f"{name}.pem"
        self.pem.write_bytes(certificate.public_bytes(Encoding.PEM))

    def sign(self, name: str, *, expired: bool = False, key_password: str | None = None) -> Certificate:
        """A certificate for the subject `CN=<name>` and the address 127.0.0.1, and nothing else."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        begin, end = (now - 2 * _DAY, now - _DAY) if expired else (now - _DAY, now + _DAY)
        certificate = (
            _builder(_name(name), self._name, key.public_key(), begin, end)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        encryption = BestAvailableEncryption(key_password.encode()) if key_password else NoEncryption()
        # Java reads keys only as PKCS#8.
        return Certificate(
            self._folder / name, certificate.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        )


class Certificate:
    """A certificate and its key in PEM files.

    Attributes:
        pem: the certificate.
        key: its key.
        both: key and certificate in one file, as Kafka wants its key store.
    """

    def __init__(self, stem: Path, certificate: bytes, key: bytes) -> None:
        """Write the files."""
        self.pem, self.key, self.both = (stem.with_name(f"{stem.name}.{part}") for part in ("pem", "key", "both"))
        self.pem.write_bytes(certificate)
        self.key.write_bytes(key)
        self.both.write_bytes(key + certificate)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
