"""The doctor at how the bus is reached: in the clear, and certificates that end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.kafka.security import Security
from services.operations.doctor.findings import Finding
from services.operations.doctor.tls import check_security
from tests.servers.authority import Authority

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ELSEWHERE = "kafka-1:9092,127.0.0.1:9092"


def check_by_target(security: Security, servers: str = ELSEWHERE) -> dict[tuple[str, str], Finding]:
    """Return the findings by check and target."""
    return {
        (finding.check, finding.target): finding
        for finding in check_security(security, servers, NOW)
    }


def certified(directory: Path, ca_days: float = 365, days: float = 365) -> Security:
    """Return TLS settings with a client certificate; it and the authority's last so long from now on."""
    authority = Authority(NOW, timedelta(days=ca_days))
    ca_file = directory / "ca.pem"
    ca_file.write_text(authority.certificate, "ascii")
    certificate, key = authority.issue("tagger", timedelta(days=days)).written(directory, "me")
    return Security(protocol="SSL", ca_file=ca_file, certificate_file=certificate, key_file=key)


def test_unencrypted_connections_to_other_machines_are_a_warning() -> None:
    """Those on this machine are not named."""
    finding = check_by_target(Security())["tls", "kafka-1:9092"]
    assert finding.state == "warning"
    assert "KAFKA_SECURITY_PROTOCOL=SASL_SSL" in finding.fix


def test_a_password_that_is_sent_in_clear_is_a_warning() -> None:
    """Anyone on the network path can read it."""
    finding = check_by_target(Security(protocol="SASL_PLAINTEXT"))["tls", "kafka-1:9092"]
    assert finding.problem.endswith("and the password, can be read and changed on the way")


def test_unencrypted_connections_to_this_machine_are_ok() -> None:
    """The embedded broker is reached so."""
    [finding] = check_by_target(Security(), "127.0.0.1:9092").values()
    assert finding.state == "ok"


def test_valid_certificates_are_ok(tmp_path: Path) -> None:
    """The authority's, the client's, and its key."""
    findings = check_by_target(certified(tmp_path))
    assert [(finding.check, finding.state) for finding in findings.values()] == [
        ("tls", "ok"),
        ("certificates", "ok"),
        ("certificates", "ok"),
    ]


@pytest.mark.parametrize(
    ("days", "state"), [(-1, "error"), (0, "error"), (14, "warning"), (15, "ok")]
)
def test_the_end_of_the_authority_is_reported_two_weeks_before(
    tmp_path: Path, days: float, state: str
) -> None:
    """No broker is trusted from its end on."""
    finding = check_by_target(certified(tmp_path, ca_days=days))[
        "certificates", str(tmp_path / "ca.pem")
    ]
    assert finding.state == state
    assert ("KAFKA_SSL_CA_FILE" in finding.fix) == (state != "ok")


@pytest.mark.parametrize(("days", "state"), [(-1, "error"), (13, "warning"), (15, "ok")])
def test_the_end_of_the_client_certificate_is_reported(
    tmp_path: Path, days: float, state: str
) -> None:
    """After it no broker would accept a connection."""
    finding = check_by_target(certified(tmp_path, days=days))[
        "certificates", str(tmp_path / "me.pem")
    ]
    assert finding.state == state
    assert ("KAFKA_SSL_CERTIFICATE_FILE" in finding.fix) == (state != "ok")


def test_one_expired_authority_of_two_is_ok(tmp_path: Path) -> None:
    """Both are present while one replaces the other."""
    security = certified(tmp_path, ca_days=-1)
    file = tmp_path / "ca.pem"
    file.write_text(file.read_text("ascii") + Authority(NOW).certificate, "ascii")
    assert check_by_target(security)["certificates", str(file)].state == "ok"


def test_a_file_without_a_certificate_is_a_fault(tmp_path: Path) -> None:
    """It does not matter what else it contains."""
    security = certified(tmp_path)
    (tmp_path / "ca.pem").write_text("certificate", "ascii")
    finding = check_by_target(security)["certificates", str(tmp_path / "ca.pem")]
    assert (finding.state, finding.problem) == ("error", "contains no readable certificate (PEM)")


@pytest.mark.parametrize("text", [None, "key"], ids=["another's", "no key"])
def test_a_key_that_does_not_fit_the_certificate_is_a_fault(
    tmp_path: Path, text: str | None
) -> None:
    """One of the two may have been renewed without the other."""
    security = certified(tmp_path)
    (tmp_path / "me.key").write_text(text or Authority(NOW).issue("x").key, "ascii")
    finding = check_by_target(security)["certificates", str(tmp_path / "me.key")]
    assert finding.state == "error"
    assert "KAFKA_SSL_KEY_FILE" in finding.fix
