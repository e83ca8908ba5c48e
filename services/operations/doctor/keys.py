"""The doctor at the keys: what signs, what is trusted, what seals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from services.crypto.envelope import UnusableKey, read_key
from services.crypto.key_directory import DELETER, KeyDirectory, UnusableKeys
from services.crypto.keyring import Keyring
from services.operations.doctor.findings import Finding, fault, sound, warning

NEAR = timedelta(days=14)
"""A last key that ends sooner is told: a successor has to be handed out before."""


def check_keys(
    directory: KeyDirectory, systems: Sequence[str], now: datetime, *, required: bool
) -> Iterator[Finding]:
    """The deleter's own key, and those by which each system's answers are believed; `now` is UTC."""
    if not required:
        yield warning(
            "keys",
            "nothing is signed or verified: whoever reaches the bus can command an erasure",
            "set TERMIJN_SIGNING=required",
        )
        return
    yield from _own(directory, now)
    for system in systems:
        yield from _of_system(directory, system, now)


def check_seal(path: Path, *, made_at_first_use: bool) -> Finding:
    """The key that seals dead letters."""
    if made_at_first_use and not path.exists():
        return sound("dead-letter key", "is made at first use", str(path))
    try:
        read_key(path)
    except (UnusableKey, OSError) as cause:
        return fault(
            "dead-letter key",
            str(cause),
            "put the file back from where it is kept, or mend TERMIJN_KEY_FILE",
            str(path),
        )
    return sound("dead-letter key", "can be read", str(path))


def _own(directory: KeyDirectory, now: datetime) -> Iterator[Finding]:
    try:
        ring = directory.private()()
    except UnusableKeys as cause:
        mend = "`termijn keys make`, or put the file back and give it mode 0600"
        yield fault("keys", str(cause), mend, DELETER)
        return
    yield from _judged(
        ring, DELETER, now, "`termijn keys rotate`, and hand out the new deleter.jwks"
    )


def _of_system(directory: KeyDirectory, system: str, now: datetime) -> Iterator[Finding]:
    mend = f"ask its team for {system}.jwks, and `termijn keys trust {system} {system}.jwks`"
    try:
        ring = directory.system(system)()
    except UnusableKeys as cause:
        yield fault("keys", str(cause), mend, system)
        return
    yield from _judged(ring, system, now, mend)


def _judged(ring: Keyring, owner: str, now: datetime, mend: str) -> Iterator[Finding]:
    signing = [key for key in ring if key.use == "sig"]
    if not signing:
        yield fault("keys", "has no signing key: nothing from there can be verified", mend, owner)
        return
    if not any(key.holds(now) for key in signing):
        yield fault("keys", "no key holds now", mend, owner)
        return
    if not any(key.holds(now + NEAR) for key in signing):
        ends = max(key.expires_at for key in signing if key.expires_at is not None)
        yield warning("keys", f"the last key ends at {ends:%Y-%m-%dT%H:%M:%SZ}", mend, owner)
        return
    yield sound("keys", f"{len(signing)} keys", owner)
