"""Security of Kafka clients: SASL, TLS, and plain words for every way they fail.

kafka-python tries again until its time is up whatever the broker answered, and then says only that the time is up.
Here a refusal that no further try can change is known by its text (`is_final`) and ends a start at once (`client`); every
refusal becomes an error that names the setting to change (`refusal`).
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from contracts.errors import SettingsError
from pipeline.kafka.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One way to be refused for good.

    Attributes:
        text: finds it in the text of kafka-python's error.
        key: the setting to look at first.
        got: in plain words; `{user}` is filled in.
    """

    text: re.Pattern[str]
    key: str
    expected: str
    got: str
    action: str


def _refused(text: str, key: str, expected: str, got: str, action: str) -> _Refusal:
    return _Refusal(re.compile(text, re.IGNORECASE), key, expected, got, action)


# The first that fits. Each was seen with Kafka 4.3 (tests/pipeline/kafka/test_security.py).
_REFUSALS = (
    _refused(
        "UnsupportedSaslMechanism|does not support .* sasl mechanism",
        "sasl_mechanism",
        "a SASL mechanism that the broker offers",
        "the broker does not offer {mechanism}",
        "Set IRSTREAM_KAFKA__SASL_MECHANISM to one that it does.",
    ),
    _refused(
        "SaslAuthenticationFailed|Failed to authenticate via SASL",
        "sasl_username",
        "a user and password that the broker knows",
        "the broker refuses user {user}: unknown, or the password is wrong",
        "Check IRSTREAM_KAFKA__SASL_USERNAME and IRSTREAM_KAFKA__SASL_PASSWORD (or kafka.sasl_password_file); "
        "a SCRAM user exists for {mechanism} only if it was made for it.",
    ),
    _refused(
        "certificate has expired|certificate is not yet valid",
        "bootstrap_servers",
        "a broker with a valid certificate",
        "its certificate has expired or is not valid yet",
        "Renew the certificate of the broker; if it is valid, check the clock of this machine.",
    ),
    _refused(
        "(hostname|ip address) mismatch|is not valid for",
        "bootstrap_servers",
        "a broker whose certificate names the host we ask for",
        "its certificate is for another host name or address",
        "Set IRSTREAM_KAFKA__BOOTSTRAP_SERVERS to a name in the certificate, or add this one to it (subject alternative names).",
    ),
    _refused(
        "CERTIFICATE_VERIFY_FAILED",
        "ssl_cafile",
        "a broker whose certificate was signed by an authority we trust",
        "its certificate was signed by another one",
        "Set IRSTREAM_KAFKA__SSL_CAFILE to the PEM file of the authority that signed the broker's certificate.",
    ),
    _refused(
        r"ALERT_(BAD_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)|alert (bad certificate|certificate \w+|unknown ca)",
        "ssl_certfile",
        "a client certificate that the broker accepts",
        "the broker refuses ours: none given, expired, or signed by an authority it does not trust",
        "Set IRSTREAM_KAFKA__SSL_CERTFILE and IRSTREAM_KAFKA__SSL_KEYFILE to a certificate for this broker.",
    ),
    _refused(
        "WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE",
        "security_protocol",
        "a broker that speaks TLS at this address",
        "an answer that is no TLS",
        "Set IRSTREAM_KAFKA__SECURITY_PROTOCOL to what this port of the broker speaks (PLAINTEXT or SASL_PLAINTEXT), or take its TLS port.",
    ),
    _refused(
        "a TLS alert|Invalid frame length",
        "security_protocol",
        "a broker that speaks without TLS at this address",
        "an answer in TLS",
        "Set IRSTREAM_KAFKA__SECURITY_PROTOCOL to SSL or SASL_SSL, or take another port of the broker.",
    ),
)


def security_options(settings: KafkaSettings) -> dict[str, object]:
    """The options of kafka-python for SASL and TLS; holds the password, so never log it.

    Raises:
        SettingsError: a file of the settings cannot be read or used; names it.
    """
    if settings.security_protocol.endswith("SSL"):
        _require_usable_files(settings)
    return {
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": _password(settings),
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
        "ssl_password": settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else None,
    }


def _password(settings: KafkaSettings) -> str | None:
    if settings.sasl_password_file is None:
        return settings.sasl_password.get_secret_value() if settings.sasl_password else None
    try:
        # Read for every new client, so that a password changed in a mounted secret needs no restart.
        password = Path(settings.sasl_password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "bytes that are no UTF-8"
        raise _unusable("sasl_password_file", settings.sasl_password_file, "a readable file with the password", str(got)) from None
    if not password:
        raise _unusable("sasl_password_file", settings.sasl_password_file, "a file with the password", "an empty one")
    return password


def _require_usable_files(settings: KafkaSettings) -> None:
    """Load what kafka-python would load at every connection: it takes a missing file for a broker that does not answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(settings, name)
        if path is None:
            continue
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise _unusable(name, path, "a readable PEM file", str(error.strerror)) from error
    if settings.ssl_cafile is not None:
        try:
            context.load_verify_locations(settings.ssl_cafile)
        except ssl.SSLError as error:
            raise _unusable("ssl_cafile", settings.ssl_cafile, "a PEM file with certificates", str(error.reason)) from error
    if settings.ssl_certfile is not None:
        _require_usable_key(context, settings.ssl_certfile, str(settings.ssl_keyfile), settings.ssl_key_password)


def _require_usable_key(context: ssl.SSLContext, certificate: str, key: str, password: SecretStr | None) -> None:
    if password is None and b"ENCRYPTED" in Path(key).read_bytes():
        # OpenSSL would ask for it on the terminal.
        raise SettingsError(
            expected="the password of an encrypted key",
            got="none",
            where=f"kafka.ssl_key_password, for kafka.ssl_keyfile = {key}",
            action="Set IRSTREAM_KAFKA__SSL_KEY_PASSWORD.",
        )
    try:
        context.load_cert_chain(certificate, key, password.get_secret_value() if password else "")
    except ssl.SSLError as error:
        expected = "the key of ssl_certfile, in PEM" + (", readable with ssl_key_password" if password else "")
        raise _unusable("ssl_keyfile", key, expected, str(error.reason or "none that can be read")) from error


def _unusable(key: str, path: str, expected: str, got: str) -> SettingsError:
    return SettingsError(
        expected=expected,
        got=got,
        where=f"kafka.{key} = {path}",
        action=f"Check the file and its rights, or set IRSTREAM_KAFKA__{key.upper()} to another one.",
    )


def refusal(settings: KafkaSettings, error: BaseException) -> SettingsError | None:
    """A refusal that no further try can change, in plain words; None where another try may help."""
    found = _find(error)
    if found is None:
        return None
    names = {"user": repr(settings.sasl_username), "mechanism": str(settings.sasl_mechanism)}
    return SettingsError(
        expected=found.expected,
        got=f"{found.got.format(**names)} ({error_text(error)})",
        where=f"kafka.{found.key}, connecting to {settings.bootstrap_servers}",
        action=found.action.format(**names),
    )


def is_final(error: BaseException) -> bool:
    """True for a refusal that no further try can change."""
    return _find(error) is not None


def _find(error: BaseException) -> _Refusal | None:
    text = error_text(error)
    return next((each for each in _REFUSALS if each.text.search(text)), None)


def error_text(error: BaseException) -> str:
    """Class and first argument of an error of kafka-python, whose own text repeats itself."""
    return f"{type(error).__name__}: {error.args[0]}" if error.args else type(error).__name__
