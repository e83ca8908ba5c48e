"""Verifies from an export alone whether the evidence log is complete and unaltered.

With a head that was saved elsewhere, or with keys that the company published, no trust is needed: a
truncated log and a rewritten log are detected. Without them the log only has to be consistent in itself,
and with the keys that it contains.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature

from schemas.errors import TermijnError
from services.crypto.base64_text import decode_base64url
from services.crypto.keyring import JsonWebKey, Keyring, parse_keyring
from services.evidence.export import FORMAT
from services.evidence.hash_chain import (
    GENESIS,
    Head,
    canonical_json,
    entry_hash,
    entry_leaf,
    parse_head,
    verify,
)
from services.evidence.merkle import root_of

_SHORTENED = 16
"""Characters of a key's id in an error."""


class EvidenceBroken(TermijnError):
    """The evidence is wrong from this line on: it was altered, truncated, or damaged in transfer.

    The operator keeps both the file and the database as they are, informs the privacy officer, and compares
    with an older export, which still proves all entries up to its last head.
    """

    def __init__(self, line: int, number: int, why: str) -> None:
        super().__init__(f"line {line}, after entry {number}: {why}")
        self.line = line
        self.number = number
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedHead:
    """The signed last hash of the log (*head*), which was saved outside Termijn as one line of JSON."""

    head: Head
    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """A log that was verified."""

    lines: int
    entries: int
    heads: int
    last: Head
    """The last head."""
    key_id: str
    """The id of the key that signed the last head."""


def parse_saved_head(text: str) -> SavedHead:
    """Return the head that `termijn evidence head` printed.

    Raises:
        EvidenceBroken: the text is not such a head.
    """
    try:
        fields = json.loads(text)
        return parse_head_line(fields)
    except (ValueError, TypeError, KeyError, RecursionError, TermijnError) as cause:
        raise EvidenceBroken(
            1, 0, "the saved head is not what `termijn evidence head` prints"
        ) from cause


def verify_lines(
    lines: Iterable[bytes], trusted: Keyring | None = None, saved_head: SavedHead | None = None
) -> VerifiedLog:
    """Verify a log from its lines, ends included.

    With `trusted` keys the last head must be signed by one of them; with a `saved_head` the log must have
    its entry.

    Raises:
        EvidenceBroken: at the first wrong line.
    """
    reader = _Reader(trusted=trusted or Keyring(), saved_head=saved_head)
    for line in lines:
        reader.line += 1
        try:
            reader.read(line)
        except (ValueError, TypeError, KeyError, RecursionError, TermijnError) as cause:
            why = getattr(cause, "why", None) or str(cause) or type(cause).__name__
            raise EvidenceBroken(reader.line, reader.number, why) from cause
    try:
        return reader.finish(anchored=trusted is not None)
    except ValueError as cause:
        raise EvidenceBroken(reader.line + 1, reader.number, str(cause)) from cause


