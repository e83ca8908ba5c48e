"""Check the keys: for signatures, of trusted systems, and for encryption at rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import ProgrammingError

from services.crypto.envelope import InvalidKeyFile, read_key
from services.crypto.key_directory import DELETER, InvalidKeyring, KeyDirectory
from services.crypto.keyring import Keyring
from services.operations.doctor.findings import Finding, error, ok, warning
from services.operations.doctor.logins import not_permitted
from services.requests.request_keys import REMEDY, sealed_with
from services.storage.database import Database, lacks_privilege

EXPIRY_WARNING = timedelta(days=14)
"""A last key that expires sooner is a warning: its successor has to be distributed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKeyFiles:
    """The files of the keys that encrypt at rest; one that no setting names is created at first use."""

    dead_letters: Path
    dead_letters_named: bool
    requests: Path
    requests_named: bool


def check_keys(
    directory: KeyDirectory, systems: Sequence[str], now: datetime, *, required: bool
) -> Iterator[Finding]:
    """Check the deleter's key and the keys of each system; `now` is UTC."""
    if not required:
        yield warning(
            "keys",
            "signing is off: anyone who can write to Kafka can command an erasure",
            "set TERMIJN_SIGNING=required",
        )
        return
    yield from _check_own_key(directory, now)
    for system in systems:
        yield from _check_system_key(directory, system, now)


def check_key_files(files: EncryptionKeyFiles) -> Iterator[Finding]:
    """Check the key that encrypts dead letters and the key that encrypts the keys of requests."""
    is_created = not files.dead_letters_named
    yield _check_key_file(
        "dead-letter key", files.dead_letters, "TERMIJN_KEY_FILE", is_created=is_created
    )
    if files.dead_letters_named and not files.requests_named:
        yield error(
            "request key",
            "TERMIJN_REQUEST_KEY_FILE must be set when TERMIJN_KEY_FILE is",
            "create one file for all roles of the ledger: `openssl rand -base64 32`, mode 0600",
        )
        return
    path, is_created = files.requests, not files.requests_named
    finding = _check_key_file(
        "request key", path, "TERMIJN_REQUEST_KEY_FILE", is_created=is_created
    )
    if finding.state == "ok" and _key_ids((path,)) & _key_ids((files.dead_letters,)):
        yield warning(
            "request key",
            "is also the key of dead letters: a role that opens dead letters can open requests",
            "create another key (`openssl rand -base64 32`, mode 0600); the old one still decrypts",
            str(path),
        )
        return
    yield finding


def check_requests(ledger: Database, files: EncryptionKeyFiles) -> Iterator[Finding]:
    """Check that the keys are configured which encrypt the keys of requests in the ledger."""
    configured = _key_ids((files.requests, files.dead_letters))
    try:
        with ledger.transaction() as connection:
            counts = sealed_with(connection)
    except ProgrammingError as cause:
        if not lacks_privilege(cause):
            raise
        yield not_permitted("requests")
        return
    for key_id in sorted(counts.keys() - configured):
        yield error(
            "requests",
            f"{counts[key_id]} keys are encrypted with key {key_id}, which is not configured",
            REMEDY,
        )
    if counts.keys() <= configured:
        yield ok("requests", f"{sum(counts.values())} keys can be opened")


def _check_key_file(check: str, path: Path, variable: str, *, is_created: bool) -> Finding:
    if is_created and not path.exists():
        return ok(check, "is created at first use", str(path))
    try:
        read_key(path)
    except (InvalidKeyFile, OSError) as cause:
        fix = f"restore the file from its backup, or fix {variable}"
        return error(check, str(cause), fix, str(path))
    return ok(check, "can be read", str(path))


def _key_ids(paths: Iterable[Path]) -> set[str]:
    key_ids = set()
    for path in paths:
        with suppress(InvalidKeyFile, OSError):
            key_ids.add(read_key(path).key_id)
    return key_ids


def _check_own_key(directory: KeyDirectory, now: datetime) -> Iterator[Finding]:
    try:
        ring = directory.private()()
    except InvalidKeyring as cause:
        fix = "`termijn keys make`, or restore the file with mode 0600"
        yield error("keys", str(cause), fix, DELETER)
        return
    yield from _check_expiry(
        ring, DELETER, now, "`termijn keys rotate`, and distribute the new deleter.jwks"
    )


def _check_system_key(directory: KeyDirectory, system: str, now: datetime) -> Iterator[Finding]:
    fix = f"ask its team for {system}.jwks, then `termijn keys trust {system} {system}.jwks`"
    try:
        ring = directory.system(system)()
    except InvalidKeyring as cause:
        yield error("keys", str(cause), fix, system)
        return
    yield from _check_expiry(ring, system, now, fix)


def _check_expiry(ring: Keyring, owner: str, now: datetime, fix: str) -> Iterator[Finding]:
    signing = [key for key in ring if key.use == "sig"]
    if not signing:
        yield error("keys", "has no signing key: nothing that it sends can be verified", fix, owner)
        return
    if not any(key.is_valid_at(now) for key in signing):
        yield error("keys", "no key is valid now", fix, owner)
        return
    if not any(key.is_valid_at(now + EXPIRY_WARNING) for key in signing):
        ends = max(key.expires_at for key in signing if key.expires_at is not None)
        yield warning("keys", f"the last key expires at {ends:%Y-%m-%dT%H:%M:%SZ}", fix, owner)
        return
    yield ok("keys", f"{len(signing)} keys", owner)
