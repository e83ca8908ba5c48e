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


def judged(security: Security, servers: str = ELSEWHERE) -> dict[tuple[str, str], Finding]:
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


def test_brokers_elsewhere_in_the_clear_are_a_warning() -> None:
    """Those on this machine are not named."""
    finding = judged(Security())["tls", "kafka-1:9092"]
    assert finding.state == "warning"
    assert "KAFKA_SECURITY_PROTOCOL=SASL_SSL" in finding.fix


def test_a_password_that_is_sent_in_clear_is_a_warning() -> None:
    """Anyone on the network path can read it."""
    finding = judged(Security(protocol="SASL_PLAINTEXT"))["tls", "kafka-1:9092"]
    assert finding.what.endswith("and the password, can be read and changed on the way")


def test_brokers_on_this_machine_may_be_reached_in_the_clear() -> None:
    """As the tests and the embedded one are."""
    [finding] = judged(Security(), "127.0.0.1:9092").values()
    assert finding.state == "sound"


def test_valid_certificates_are_ok(tmp_path: Path) -> None:
    """The authority's, the client's, and its key."""
    findings = judged(certified(tmp_path))
    assert [(finding.check, finding.state) for finding in findings.values()] == [
        ("tls", "sound"),
        ("certificates", "sound"),
        ("certificates", "sound"),
    ]


@pytest.mark.parametrize(
    ("days", "state"), [(-1, "fault"), (0, "fault"), (14, "warning"), (15, "sound")]
)
def test_an_authority_that_ends_is_told_a_fortnight_before(
    tmp_path: Path, days: float, state: str
) -> None:
    """At the instant itself no broker is believed any more."""
    finding = judged(certified(tmp_path, ca_days=days))["certificates", str(tmp_path / "ca.pem")]
    assert finding.state == state
    assert ("KAFKA_SSL_CA_FILE" in finding.fix) == (state != "sound")


@pytest.mark.parametrize(("days", "state"), [(-1, "fault"), (13, "warning"), (15, "sound")])
def test_a_certificate_of_ours_that_ends_is_told(tmp_path: Path, days: float, state: str) -> None:
    """No broker would let us in any more."""
    finding = judged(certified(tmp_path, days=days))["certificates", str(tmp_path / "me.pem")]
    assert finding.state == state
    assert ("KAFKA_SSL_CERTIFICATE_FILE" in finding.fix) == (state != "sound")


def test_one_authority_of_two_that_has_ended_is_no_matter(tmp_path: Path) -> None:
    """Both are there while one takes over from the other."""
    security = certified(tmp_path, ca_days=-1)
    file = tmp_path / "ca.pem"
    file.write_text(file.read_text("ascii") + Authority(NOW).certificate, "ascii")
    assert judged(security)["certificates", str(file)].state == "sound"


def test_a_file_that_holds_no_certificate_is_a_fault(tmp_path: Path) -> None:
    """Whatever else is in it."""
    security = certified(tmp_path)
    (tmp_path / "ca.pem").write_text("certificate", "ascii")
    finding = judged(security)["certificates", str(tmp_path / "ca.pem")]
    assert (finding.state, finding.what) == ("fault", "contains no readable certificate (PEM)")


@pytest.mark.parametrize("text", [None, "key"], ids=["another's", "no key"])
def test_a_key_that_is_not_the_certificates_is_a_fault(tmp_path: Path, text: str | None) -> None:
    """After one of the two was renewed and the other was not."""
    security = certified(tmp_path)
    (tmp_path / "me.key").write_text(text or Authority(NOW).issue("x").key, "ascii")
    finding = judged(security)["certificates", str(tmp_path / "me.key")]
    assert finding.state == "fault"
    assert "KAFKA_SSL_KEY_FILE" in finding.fix
