"""A certificate lists what is proven, with the entries that prove it; everything else is outstanding.

Each on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.crypto.keyring import Keyring, new_key
from services.crypto.pseudonyms import Pseudonymizer
from services.deleter.acknowledgement import Status
from services.deleter.verification import verify_commands
from services.evidence.build_certificate import (
    NotAnErasureRequest,
    SubjectNotFound,
    build_certificate,
)
from services.evidence.certificate import Certificate, as_json
from services.evidence.certificate_pdf import certificate_files, render_certificate
from services.evidence.export import NoSignedHead
from services.evidence.seal_entries import append_entries
from services.evidence.verify_certificate import verify_certificate
from services.ledger import tables
from services.policy.model import Policy
from services.policy.request_cases import Case
from services.requests.responder import load_cases
from services.storage.database import Database
from tests.contract.event_builders import event, feedback, invoice, order, signed_up, terminated
from tests.contract.ledgers import (
    POLICY,
    FakeBus,
    acknowledge,
    claim_all,
    instant,
    record_events,
    select_rows,
    send_due,
)

REFERENCES = Pseudonymizer(bytes(32))
RING = Keyring((new_key(),))
JOINED, ENDED, DUE = "2020-01-01T12:00:00Z", "2020-06-01T12:00:00Z", "2022-06-01T00:00:00Z"
THEN = instant(DUE)


def seal(ledger: Database, ring: Keyring | None = RING) -> None:
    """Append all queued entries, with a signed head if there are keys."""
    with ledger.transaction() as connection:
        append_entries(
            connection,
            REFERENCES,
            (lambda: ring) if ring else None,
            THEN,
            head_every=timedelta(microseconds=1),
        )


def carry_out(ledger: Database, proven: Sequence[str], policy: Policy = POLICY) -> None:
    """Sweep at `DUE` and let every system acknowledge; these systems verify it as well."""
    bus = FakeBus()
    for identity in claim_all(ledger, DUE):
        send_due(ledger, bus, DUE)
        acknowledge(ledger, identity, "done", DUE, counts={"rows": 1}, policy=policy)
    checks = ledger.run_in_transaction(
        lambda connection: verify_commands(connection, policy, THEN, limit=99)
    ).verifies
    send_due(ledger, bus, DUE)
    for check in checks:
        [row] = select_rows(ledger, tables.command, command_id=check)
        if row.system in proven:
            acknowledge(ledger, check, "done", DUE, counts={"rows": 0}, policy=policy)


def certify(
    ledger: Database, subject: str, case: Case | None = None, policy: Policy = POLICY
) -> Certificate:
    """Return the certificate at `DUE`; whatever it states, it is verified without the ledger."""
    with ledger.transaction() as connection:
        certificate = build_certificate(connection, subject, policy, REFERENCES, THEN, case)
    verified = verify_certificate(as_json(certificate), RING.public())
    assert verified.lines == len(certificate.erased)
    assert verified.is_complete == (certificate.outstanding == ())
    return certificate


def test_a_verified_erasure_is_certified(ledger: Database) -> None:
    """The line refers to the entry that proves it, and a signed head covers that."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    carry_out(ledger, ["website"])
    seal(ledger)
    certificate = certify(ledger, "visitor:1")
    [line] = certificate.erased
    assert (line.system, line.type, line.records) == ("website", "website.feedback-given", 1)
    assert (line.proof, line.articles) == ("read_again", ("GDPR 5(1)(e), 17(1)(a)",))
    assert (certificate.kept, certificate.outstanding, certificate.recipients) == (
        (),
        (),
        ("website",),
    )
    [backing] = line.evidence
    [entry] = select_rows(ledger, tables.evidence, number=backing.number)
    assert json.loads(entry.entry)["states"] == "e"
    assert backing.hash == entry.hash.hex()
    assert certificate.head.head.number >= backing.number
    assert certificate.reference == REFERENCES.pseudonym("subject", "visitor:1").hex()


def test_an_unverified_erasure_is_outstanding(ledger: Database) -> None:
    """An acknowledgement without a verification is not enough, and what is not due is kept."""
    record_events(ledger, [order("e1", JOINED)], JOINED)
    carry_out(ledger, [])
    seal(ledger)
    certificate = certify(ledger, "consumer:1")
    assert [(item.system, item.proof) for item in certificate.erased] == [("psp", "notified")]
    assert [(item.system, item.action, item.why) for item in certificate.outstanding] == [
        ("orders", "erase", "not_proven"),
        ("research", "pseudonymise", "not_proven"),
    ]
    assert {(item.system, item.why) for item in certificate.kept} == {
        ("accounting", "basis"),
        ("research", "basis"),
    }


