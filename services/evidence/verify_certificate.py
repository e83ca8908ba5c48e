"""Verifies a certificate of erasure from its JSON alone: neither ledger nor log is needed.

Of each erased line this proves the system, the action, the kind of proof and when it was proven, for the
subject with the certificate's reference. What the line states beside that, and what is kept or outstanding,
is the controller's statement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas.cloudevents import parse_rfc3339
from schemas.errors import TermijnError
from services.crypto.keyring import Keyring, parse_keyring
from services.evidence.certificate import Proof
from services.evidence.hash_chain import canonical_json, entry_leaf
from services.evidence.merkle import root_from_path
from services.evidence.sealed_messages import item_leaf
from services.evidence.verify import SavedHead, parse_head_line, verify_signature
from services.ledger.command_state import State
from services.ledger.item_states import state_at

_STATES: Final[Mapping[Proof, State]] = {
    "read_again": "erased",
    "attested": "attested",
    "notified": "acknowledged",
    "transferred": "acknowledged",
}
"""The state that an entry must have for each kind of proof."""


class CertificateNotProven(TermijnError):
    """A certificate proves less than it states: it was altered, or was not made by this controller.

    The person asks the controller for another certificate, and compares it with this one.
    """

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place}: {why}")
        self.place = place
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCertificate:
    """A certificate that was verified."""

    lines: int
    """Lines of erased data, each of which is proven."""
    entries: int
    """Entries of the evidence that prove them."""
    last_head_at: datetime
    """When the last of the heads that prove it was signed, UTC."""
    is_complete: bool
    """Whether nothing is outstanding, as the certificate states."""


def verify_certificate(text: str, trusted: Keyring | None = None) -> VerifiedCertificate:
    """Verify the JSON of a certificate; with `trusted` keys its heads must be signed by one of them.

    Raises:
        CertificateNotProven: at the first thing that is wrong.
    """
    place = "certificate"
    try:
        certificate = json.loads(text)
        if not isinstance(certificate, dict) or certificate.get("certificate") != 1:
            raise ValueError("is not a certificate of erasure of this version")
        keys = _read_keys(certificate["keys"])
        place = "heads"
        heads = {
            head.head.number: head
            for head in (parse_head_line(fields) for fields in certificate["heads"])
        }
        last = parse_head_line(certificate["head"])
        for head in (*heads.values(), last):
            _check_signature(head, keys, trusted)
        entries = 0
        for number, line in enumerate(certificate["erased"]):
            place = f"erased[{number}]"
            proven_at = []
            for count, proof in enumerate(line["evidence"]):
                place = f"erased[{number}].evidence[{count}]"
                proven_at.append(_verify_entry(line, proof, heads, certificate["reference"]))
                entries += 1
            place = f"erased[{number}]"
            if not proven_at:
                raise ValueError("has no entry that proves it")
            if parse_rfc3339(line["proven_at"]) != max(proven_at):
                raise ValueError("proven_at is not the time of its last entry")
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError, TermijnError) as cause:
        raise CertificateNotProven(place, _reason(cause)) from cause
    return VerifiedCertificate(
        lines=len(certificate["erased"]),
        entries=entries,
        last_head_at=last.head.at,
        is_complete=certificate.get("complete") is True and not certificate.get("outstanding"),
    )


def _verify_entry(
    line: Mapping[str, Any],
    proof: Mapping[str, Any],
    heads: Mapping[int, SavedHead],
    reference: str,
) -> datetime:
    """Return when the entry was written, UTC, if it proves the line; raises `ValueError` if not.

    1. The entry is about this line: its system, its action, and a state that fits the kind of proof.
    2. The command is one of those that the entry is about.
    3. The entry is one of those that a signed head covers.
    """
    entry = proof["entry"]
    item, items = _number(proof["item"]), _number(entry["items"])
    # Step 1: the entry is about this line.
    for name in ("system", "action"):
        if entry[name] != line[name]:
            raise ValueError(f"the entry is about another {name}")
    if state_at(entry["states"], item, items) != _STATES[line["proof"]]:
        raise ValueError(f"the entry does not show that it was {line['proof']}")
    # Step 2: the command is one of those that the entry is about.
    leaf = item_leaf(_hash(proof["command"], 16), _hash(reference, 16), item)
    if root_from_path(leaf, item, items, _path(proof["item_path"])) != _hash(entry["root"]):
        raise ValueError("the entry is not about this command of this subject")
    # Step 3: a signed head covers the entry.
    number = _number(proof["number"])
    signed = heads.get(_number(proof["head"]))
    if signed is None or not signed.head.since < number <= signed.head.number:
        raise ValueError("no head of the certificate covers the entry")
    head = signed.head
    root = root_from_path(
        entry_leaf(canonical_json(entry)),
        number - head.since - 1,
        head.number - head.since,
        _path(proof["entry_path"]),
    )
    if entry["n"] != number or root != head.root:
        raise ValueError("the signed head does not cover this entry")
    return parse_rfc3339(entry["at"])


def _read_keys(jwks: Any) -> Keyring:
    ring = Keyring()
    for jwk in jwks:
        keys = parse_keyring(canonical_json(jwk)).keys
        if len(keys) != 1 or keys[0].is_private or keys[0].as_jwk() != jwk:
            raise ValueError("keys: must be public keys")
        ring = ring.with_key(keys[0])
    return ring


def _check_signature(signed: SavedHead, keys: Keyring, trusted: Keyring | None) -> None:
    key = (keys if trusted is None else trusted).get(signed.key_id)
    if key is None:
        raise ValueError(f"is signed by {signed.key_id[:16]}, which is not a trusted key")
    if not key.is_valid_at(signed.head.at):
        raise ValueError(f"the key {signed.key_id[:16]} was not valid when it signed")
    verify_signature(signed, key)


def _path(hashes: Any) -> list[bytes]:
    return [_hash(value) for value in hashes]


def _hash(text: Any, size: int = 32) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != size:
        raise ValueError(f"a hash must have {size} bytes, got {len(value)}")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError("must be a whole number")
    return value


def _reason(cause: Exception) -> str:
    if isinstance(cause, KeyError):
        return f"{cause.args[0]} is missing, or has an unknown value"
    return str(cause) or type(cause).__name__
