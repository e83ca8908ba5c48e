"""An export of evidence proves itself: each altered byte and each cut is found, by its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.crypto.keyring import JsonWebKey, Keyring, new_key
from services.evidence.hash_chain import GENESIS, Head, canonical_json, entry_hash, parse_head, sign
from services.evidence.merkle import hash_leaf, root_of
from services.evidence.verify import EvidenceBroken, parse_saved_head, verify_lines

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = new_key()


def log(
    entries: int, heads_at: Sequence[int], key: JsonWebKey = KEY, word: str = "sent"
) -> list[bytes]:
    """An export of so many entries, with heads over some of them."""
    ring = Keyring((key,))
    jwk = {"crv": "Ed25519", "kid": key.key_id, "kty": "OKP", "use": "sig", "x": key.x}
    lines = [canonical_json({"evidence": 1, "last": entries}), canonical_json({"key": jwk})]
    before, since, leaves = GENESIS, 0, []
    for number in range(1, entries + 1):
        entry = canonical_json({"at": "2026-03-01T12:00:00Z", "kind": word, "n": number})
        before = entry_hash(before, entry)
        leaves.append(hash_leaf(entry.encode()))
        lines.append(f'{{"entry":{entry},"hash":"{before.hex()}"}}')
        if number in heads_at:
            head = Head(number=number, hash=before, at=AT, since=since, root=root_of(leaves))
            lines.append(sign(head, lambda: ring).as_json_line())
            since, leaves = number, []
    return [f"{line}\n".encode() for line in lines]


WHOLE = log(6, (3, 6))
HEAD = {"at": "2026-03-01T12:00:00Z", "hash": "00", "number": 1, "root": "00", "since": 0}
BYTES = b"".join(WHOLE)


def head_over(number: int, hash: bytes, lines: Sequence[bytes]) -> Head:
    """A head over all entries of a log without another head."""
    entries = [json.loads(line)["entry"] for line in lines if line.startswith(b'{"entry"')]
    leaves = [hash_leaf(canonical_json(entry).encode()) for entry in entries]
    return Head(number=number, hash=hash, at=AT, since=0, root=root_of(leaves))


def lines_of(data: bytes) -> list[bytes]:
    """Return the lines as a file gives them."""
    return data.splitlines(keepends=True)


def verification_error(lines: Sequence[bytes]) -> EvidenceBroken:
    """Return the error about a log that does not verify."""
    with pytest.raises(EvidenceBroken) as raised:
        verify_lines(lines)
    return raised.value


def test_a_complete_log_is_verified() -> None:
    """The result has the number of entries and the last time."""
    result = verify_lines(WHOLE)
    assert (result.entries, result.heads, result.last.at) == (6, 2, AT)
    assert result.key_id == KEY.key_id


@given(at=st.integers(0, len(BYTES) - 1), mask=st.integers(1, 255))
def test_any_altered_byte_is_found(at: int, mask: int) -> None:
    """Wherever it is and whatever it becomes."""
    altered = bytearray(BYTES)
    altered[at] ^= mask
    verification_error(lines_of(bytes(altered)))


def test_each_byte_with_its_lowest_bit_flipped_is_found() -> None:
    """It is found on its own line or the next."""
    starts = [0]
    for line in WHOLE:
        starts.append(starts[-1] + len(line))
    for at in range(len(BYTES)):
        altered = bytearray(BYTES)
        altered[at] ^= 1
        number = sum(start <= at for start in starts)
        # What comes before an entry is only asked for later: its key by the first head, its length last.
        assert verification_error(lines_of(bytes(altered))).line >= number


@given(cut=st.integers(0, len(BYTES) - 1))
def test_any_truncation_is_found(cut: int) -> None:
    """Within a line or between two."""
    verification_error(lines_of(BYTES[:cut]))


def test_a_tail_cut_behind_a_head_is_found_by_the_first_line() -> None:
    """The first line states how far the log goes."""
    assert (
        verification_error(WHOLE[:6]).why
        == "the log was truncated: its first line promises entry 6"
    )


def test_a_tail_cut_behind_a_head_with_a_new_first_line_is_found_by_a_head_kept_elsewhere() -> None:
    """A forger can write a first line that fits, but cannot change a head that was handed out."""
    shorter = [canonical_json({"evidence": 1, "last": 3}).encode() + b"\n", *WHOLE[1:6]]
    verify_lines(shorter)
    with pytest.raises(EvidenceBroken, match="the saved head proves that entry 6 existed"):
        verify_lines(shorter, saved_head=parse_saved_head(WHOLE[-1].decode()))


def test_a_log_rewritten_with_the_right_key_is_found_by_a_head_kept_elsewhere() -> None:
    """Even the owner of the key cannot change the past."""
    other_log = log(8, (8,), word="lies")
    verify_lines(other_log, Keyring((KEY.public(),)))
    with pytest.raises(EvidenceBroken, match="the log was rewritten"):
        verify_lines(other_log, saved_head=parse_saved_head(WHOLE[5].decode()))


def test_a_log_that_continued_is_verified_with_an_older_head() -> None:
    """A head that was kept stays valid."""
    assert verify_lines(log(9, (9,)), saved_head=parse_saved_head(WHOLE[-1].decode())).entries == 9


def test_a_log_signed_with_an_untrusted_key_is_refused() -> None:
    """It is consistent, also with the key that it contains."""
    forged = log(6, (6,), key=new_key())
    verify_lines(forged)
    with pytest.raises(EvidenceBroken, match="which is not a trusted key"):
        verify_lines(forged, Keyring((KEY.public(),)))


def test_a_key_that_was_not_valid_yet_is_not_trusted() -> None:
    """The time at which the head was signed decides."""
    late = Keyring((new_key(not_before=AT + timedelta(days=1)),))
    [key] = late
    lines = log(6, (), key=key)
    hash = bytes.fromhex(json.loads(lines[-1])["hash"])
    bare = Keyring(
        (JsonWebKey(key_id=key.key_id, use="sig", x=key.x, private_key=key.private_key),)
    )
    lines.append(sign(head_over(6, hash, lines), lambda: bare).as_json_line().encode() + b"\n")
    with pytest.raises(EvidenceBroken, match="was not valid when it signed"):
        verify_lines(lines, late.public())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"kind":', b'"kind": '),
        (b"sent", rb"\u0073ent"),
        (b'"kind":"sent","n":2', b'"n":2,"kind":"sent"'),
        (b'"kind":"sent","n":2', b'"kind":"x","kind":"sent","n":2'),
        (b"\n", b"\r\n"),
    ],
)
def test_an_entry_has_one_valid_form(old: bytes, new: bytes) -> None:
    """Another text with the same meaning counts as altered."""
    assert old in BYTES
    verification_error(lines_of(BYTES.replace(old, new)))


def test_an_unsigned_head_is_not_trusted() -> None:
    """A head is kept with its signature, which is verified."""
    head = json.loads(WHOLE[-1])
    other = json.loads(WHOLE[5])["signature"]
    with pytest.raises(EvidenceBroken, match="was not signed by"):
        verify_lines(WHOLE, saved_head=parse_saved_head(json.dumps({**head, "signature": other})))


@pytest.mark.parametrize("change", [{"since": 2}, {"root": bytes(32)}])
def test_a_head_with_another_merkle_root_is_found(change: dict[str, Any]) -> None:
    """Even if the right key has signed it, a certificate under it would prove nothing of this log."""
    lines = log(6, (3,))
    right = parse_saved_head(WHOLE[-1].decode()).head
    wrong = sign(replace(right, **change), lambda: Keyring((KEY,)))
    lines.append(f"{wrong.as_json_line()}\n".encode())
    assert "has another Merkle root" in verification_error(lines).why


def test_an_entry_that_is_missing_is_found() -> None:
    """An entry that is repeated, or in the wrong place, is found as well."""
    assert verification_error([*WHOLE[:3], *WHOLE[4:]]).line == 4
    assert verification_error([*WHOLE[:4], WHOLE[3], *WHOLE[4:]]).why == "the line is not entry 3"
    assert verification_error([*WHOLE[:2], WHOLE[3], WHOLE[2], *WHOLE[4:]]).number == 0


def test_an_empty_file_is_not_a_log() -> None:
    """It proves nothing."""
    assert verification_error([]).why == "the export is empty"


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\n",
        b"[]\n",
        b"null\n",
        b'{"evidence":1,"last":NaN}\n',
        b'{"evidence":1,"last":-1}\n',
        b'{"evidence":2,"last":1}\n',
        b'{"evidence":true,"last":0}\n',
        b'{"last":1}\n',
        b"[" * 100_000 + b"\n",
        b"1" * 10_000 + b"\n",
    ],
    ids=range(10),
)
def test_a_file_that_is_not_an_export_is_one_error(line: bytes) -> None:
    """It may contain anything."""
    assert verification_error([line]).line == 1


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"head":1,"key_id":2,"signature":3}'])
def test_a_file_that_is_not_a_head_is_one_error(text: str) -> None:
    """A file that was kept may be any file."""
    with pytest.raises(EvidenceBroken):
        parse_saved_head(text)


def test_the_canonical_form_of_an_entry() -> None:
    """Sorted keys, no white space, ASCII."""
    assert canonical_json({"b": [1, None, True], "a": "é"}) == '{"a":"\\u00e9","b":[1,null,true]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_the_hash_is_computed_as_documented() -> None:
    """The test computes it by hand, as an auditor would."""
    first = hashlib.sha256(b"termijn evidence 1\0" + bytes(32) + b'{"n":1}').digest()
    second = hashlib.sha256(b"termijn evidence 1\0" + first + b'{"n":2}').digest()
    assert entry_hash(entry_hash(GENESIS, '{"n":1}'), '{"n":2}') == second


def test_a_head_is_signed_as_a_message_on_its_topic() -> None:
    """Ten lines in any language can verify it."""
    private = KEY.private_key
    assert isinstance(private, Ed25519PrivateKey)
    head = Head(number=1, hash=bytes(32), at=AT, since=0, root=bytes(32))
    signed = sign(head, lambda: Keyring((KEY,)))
    text = b'{"at":"2026-03-01T12:00:00Z","hash":"' + b"00" * 32 + b'","number":1,'
    text += b'"root":"' + b"00" * 32 + b'","since":0}'
    topic = b"retention.evidence-heads.v1"
    parts = len(topic).to_bytes(4, "big") + topic + b"\xff" * 4
    parts += len(text).to_bytes(4, "big") + text
    assert signed.signature == private.sign(b"termijn signature 1\0" + parts)


@pytest.mark.parametrize(
    "fields",
    [
        {**HEAD, "number": True},
        {**HEAD, "number": -1},
        {**HEAD, "at": "2026-03-01T12:00:00+00:00"},
        {**HEAD, "hash": "AA"},
        {**HEAD, "root": "AA"},
        {**HEAD, "root": None},
        {**HEAD, "since": 2},
        {**HEAD, "since": False},
        {**HEAD, "more": 1},
        {"at": "2026-03-01T12:00:00Z", "hash": "00", "number": 1},
        None,
    ],
)
def test_a_head_has_one_valid_form(fields: object) -> None:
    """Otherwise two texts would mean one head."""
    with pytest.raises(ValueError, match="head is not"):
        parse_head(fields)
