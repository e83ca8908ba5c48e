"""The settings of Kafka and the schema registry, with TLS and login."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.app.setting_field import (
    InvalidSetting,
    one_of,
    positive_int,
    setting,
    shown_url,
    wait_seconds,
)
from services.kafka.security import MECHANISMS, PROTOCOLS, Security, validate, with_setting_names

SECURITY_FIELDS = (
    "KAFKA_SSL_CA_FILE",
    "KAFKA_SSL_CERTIFICATE_FILE",
    "KAFKA_SSL_KEY_FILE",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SASL_PASSWORD_FILE",
    "KAFKA_SASL_PASSWORD",
)
"""Settings that brokers without TLS and login do not use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Brokers, schema registry and batches."""

    bootstrap_servers: str = setting(
        "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092", "Brokers, host:port, comma-separated."
    )
    cluster_id: str = setting(
        "TERMIJN_KAFKA_CLUSTER_ID",
        "",
        "The cluster's id, for brokers that report none (the embedded one); by default the broker's.",
    )
    security_protocol: str = setting(
        "KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "How brokers are reached: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
        one_of(*PROTOCOLS),
    )
    ca_file: Path | None = setting(
        "KAFKA_SSL_CA_FILE",
        None,
        "CA certificates for the brokers, PEM; by default the machine's own.",
        Path,
    )
    certificate_file: Path | None = setting(
        "KAFKA_SSL_CERTIFICATE_FILE",
        None,
        "Termijn's client certificate with its chain, PEM.",
        Path,
    )
    key_file: Path | None = setting(
        "KAFKA_SSL_KEY_FILE", None, "The private key of that certificate, PEM, not encrypted.", Path
    )
    sasl_mechanism: str = setting(
        "KAFKA_SASL_MECHANISM",
        "",
        "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
        one_of(*MECHANISMS),
    )
    sasl_username: str = setting("KAFKA_SASL_USERNAME", "", "The SASL user.")
    sasl_password_file: Path | None = setting(
        "KAFKA_SASL_PASSWORD_FILE",
        None,
        "A file that contains only the SASL password.",
        Path,
    )
    sasl_password: str = setting(
        "KAFKA_SASL_PASSWORD",
        "",
        "The SASL password, where no file is possible; from the environment only.",
        secret=True,
        in_file=False,
    )
    group: str = setting("TERMIJN_KAFKA_GROUP", "termijn", "Prefix of the consumer groups.")
    schema_registry_url: str = setting(
        "SCHEMA_REGISTRY_URL",
        "",
        "URL of a Confluent-compatible registry; without it values use single-object encoding.",
        shown_url,
    )
    schema_registry_login: Path | None = setting(
        "SCHEMA_REGISTRY_LOGIN",
        None,
        "A file with the registry's `user:password` (basic authentication), if it needs one.",
        Path,
    )
    schema_registry_ca: Path | None = setting(
        "SCHEMA_REGISTRY_CA",
        None,
        "CA certificates for the registry, PEM; by default the usual ones.",
        Path,
    )
    batch: int = setting(
        "TERMIJN_BATCH", 2_000, "The maximum number of messages in a batch.", positive_int
    )
    batch_seconds: float = setting(
        "TERMIJN_BATCH_SECONDS",
        0.2,
        "The maximum wait for a batch to fill, in seconds.",
        wait_seconds,
    )


def kafka_security(kafka: KafkaSettings) -> Security:
    """Return the TLS and login settings for the brokers, with the password read from its file.

    Raises:
        InvalidSetting: a setting is missing, has no use, or names a file that cannot be read.
    """
    if kafka.sasl_password and kafka.sasl_password_file:
        problem = "is set together with KAFKA_SASL_PASSWORD; set only one of them"
        raise InvalidSetting("kafka", "KAFKA_SASL_PASSWORD_FILE", problem)
    security = Security(
        protocol=kafka.security_protocol,  # type: ignore[arg-type]  # parsed to be one of them
        ca_file=kafka.ca_file,
        certificate_file=kafka.certificate_file,
        key_file=kafka.key_file,
        mechanism=kafka.sasl_mechanism or None,  # type: ignore[arg-type]  # parsed too
        username=kafka.sasl_username,
        password=kafka.sasl_password or _read_secret_file(kafka.sasl_password_file),
    )
    for name, problem in with_setting_names(security, validate(security)).items():
        raise InvalidSetting("kafka", name, problem)
    for name, file in (
        (security.names.ca_file, security.ca_file),
        (security.names.certificate_file, security.certificate_file),
        (security.names.key_file, security.key_file),
    ):
        if file is not None:
            _read_value(file, name)
    return security


def _read_secret_file(file: Path | None) -> str:
    if file is None:
        return ""
    secret = _read_value(file, "KAFKA_SASL_PASSWORD_FILE").strip()
    if not secret:
        raise InvalidSetting(
            "kafka", "KAFKA_SASL_PASSWORD_FILE", f"{file} is empty; write the password into it"
        )
    return secret


def _read_value(file: Path, name: str) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        problem = f"{file} cannot be read: {type(cause).__name__}"
        raise InvalidSetting("kafka", name, problem) from cause
