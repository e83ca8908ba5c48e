"""`termijn keys`: list, create and rotate signing keys. It never prints a private key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from services.app import settings_loader
from services.app.cli.options import (
    ACCEPTS_DASH_VALUES,
    format_instant,
    json_option,
    parse_period,
    show,
)
from services.app.cli.output import say
from services.app.cli.session import open_resources
from services.app.wiring.resources import utc_now
from services.crypto import pseudonyms, tombstones
from services.crypto.key_directory import DELETER, InvalidKeyring, KeyDirectory
from services.crypto.keyring import InvalidKey, JsonWebKey, Keyring, parse_keyring
from services.events.event_file import open_bytes

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def _owner(_: click.Context, __: click.Parameter, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise click.BadParameter(
            f"{text!r} must consist of lower-case letters, digits, `.`, `_` and `-`"
        )
    return text


_OWNER = click.argument("owner", default=DELETER, callback=_owner)


@click.group()
def keys() -> None:
    """Keys that sign and verify: the deleter's, and the public keys of systems that it trusts.

    They are in the directory TERMIJN_KEYS, by default `keys` in the data directory.
    """


@keys.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List every key, and the systems of the policy without one; private keys are not shown."""
    directory = _directory()
    at = utc_now()
    columns = ("owner", "use", "key_id", "private", "holds_from", "holds_until", "state")
    rows = [*_own_key_rows(directory, at), *_system_key_rows(directory, at)]
    show(rows, as_json=as_json, title=f"Keys in {directory.path}", columns=columns)


@keys.command()
@_OWNER
@click.option(
    "--encryption", is_flag=True, help="Also create an X25519 key, which decrypts corrections."
)
def make(owner: str, encryption: bool) -> None:
    """Create the keys of OWNER (by default the deleter) if there are none.

    The deleter also gets evidence.key, which pseudonymises the evidence log, and remains.key, which
    encrypts the tombstones of purged subjects: all deleters share both, all recorders the second.
    OWNER.private.jwks stays here; distribute OWNER.jwks. A system's team creates its keys in the same way,
    with the system's name.
    """
    directory = _directory()
    ring = directory.create(owner)
    if encryption and not any(key.use == "enc" for key in ring):
        ring = directory.add_encryption(owner)
    if owner == DELETER:
        pseudonyms.load_or_create_pseudonymizer(directory.path)
        tombstones.load_or_create_tombstone_cipher(directory.path)
    for key in ring:
        say(f"{owner}: {key.key_id} ({key.use})")
    say(f"distribute {directory.public(owner).path}")


@keys.command()
@_OWNER
@click.option(
    "--after",
    default="P1D",
    show_default=True,
    callback=parse_period,
    help="When the new key begins to sign: the time to distribute it.",
)
@click.option(
    "--overlap",
    default="P7D",
    show_default=True,
    callback=parse_period,
    help="How long the older keys stay valid after that.",
)
def rotate(owner: str, after: timedelta, overlap: timedelta) -> None:
    """Create a new signing key of OWNER (by default the deleter), which replaces the others.

    Running roles pick it up. Distribute the new OWNER.jwks to all who verify before the key begins to sign.
    """
    directory = _directory()
    begins = utc_now() + after
    new_key = directory.rotate(owner, begins, begins + overlap)
    say(
        f"{owner}: {new_key.key_id} signs from {format_instant(new_key.not_before)};"
        f" the others are valid until {format_instant((begins + overlap).replace(microsecond=0))} at most"
    )
    say(f"distribute {directory.public(owner).path}")


@keys.command()
@click.argument("system")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
def trust(system: str, file: Path) -> None:
    """Trust the public keys in FILE, a JWK or JWK Set, as those of SYSTEM.

    FILE may be `-`, standard input. They are added to the trusted keys; `termijn keys retire` removes one.
    """
    with open_resources() as opened:
        if system not in opened.policy().systems:
            raise click.UsageError(f"the policy has no system {system!r}")
    directory = _directory()
    for key in directory.trust(system, _read_public_keys(file)):
        say(f"{system}: {key.key_id} ({key.use})")


@keys.command(context_settings=ACCEPTS_DASH_VALUES)
@click.argument("key_id")
def retire(key_id: str) -> None:
    """Remove the key KEY_ID everywhere: from now on it neither signs nor verifies."""
    directory, at = _directory(), utc_now()
    for owner in directory.list_owners():
        ring = directory.private(owner)()
        if (
            ring.get(key_id)
            and ring.newest("sig", at)
            and not _has_other_signing_key(ring, key_id, at)
        ):
            raise click.UsageError(
                f"{owner} has no other signing key; run `termijn keys rotate {owner} --after PT0S` first"
            )
    rings = directory.retire(key_id)
    if not rings:
        raise click.UsageError(f"no key has the id {key_id!r}; `termijn keys list` shows them")
    for ring_name in rings:
        say(f"retired from {ring_name}")


def _directory() -> KeyDirectory:
    return KeyDirectory(path=settings_loader.load().keys)


def _has_other_signing_key(ring: Keyring, key_id: str, at: datetime) -> bool:
    return ring.without(key_id).newest("sig", at) is not None


def _read_public_keys(file: Path) -> Keyring:
    try:
        with open_bytes(file) as handed_over:
            ring = parse_keyring(handed_over.read().decode("utf-8"))
    except UnicodeDecodeError as cause:
        raise InvalidKeyring(file, "is not UTF-8; write the file in UTF-8") from cause
    except InvalidKey as cause:
        raise InvalidKeyring(file, cause.why) from cause
    if any(key.is_private for key in ring):
        raise InvalidKeyring(
            file, "contains a private key, which its owner must keep secret; nothing was trusted"
        )
    if not any(key.use == "sig" for key in ring):
        raise InvalidKeyring(file, "contains no Ed25519 key")
    return ring


def _own_key_rows(directory: KeyDirectory, at: datetime) -> Iterator[dict[str, Any]]:
    for owner in directory.list_owners():
        for key in directory.private(owner)():
            yield _key_row(owner, key, at)


def _system_key_rows(directory: KeyDirectory, at: datetime) -> Iterator[dict[str, Any]]:
    with open_resources() as opened:
        systems = opened.policy().systems
    for system in systems:
        ring = directory.system(system)()
        for key in ring:
            yield _key_row(f"systems/{system}", key, at)
        if ring.newest("sig", at) is None:
            yield {
                "owner": f"systems/{system}",
                "use": "sig",
                "key_id": None,
                "private": False,
                "holds_from": None,
                "holds_until": None,
                "state": "missing",
            }


def _key_row(owner: str, key: JsonWebKey, at: datetime) -> dict[str, Any]:
    coming = key.not_before is not None and at < key.not_before
    return {
        "owner": owner,
        "use": key.use,
        "key_id": key.key_id,
        "private": key.is_private,
        "holds_from": format_instant(key.not_before),
        "holds_until": format_instant(key.expires_at),
        "state": "holds" if key.is_valid_at(at) else "coming" if coming else "expired",
    }
