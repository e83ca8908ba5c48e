"""Builds a certificate of erasure from the ledger: a person's data, record by record and system by system.

An erasure that is not verified, or whose entry no signed head of the evidence covers yet, is outstanding.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from schemas.errors import PlacedError, TermijnError
from services.crypto.pseudonyms import Pseudonymizer
from services.evidence.certificate import Certificate
from services.evidence.certificate_lines import CertificateLines
from services.evidence.entry_proofs import find_proofs
from services.evidence.export import latest_head
from services.evidence.seal_entries import check_pseudonym_key
from services.ledger.facts import load_tagged_events
from services.policy.model import Policy
from services.policy.request_cases import Case
from services.requests.subject_data import (
    load_commands,
    load_subject_facts,
    record_chunks,
)


class SubjectNotFound(TermijnError):
    """The ledger has no data of that subject or request; no certificate was made.

    The operator checks how it is written: `kind:id` for a subject, or the id of a request.
    """

    def __init__(self, about: str) -> None:
        super().__init__(
            f"{about}: no such subject or request is known; write a subject as kind:id"
        )
        self.about = about


class NotAnErasureRequest(PlacedError):
    """The request is not for erasure, or its identity is not verified; no certificate was made."""


def build_certificate(
    connection: Connection,
    subject: str,
    policy: Policy,
    pseudonymizer: Pseudonymizer,
    now: datetime,
    case: Case | None = None,
) -> Certificate:
    """Return the certificate of a subject, or of one of their requests, at `now`, UTC.

    Raises:
        SubjectNotFound: the subject has no record.
        NotAnErasureRequest: the request is not for erasure, or its identity is not verified.
        NoSignedHead: the evidence has no signed head yet.
        PseudonymKeyMismatch: the evidence has another key, so that it could not be found what proves it.
    """
    if case is not None and case.right != "erasure":
        raise NotAnErasureRequest(
            case.request, f"asks for {case.right}: there is no erasure to certify"
        )
    if case is not None and case.verified_at is None:
        raise NotAnErasureRequest(case.request, "the identity of the person is not verified")
    check_pseudonym_key(connection, pseudonymizer)
    until = case.verified_at if case else None
    head = latest_head(connection)
    tally = CertificateLines(subject=subject, policy=policy, now=now)
    for rows in record_chunks(connection, subject):
        events = load_tagged_events(connection, {row.event_id for row in rows}, policy)
        requested = [row for row in rows if until is None or events[row.event_id].time <= until]
        facts = load_subject_facts(
            connection, subject, [events[row.event_id] for row in requested], policy
        )
        commands = load_commands(connection, {row.record_id for row in requested})
        for row in requested:
            tally.add(events[row.event_id], facts, commands.get(row.record_id, {}))
    if not tally.records:
        raise SubjectNotFound(case.request if case else subject)
    proofs = find_proofs(connection, tally.proven(), subject, pseudonymizer, head.head.number)
    return Certificate(
        policy=policy,
        subject=subject,
        reference=pseudonymizer.pseudonym("subject", subject).hex(),
        request=case.request if case else None,
        at=now,
        erased=tuple(tally.erased(proofs.by_command)),
        kept=tuple(tally.retained()),
        outstanding=tuple(tally.outstanding(proofs.by_command, proofs.unlinkable)),
        heads=proofs.heads,
        head=head,
    )