def test_a_controller_is_listed_as_notified_and_its_refusal_with_its_ground(
    ledger: Database,
) -> None:
    """The payment provider is itself responsible (GDPR 17(2), 19)."""
    record_events(ledger, [order("e1", JOINED), order("e2", JOINED, consumer="2")], JOINED)
    commands = [
        (row.subject, row.command_id)
        for identity in claim_all(ledger, DUE)
        for row in select_rows(ledger, tables.command, command_id=identity)
        if row.system == "psp"
    ]
    send_due(ledger, FakeBus(), DUE)
    for subject, identity in commands:
        acknowledge(ledger, identity, "done" if subject == "consumer:1" else "refused", DUE)
    seal(ledger)
    [line] = [item for item in certify(ledger, "consumer:1").erased if item.system == "psp"]
    assert line.proof == "notified"
    other = certify(ledger, "consumer:2")
    assert [item.system for item in other.erased] == []
    assert ("psp", "refused") in {(item.system, item.why) for item in other.kept}


def test_a_system_that_cannot_verify_attests(ledger: Database) -> None:
    """The certificate shows that the erasure is attested only."""
    systems = {**POLICY.systems, "website": replace(POLICY.systems["website"], reread="attested")}
    policy = replace(POLICY, systems=systems)
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    carry_out(ledger, [], policy)
    seal(ledger)
    [line] = certify(ledger, "visitor:1", policy=policy).erased
    assert line.proof == "attested"


@pytest.mark.parametrize("entered", [True, False])
def test_an_erasure_without_a_signed_head_is_not_certified(ledger: Database, entered: bool) -> None:
    """Even an entry in the log would prove nothing without a signed head."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    seal(ledger)
    carry_out(ledger, ["website"])
    if entered:
        seal(ledger, None)
    certificate = certify(ledger, "visitor:1")
    assert certificate.erased == ()
    assert [(item.system, item.why) for item in certificate.outstanding] == [
        ("website", "unsealed")
    ]


def test_kept_data_is_listed_with_its_ground_and_its_end(ledger: Database) -> None:
    """The invoice of a customer who has left stays for the tax authority."""
    record_events(
        ledger, [signed_up("e0", JOINED), invoice("e1", JOINED), terminated("e2", ENDED)], JOINED
    )
    systems = list(POLICY.systems)
    carry_out(ledger, systems)
    seal(ledger)
    certificate = certify(ledger, "customer:1")
    items = [item for item in certificate.kept if item.system == "accounting"]
    assert [(item.type, item.purpose, item.until) for item in items] == [
        ("billing.invoice-issued", "legal_compliance", instant("2027-12-31T23:00:00Z"))
    ]
    assert ("crm", "billing.invoice-issued") in {
        (item.system, item.type) for item in certificate.erased
    }
    assert certificate.outstanding == ()


def test_data_under_a_legal_hold_is_listed_as_kept(ledger: Database) -> None:
    """Data that is due is kept too."""
    fields = {"subject": "visitor:1", "hold_id": "H", "ground": "legal_claim"}
    hold = event("h1", "privacy.hold-placed", JOINED, **fields)
    record_events(ledger, [feedback("e1", JOINED), hold], JOINED)
    seal(ledger)
    certificate = certify(ledger, "visitor:1")
    assert {
        (item.system, item.why, item.article) for item in certificate.kept if item.type[0] == "w"
    } == {("website", "hold", "GDPR 17(3)(e)")}


def test_due_data_that_is_not_commanded_is_outstanding(ledger: Database) -> None:
    """No system has got a command yet."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    seal(ledger)
    assert [item.why for item in certify(ledger, "visitor:1").outstanding] == ["not_told"]


class TestRequests:
    """The certificate of one erasure request covers only what the request could erase."""

    def verified_request(self, ledger: Database, right: str = "erasure") -> Case:
        """A request whose identity is verified."""
        about = {"subject": "visitor:1", "request_id": "Q1"}
        record_events(
            ledger,
            [
                feedback("e1", "2022-05-01T12:00:00Z"),
                event(
                    "r1", "privacy.request-received", "2022-05-02T12:00:00Z", right=right, **about
                ),
                event("r2", "privacy.identity-verified", "2022-05-03T12:00:00Z", **about),
                feedback("e2", "2022-05-04T12:00:00Z"),
            ],
            DUE,
        )
        with ledger.transaction() as connection:
            [case] = load_cases(connection, "visitor:1", POLICY)
        return case

    def test_records_after_the_request_are_not_in_its_certificate(self, ledger: Database) -> None:
        """Only one record of feedback existed when the request was verified."""
        case = self.verified_request(ledger)
        carry_out(ledger, ["website"])
        seal(ledger)
        certificate = certify(ledger, "visitor:1", case)
        lines = [item for item in certificate.erased if item.type == "website.feedback-given"]
        assert [(line.system, line.records, line.articles) for line in lines] == [
            ("website", 1, ("GDPR 17(1), 19",))
        ]
        assert [item for item in certificate.kept if item.type == "website.feedback-given"] == []
        assert certificate.request == "Q1"

    def test_a_request_for_another_right_has_no_certificate(self, ledger: Database) -> None:
        """There is nothing to certify."""
        case = self.verified_request(ledger, "access")
        seal(ledger)
        with pytest.raises(NotAnErasureRequest, match="asks for access"):
            certify(ledger, "visitor:1", case)


