"""Certificates: what of a person's data is proven to be erased, what is kept and why, and what is owed.

A certificate is personal: it is for the person, or for whoever asks in their name, and is not kept. What it
says of each line is backed by entries of the evidence, and those by a signed head.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.cloudevents import format_rfc3339
from services.evidence.hash_chain import SignedHead, canonical_json
from services.policy.model import Policy

Proof = Literal["read_again", "attested", "notified"]
"""The system read again and found nothing; it cannot, and says so; it is a controller of its own, and was
told (GDPR 17(2), 19)."""
OutstandingReason = Literal[
    "not_told", "under_way", "silent", "not_proven", "refused", "given_up", "reopened", "unsealed"
]
"""Why a line is not certified. `unsealed`: it is proven, and no signed head stands behind that yet."""
Ground = Literal["basis", "hold", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRef:
    """An entry of the evidence."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedItem:
    """What one system has erased, or pseudonymised, of one type of record; instants are UTC."""

    system: str
    action: str
    type: str
    categories: tuple[str, ...]
    articles: tuple[str, ...]
    records: int
    commanded_at: datetime
    """The first command."""
    carried_out_at: datetime | None
    """When the system last said that it had."""
    proven_at: datetime | None
    proof: Proof
    nothing_held: bool
    """For some of the records the system said that it held nothing."""
    evidence: tuple[EvidenceRef, ...]
    """The entries that say so, one for each command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedItem:
    """What one system keeps of one type of record, on which ground, and until when."""

    system: str
    type: str
    categories: tuple[str, ...]
    why: Ground
    purpose: str | None
    basis: str | None
    article: str | None
    ground: str | None
    """The words in which another controller refused."""
    until: datetime | None
    """When it becomes due, UTC; nothing while that is open."""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutstandingItem:
    """What is due and not proven: it is not certified."""

    system: str
    type: str
    categories: tuple[str, ...]
    action: str
    why: OutstandingReason
    since: datetime | None
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate; instants are UTC."""

    policy: Policy
    subject: str
    reference: str
    """The subject in the evidence: a keyed hash, in hex."""
    request: str | None
    """The request that it is about; without one it is about all of the subject's data."""
    at: datetime
    erased: tuple[ErasedItem, ...]
    kept: tuple[RetainedItem, ...]
    outstanding: tuple[OutstandingItem, ...]
    head: SignedHead
    """What backs it: every entry that it names is not later than this one."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every system that has, or had, something of it (GDPR 19)."""
        named = {item.system for item in self.erased} | {item.system for item in self.kept}
        return tuple(sorted(named | {item.system for item in self.outstanding}))


def as_json(certificate: Certificate) -> str:
    """The certificate for machines."""
    policy = certificate.policy
    content = {
        "certificate": 1,
        "controller": policy.controller.name,
        "policy": {"name": policy.policy, "version": policy.version},
        "subject": certificate.subject,
        "reference": certificate.reference,
        "request": certificate.request,
        "at": certificate.at,
        "complete": not certificate.outstanding,
        "recipients": [
            {
                "system": name,
                "title": policy.systems[name].title,
                "owner": policy.systems[name].owner,
                "role": policy.systems[name].role,
                "outside_eea": policy.systems[name].outside_eea,
                "safeguard": policy.systems[name].safeguard,
            }
            for name in certificate.recipients
        ],
        "erased": [asdict(item) for item in certificate.erased],
        "kept": [asdict(item) for item in certificate.kept],
        "outstanding": [asdict(item) for item in certificate.outstanding],
        "head": json.loads(certificate.head.line()),
        "key": {"crv": "Ed25519", "kty": "OKP", "x": certificate.head.x},
    }
    return canonical_json(json.loads(json.dumps(content, default=_instant))) + "\n"


def _instant(value: Any) -> str:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    raise TypeError(f"a certificate holds no {type(value).__name__}")