@dataclass(slots=True, kw_only=True)
class _Reader:
    """The state of reading a log: the entries, keys and heads so far."""

    trusted: Keyring
    saved_head: SavedHead | None
    line: int = 0
    number: int = 0
    _hash: bytes = GENESIS
    _expected_last: int | None = None
    _heads: int = 0
    _keys: Keyring = field(default_factory=Keyring)
    _last: SavedHead | None = None
    _leaves: list[bytes] = field(default_factory=list)
    """The leaves of the entries since the last head."""
    _started: bool = False

    def read(self, line: bytes) -> None:
        """Read one line; raises `ValueError` when it is wrong."""
        if not line.endswith(b"\n"):
            raise ValueError("the line has no end")
        if not line.isascii():
            raise ValueError("the line is not ASCII")
        text = line[:-1].decode("ascii")
        fields = json.loads(text)
        if not isinstance(fields, dict) or canonical_json(fields) != text:
            raise ValueError("the line is not canonical JSON")
        if self._expected_last is None:
            self._expected_last = self._read_header(fields)
        elif fields.keys() == {"key"}:
            self._key(fields["key"])
        elif fields.keys() == {"entry", "hash"}:
            self._entry(fields["entry"], fields["hash"])
        else:
            self._read_head(parse_head_line(fields))

    def finish(self, *, anchored: bool) -> VerifiedLog:
        """Return the verified log; raises `ValueError` when its end is missing."""
        if self._expected_last is None:
            raise ValueError("the export is empty")
        if self.number != self._expected_last:
            raise ValueError(
                f"the log was truncated: its first line promises entry {self._expected_last}"
            )
        last = self._last
        if last is None or last.head.number != self.number:
            raise ValueError("the log was truncated: no signed head follows")
        if self.saved_head and self.saved_head.head.number > self.number:
            saved_number = self.saved_head.head.number
            raise ValueError(
                f"the log was truncated: the saved head proves that entry {saved_number} existed"
            )
        if anchored:
            key = self.trusted.get(last.key_id)
            if key is None:
                raise ValueError(
                    f"its last head is signed by {_short_key_id(last.key_id)}, which is not a trusted key"
                )
            if not key.is_valid_at(last.head.at):
                raise ValueError(
                    f"the key {_short_key_id(last.key_id)} was not valid when it signed"
                )
        return VerifiedLog(
            lines=self.line,
            entries=self.number,
            heads=self._heads,
            last=last.head,
            key_id=last.key_id,
        )

    def _read_header(self, fields: dict[str, Any]) -> int:
        announced = fields.get("last")
        if fields.keys() != {"evidence", "last"} or type(announced) is not int or announced < 0:
            raise ValueError("this is not an export of evidence")
        if canonical_json(fields["evidence"]) != canonical_json(FORMAT):
            raise ValueError("this export has another version")
        return announced

    def _key(self, jwk: Any) -> None:
        """Read a public key; its id is its hash, so that it cannot be another key."""
        if self._started or not isinstance(jwk, dict):
            raise ValueError("a key may not follow an entry")
        ring = parse_keyring(canonical_json(jwk))
        if len(ring.keys) != 1 or ring.keys[0].is_private or ring.keys[0].as_jwk() != jwk:
            raise ValueError("the line is not a public key")
        if self._keys.get(ring.keys[0].key_id):
            raise ValueError("the export has this key twice")
        self._keys = self._keys.with_key(ring.keys[0])

    def _entry(self, entry: Any, hash: Any) -> None:
        self._started = True
        if not isinstance(entry, dict) or entry.get("n") != self.number + 1:
            raise ValueError(f"the line is not entry {self.number + 1}")
        following = entry_hash(self._hash, canonical_json(entry))
        if hash != following.hex():
            raise ValueError("its hash is not the hash of this entry and the hash before it")
        self.number, self._hash = self.number + 1, following
        self._leaves.append(entry_leaf(canonical_json(entry)))
        saved = self.saved_head
        if saved and saved.head.number == self.number and saved.head.hash != following:
            raise ValueError(
                "the log was rewritten: the saved head has another hash for this entry"
            )

    def _read_head(self, signed: SavedHead) -> None:
        self._started = True
        if signed.head.number != self.number or signed.head.hash != self._hash:
            raise ValueError("its head has the hash of another log")
        verify_signature(signed, self._key_of(signed.key_id))
        last_number = self._last.head.number if self._last else 0
        if signed.head.since != last_number or signed.head.root != root_of(self._leaves):
            raise ValueError(
                "its head has another Merkle root than the entries since the last head"
            )
        self._leaves = []
        if self.saved_head and self._heads == 0:
            verify_signature(self.saved_head, self._key_of(self.saved_head.key_id))
        self._heads += 1
        self._last = signed

    def _key_of(self, key_id: str) -> JsonWebKey:
        key = self.trusted.get(key_id) or self._keys.get(key_id)
        if key is None:
            raise ValueError(
                f"its head is signed by a key that is not there, {_short_key_id(key_id)}"
            )
        return key


def parse_head_line(fields: Any) -> SavedHead:
    """Return the signed head that a JSON object describes; raises `ValueError` if it describes none."""
    if not isinstance(fields, dict) or fields.keys() != {"head", "key_id", "signature"}:
        raise ValueError("the line is neither an entry, a key nor a head")
    if not isinstance(fields["key_id"], str) or not isinstance(fields["signature"], str):
        raise ValueError("its head is not a head of an evidence log")
    return SavedHead(
        head=parse_head(fields["head"]),
        key_id=fields["key_id"],
        signature=decode_base64url(fields["signature"]),
    )


def verify_signature(signed: SavedHead, key: JsonWebKey) -> None:
    """Check that a key has signed a head; raises `ValueError` if it has not."""
    try:
        verify(signed.head, signed.signature, key)
    except InvalidSignature as cause:
        raise ValueError(f"its head was not signed by {_short_key_id(signed.key_id)}") from cause


def _short_key_id(key_id: str) -> str:
    return key_id[:_SHORTENED]