def test_an_unknown_subject_gets_no_certificate(ledger: Database) -> None:
    """A misspelt name certifies nothing."""
    seal(ledger)
    with pytest.raises(SubjectNotFound):
        certify(ledger, "visitor:2")


def test_without_a_signed_head_there_is_no_certificate(ledger: Database) -> None:
    """Nothing would prove the certificate."""
    record_events(ledger, [feedback("e1", JOINED)], JOINED)
    with pytest.raises(NoSignedHead):
        certify(ledger, "visitor:1")


@pytest.mark.parametrize("language", ["nl", "en"])
def test_a_certificate_is_written_as_json_and_pdf(ledger: Database, language: Any) -> None:
    """There are JSON with everything and a PDF, without markup from systems' texts."""
    record_events(ledger, [order("e1", JOINED, consumer="<b>K1</b>")], JOINED)
    carry_out(ledger, list(POLICY.systems))
    seal(ledger)
    certificate = certify(ledger, "consumer:<b>K1</b>")
    files = certificate_files(certificate, language)
    content = json.loads(as_json(certificate))
    assert content["complete"] is True
    assert {recipient["system"] for recipient in content["recipients"]} == set(
        certificate.recipients
    )
    assert content["recipients"][0]["owner"]
    assert content["head"]["head"]["number"] == certificate.head.head.number
    assert files["certificate.pdf"].startswith(b"%PDF")
    assert "<b>K1" not in render_certificate(certificate, language)


def test_a_long_list_of_entries_fits_into_the_pdf(ledger: Database) -> None:
    """Of hundreds of commands the page names some, and the JSON all."""
    at: datetime = THEN
    record_events(ledger, [feedback(f"e{n}", JOINED) for n in range(3)], JOINED)
    carry_out(ledger, ["website"])
    seal(ledger)
    certificate = certify(ledger, "visitor:1")
    [line] = certificate.erased
    many = replace(line, evidence=line.evidence * 200)
    long = replace(certificate, erased=(many,), at=at)
    assert "and 192 others" in render_certificate(long, "en")
    assert certificate_files(long, "en")["certificate.pdf"].startswith(b"%PDF")


def test_a_certificate_states_what_is_kept_permanently(ledger: Database) -> None:
    """Not that its end is not known yet, as for a clock that is open."""
    record_events(ledger, [invoice("i1", JOINED)], JOINED)
    seal(ledger)
    certificate = certify(ledger, "customer:1")
    kept = tuple(replace(item, until=None) for item in certificate.kept)
    never = {**POLICY.rules, "R5": replace(POLICY.rules["R5"], term="never")}
    permanent = replace(certificate, kept=kept, policy=replace(POLICY, rules=never))
    assert "permanently" in render_certificate(permanent, "en")
    assert "permanently" not in render_certificate(replace(certificate, kept=kept), "en")


@pytest.mark.parametrize(
    ("status", "certified", "outstanding"),
    [
        ("done", [("website", "transfer", "transferred")], []),
        ("nothing_held", [], [("website", "transfer", "not_transferred")]),
    ],
)
def test_data_that_went_to_an_archive_is_certified_as_that(
    ledger: Database,
    status: Status,
    certified: list[tuple[str, str, str]],
    outstanding: list[tuple[str, str, str]],
) -> None:
    """Not what the system did not find when it had to hand it over."""
    archived = replace(POLICY.rules["D5"], then="transfer")
    policy = replace(POLICY, version="archive", rules={**POLICY.rules, "D5": archived})
    record_events(ledger, [feedback("e1", JOINED)], JOINED, policy=policy)
    [identity] = claim_all(ledger, DUE, policy=policy)
    send_due(ledger, FakeBus(), DUE, policy=policy)
    acknowledge(ledger, identity, status, DUE, policy=policy)
    seal(ledger)
    certificate = certify(ledger, "visitor:1", policy=policy)
    assert [(item.system, item.action, item.proof) for item in certificate.erased] == certified
    found = [(item.system, item.action, item.why) for item in certificate.outstanding]
    assert (found, certificate.kept) == (outstanding, ())
