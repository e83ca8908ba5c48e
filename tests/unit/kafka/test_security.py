"""Security settings of Kafka, as librdkafka and Faust get them; missing ones are named."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from faust.types.auth import AuthProtocol, SASLMechanism
from hypothesis import given
from hypothesis import strategies as st

from services.kafka.security import (
    MECHANISMS,
    PROTOCOLS,
    Security,
    explain_error,
    librdkafka_config,
    remote_addresses,
    validate,
)
from services.operations.watch.faust_credentials import credentials

SCRAM = Security(
    protocol="SASL_SSL", mechanism="SCRAM-SHA-512", username="termijn-tagger", password="geheim"
)
TLS = Security(
    protocol="SSL",
    ca_file=Path("/ca.pem"),
    certificate_file=Path("/me.pem"),
    key_file=Path("/me.key"),
)


def test_without_security_no_setting_is_passed_on() -> None:
    """The embedded broker needs this."""
    assert librdkafka_config(Security()) == {}
    assert credentials(Security()) is None


def test_librdkafka_gets_user_and_tls_settings() -> None:
    """The broker's certificate and name are verified."""
    assert librdkafka_config(SCRAM) == {
        "security.protocol": "SASL_SSL",
        "enable.ssl.certificate.verification": True,
        "ssl.endpoint.identification.algorithm": "https",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "termijn-tagger",
        "sasl.password": "geheim",
    }


def test_librdkafka_gets_the_client_certificate() -> None:
    """Its files, and no user."""
    assert librdkafka_config(TLS) == {
        "security.protocol": "SSL",
        "enable.ssl.certificate.verification": True,
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/me.pem",
        "ssl.key.location": "/me.key",
    }


def test_faust_gets_user_and_tls_settings() -> None:
    """A server without a certificate of the broker's name is refused."""
    converted = credentials(SCRAM)
    assert converted is not None
    assert converted.protocol is AuthProtocol.SASL_SSL
    assert converted.mechanism is SASLMechanism.SCRAM_SHA_512  # type: ignore[attr-defined]  # its own
    context: ssl.SSLContext = converted.ssl_context  # type: ignore[attr-defined]  # as above
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert "geheim" not in repr(converted)


def test_faust_gets_a_user_without_tls() -> None:
    """No context means no TLS to Faust."""
    bare = Security(
        protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="termijn-tagger", password="geheim"
    )
    converted = credentials(bare)
    assert converted is not None
    assert converted.protocol is AuthProtocol.SASL_PLAINTEXT


@pytest.mark.parametrize(
    ("security", "missing"),
    [
        (Security(), []),
        (SCRAM, []),
        (TLS, []),
        (Security(protocol="SASL_SSL"), ["mechanism", "username", "password"]),
        (Security(username="termijn-tagger", password="geheim"), ["username", "password"]),
        (Security(ca_file=Path("/ca.pem")), ["ca_file"]),
        (Security(protocol="SSL", certificate_file=Path("/me.pem")), ["key_file"]),
        (Security(protocol="SSL", key_file=Path("/me.key")), ["certificate_file"]),
        (Security(protocol="SSL", username="termijn-tagger"), ["username"]),
    ],
)
def test_missing_and_unused_settings_are_named(security: Security, missing: list[str]) -> None:
    """A person who sets a password for an unencrypted connection believes that it protects something."""
    assert [name for name, _ in validate(security)] == missing


@given(
    st.sampled_from(PROTOCOLS),
    st.sampled_from((None, *MECHANISMS)),
    st.lists(st.sampled_from(["auth", "Authentication failed", "SSL handshake failed", ""])),
)
def test_a_password_is_never_shown(
    protocol: str, mechanism: str | None, passwords: list[str]
) -> None:
    """Neither in the settings, nor in a problem."""
    security = Security(
        protocol=protocol,  # type: ignore[arg-type]  # one of them
        mechanism=mechanism,  # type: ignore[arg-type]  # as above
        username="termijn-tagger",
        password="geheim",
    )
    explained = [
        repr(security),
        security.principal,
        str(list(validate(security))),
        str(explain_error(security, passwords)),
    ]
    assert not [text for text in explained if "geheim" in text]


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (
            "SASL authentication error: Authentication failed during authentication due to invalid",
            (
                "the brokers refuse user 'termijn-tagger' (SCRAM-SHA-512)",
                "KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD_FILE",
            ),
        ),
        (
            "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism",
            ("the brokers do not offer SCRAM-SHA-512", "KAFKA_SASL_MECHANISM"),
        ),
        (
            "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed",
            (
                "the brokers' certificate is not signed by a trusted CA, or is for another host name",
                "KAFKA_SSL_CA_FILE or KAFKA_BOOTSTRAP_SERVERS",
            ),
        ),
        (
            "SSL handshake failed: error:0A0000F4:SSL routines::unexpected message",
            (
                "the TLS handshake with the brokers fails",
                "KAFKA_SECURITY_PROTOCOL or KAFKA_SSL_CERTIFICATE_FILE",
            ),
        ),
    ],
)
def test_an_error_that_will_not_pass_names_its_settings(setting: str, why: tuple[str, str]) -> None:
    """librdkafka reports it, and may report another error after it."""
    assert explain_error(SCRAM, [setting, "1/1 brokers are down"]) == why


@pytest.mark.parametrize(
    ("security", "why"),
    [
        (TLS, ("the brokers refuse the client certificate", "KAFKA_SSL_CERTIFICATE_FILE")),
        (
            Security(protocol="SSL"),
            ("the brokers require a client certificate", "KAFKA_SSL_CERTIFICATE_FILE"),
        ),
    ],
    ids=["refused", "none"],
)
def test_a_client_certificate_that_brokers_refuse_is_named(
    security: Security, why: tuple[str, str]
) -> None:
    """Brokers report it after the handshake, as in TLS 1.3."""
    log = "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42"
    assert explain_error(security, [log]) == why


def test_an_unreachable_broker_is_not_a_problem_of_the_settings() -> None:
    """It may be away."""
    assert explain_error(SCRAM, ["Connect to ipv4#127.0.0.1:1 failed: Connection refused"]) is None


@pytest.mark.parametrize(
    ("servers", "elsewhere"),
    [
        ("127.0.0.1:9092,localhost:9093,[::1]:9094", []),
        ("kafka-1:9092, 127.0.0.1:9092", ["kafka-1:9092"]),
        ("10.0.0.7:9092", ["10.0.0.7:9092"]),
    ],
)
def test_addresses_of_other_machines_are_recognised(servers: str, elsewhere: list[str]) -> None:
    """Unencrypted traffic to them can be read on the network."""
    assert remote_addresses(servers) == elsewhere
