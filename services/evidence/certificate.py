"""The certificate of erasure: what is proven to be erased of a person's data, kept and why, or outstanding.

A certificate is personal: it is for the person, or for whoever acts for them, and is not stored. Each line
has the entries of the evidence that prove it, and their way to signed heads, and no data of another person.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from schemas.cloudevents import format_rfc3339
from services.evidence.export import public_jwk
from services.evidence.hash_chain import SignedHead, canonical_json
from services.policy.model import Policy

Proof = Literal["read_again", "attested", "notified", "transferred"]
"""The system read again and found nothing; it cannot read again, and attested it; it is another controller,
and was notified (GDPR 17(2), 19); it attested that it has handed the data over to an archive."""
OutstandingReason = Literal[
    "not_told",
    "not_transferred",
    "under_way",
    "silent",
    "not_proven",
    "refused",
    "given_up",
    "reopened",
    "unsealed",
    "unlinkable",
]
"""Why a line is not certified. `unsealed`: it is proven, and no signed head covers the entry yet;
`unlinkable`: it is proven, and the entry was made with another `evidence.key` than the present one."""
Ground = Literal["basis", "hold", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProof:
    """An entry of the evidence about one command, with its way to a signed head; hashes in hexadecimal."""

    number: int
    hash: str
    """The hash of the entry in the chain."""
    entry: str
    """The text of the entry, with the Merkle root of the command's message."""
    entry_path: tuple[str, ...]
    """The path from the entry to the Merkle root of the head."""
    head: int
    """The number of the head's last entry."""
    command: str
    """The command's pseudonym."""
    item: int
    """The command's place in its message, counted from 0."""
    item_path: tuple[str, ...]
    """The path from the command's leaf to the root of the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedItem:
    """Data of one type that one system has erased, pseudonymised or handed over; instants are UTC."""

    system: str
    action: str
    type: str
    categories: tuple[str, ...]
    articles: tuple[str, ...]
    records: int
    commanded_at: datetime
    """When the first command was created."""
    carried_out_at: datetime | None
    """When the last acknowledgement came in that it was done."""
    proven_at: datetime | None
    proof: Proof
    nothing_held: bool
    """Whether the system reported for some of the records that it held nothing."""
    evidence: tuple[EntryProof, ...]
    """The entries that prove it, one for each command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedItem:
    """Data of one type that one system keeps, with the ground and the end."""

    system: str
    type: str
    categories: tuple[str, ...]
    why: Ground
    purpose: str | None
    basis: str | None
    article: str | None
    ground: str | None
    """The reason that another controller gave for its refusal, in its own words."""
    until: datetime | None
    """When it becomes due for erasure, UTC; None while that is open."""
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutstandingItem:
    """Data of one type that is due in one system and not proven to be erased: it is not certified."""

    system: str
    type: str
    categories: tuple[str, ...]
    action: str
    why: OutstandingReason
    since: datetime | None
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate of erasure; instants are UTC."""

    policy: Policy
    subject: str
    reference: str
    """The subject's reference in the evidence: a keyed hash, in hexadecimal."""
    request: str | None
    """The request that it is about; None: it is about all data of the subject."""
    at: datetime
    erased: tuple[ErasedItem, ...]
    kept: tuple[RetainedItem, ...]
    outstanding: tuple[OutstandingItem, ...]
    heads: tuple[SignedHead, ...]
    """The signed heads that prove it."""
    head: SignedHead
    """The last signed head; it covers every entry that the certificate names."""

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every system that has or had some of the data (GDPR 19)."""
        systems = {item.system for item in self.erased} | {item.system for item in self.kept}
        return tuple(sorted(systems | {item.system for item in self.outstanding}))


def as_json(certificate: Certificate) -> str:
    """Return the certificate as JSON text."""
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
        "erased": [_erased_item(item) for item in certificate.erased],
        "kept": [asdict(item) for item in certificate.kept],
        "outstanding": [asdict(item) for item in certificate.outstanding],
        "heads": [json.loads(head.as_json_line()) for head in certificate.heads],
        "head": json.loads(certificate.head.as_json_line()),
        "keys": [
            public_jwk(key_id, x)
            for key_id, x in sorted(
                {(head.key_id, head.x) for head in (*certificate.heads, certificate.head)}
            )
        ],
    }
    return canonical_json(json.loads(json.dumps(content, default=_instant))) + "\n"


def _erased_item(item: ErasedItem) -> dict[str, Any]:
    fields = asdict(item)
    for proof in fields["evidence"]:
        proof["entry"] = json.loads(proof["entry"])
    return fields


def _instant(value: Any) -> str:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    raise TypeError(f"a certificate holds no {type(value).__name__}")
