"""`termijn vault`: the keys of encrypted fields, and the master keys that wrap them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import Connection

from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import (
    ACCEPTS_DASH_VALUES,
    format_instant,
    json_option,
    operator_option,
    parse_period,
    reason_option,
    show,
)
from services.app.cli.session import open_resources
from services.app.wiring.resources import utc_now
from services.crypto import rotation
from services.crypto.data_keys import DataKeyStore
from services.crypto.master_keys import FileMasterKeys
from services.crypto.shredding import Shredder
from services.operations.orphaned_keys import find_orphaned_keys
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action


@click.group()
def vault() -> None:
    """Keys of encrypted fields, and the master keys that wrap them.

    The keys are in the database TERMIJN_VAULT_URL, the master keys in the directory TERMIJN_MASTER_KEYS.
    """


@vault.command()
@json_option
def status(as_json: bool) -> None:
    """Count the keys by system and by master key, and list master keys that must be destroyed.

    Fails if a master key was replaced more than a week ago: while it exists, a backup of the vault can
    decrypt what was shredded since.
    """
    at = utc_now()
    with open_resources() as opened:
        masters, keys = opened.master_keys(), opened.vault()
        rows = [*_master_key_rows(keys, masters, at), *_system_rows(keys)]
    columns = ("kind", "name", "state", "keys", "since")
    show(rows, as_json=as_json, title="The vault", columns=columns)
    overdue = [row["name"] for row in rows if row["state"] == "overdue"]
    if overdue:
        raise CheckFailed(f"`termijn vault destroy {overdue[0]}` is overdue")


@vault.command()
def rotate() -> None:
    """Create a new master key and wrap every key with it instead of the older ones."""
    with open_resources() as opened:
        masters, keys = opened.master_keys(), opened.vault()
        new_key, wrapped = rotation.rotate(keys, masters)
        older = [status.version for status in rotation.master_key_statuses(keys, masters)[:-1]]
    click.echo(f"{new_key.path.name}: {new_key.master} wraps {wrapped} keys")
    for version in older:
        click.echo(f"back up the vault, then run: termijn vault destroy {version.master}")


@vault.command()
@click.argument("master")
def destroy(master: str) -> None:
    """Destroy the master key MASTER, which another has replaced.

    Older backups of the vault can then no longer be decrypted. Destroy other copies of the master key
    yourself.
    """
    with open_resources() as opened:
        rotation.destroy(opened.vault(), opened.master_keys(), master, utc_now())
    click.echo(f"destroyed {master}; destroy every other copy of it as well")


@vault.command()
@click.option(
    "--older-than",
    default="P1D",
    show_default=True,
    callback=parse_period,
    help="Skip younger keys, whose events may not be recorded yet.",
)
@json_option
def check(older_than: timedelta, as_json: bool) -> None:
    """List keys that no command will destroy: their data in Kafka has no term. Fails if there is one.

    `unrecorded`: the ledger has no such event; replay its dead letter, or shred the key.
    `unheld`: the policy has no holding of the event in that system. `outlived`: its erasure is proven, but
    a restored backup brought the key back; `termijn commands resend`.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.wait_for_active_policy(ledger)
        orphans = list(find_orphaned_keys(opened.vault(), ledger, policy, utc_now() - older_than))
    rows = [
        {
            "key": orphan.key.key_id,
            "system": orphan.key.system,
            "made_at": format_instant(orphan.key.made_at.replace(microsecond=0)),
            "why": orphan.why,
        }
        for orphan in orphans
    ]
    columns = ("key", "system", "made_at", "why")
    show(rows, as_json=as_json, title="Keys that no command will destroy", columns=columns)
    if orphans:
        raise CheckFailed(f"{len(orphans)} keys have no term")


@vault.command(context_settings=ACCEPTS_DASH_VALUES)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@operator_option
@reason_option
def shred(keys: tuple[str, ...], operator: str, reason: str) -> None:
    """Destroy the keys KEY permanently: the data that they encrypt can no longer be read anywhere."""
    with open_resources() as opened:
        ledger, data_keys = opened.ledger(), opened.vault()
        shredder = Shredder(data_keys.database)
        active_keys = shredder.by_id(keys)
        if missing_keys := sorted(set(keys) - {key.key_id for key in active_keys}):
            raise CheckFailed(f"{missing_keys[0]}: no key has this id; nothing was destroyed")

        def log_shredding(connection: Connection) -> None:
            for key in active_keys:
                target = f"{key.system} {key.key_id}"
                at = database_now(connection)
                log_operator_action(
                    connection, "shred", target, operator=operator, reason=reason, now=at
                )

        ledger.run_in_transaction(
            log_shredding
        )  # first: a key must not be destroyed without a record of it
        for key in active_keys:
            shredder.destroy([key.event_id], key.system, utc_now())
    click.echo(f"destroyed {len(active_keys)} keys")


def _master_key_rows(
    keys: DataKeyStore, masters: FileMasterKeys, at: datetime
) -> Iterator[dict[str, Any]]:
    for status in rotation.master_key_statuses(keys, masters):
        replaced_state = "overdue" if status.is_overdue(at) else "to be destroyed"
        yield {
            "kind": "master key",
            "name": status.version.master,
            "state": "wraps" if status.retired_at is None else replaced_state,
            "keys": status.keys,
            "since": format_instant(
                (status.retired_at or status.version.made_at).replace(microsecond=0)
            ),
        }


def _system_rows(keys: DataKeyStore) -> Iterator[dict[str, Any]]:
    for count in keys.count_by_master():
        yield {
            "kind": "keys",
            "name": count.system,
            "state": f"under {count.master}" if count.master else "destroyed",
            "keys": count.keys,
            "since": format_instant(count.oldest.replace(microsecond=0)),
        }
