"""`termijn vault`: the keys of encrypted fields, and the master keys that wrap them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from services import bootstrap, settings
from services.bootstrap import now
from services.cli.forms import as_text, show
from services.vault import rotating
from services.vault.data_keys import DataKeys
from services.vault.masters import MasterFiles

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group()
def vault() -> None:
    """Keys of encrypted fields: count them, and rotate the master key that wraps them.

    They are in TERMIJN_VAULT_URL, the master keys in the directory TERMIJN_MASTER_KEYS.
    """


@vault.command()
@_JSON
def status(as_json: bool) -> None:
    """Count the keys, by system and by master key, and say which master keys are to be destroyed.

    Fails while a master key that no longer wraps is older than a week: so long a backup of the vault
    opens what was shredded since.
    """
    at = now()
    with bootstrap.root(settings.load()) as opened:
        masters, keys = opened.masters(), opened.vault()
        rows = [*_of_masters(keys, masters, at), *_of_systems(keys)]
    columns = ("kind", "name", "state", "keys", "since")
    show(rows, as_json=as_json, title="The vault", columns=columns)
    overdue = [row["name"] for row in rows if row["state"] == "overdue"]
    if overdue:
        raise click.ClickException(f"`termijn vault destroy {overdue[0]}` is overdue")


@vault.command()
def rotate() -> None:
    """Make a new master key and wrap every key under it; the older ones wrap nothing any more."""
    with bootstrap.root(settings.load()) as opened:
        masters, keys = opened.masters(), opened.vault()
        made, wrapped = rotating.rotate(keys, masters)
        older = [one.generation for one in rotating.standings(keys, masters)[:-1]]
    click.echo(f"{made.path.name}: {made.master} wraps {wrapped} keys anew")
    for one in older:
        click.echo(f"back the vault up, and then: termijn vault destroy {one.master}")


@vault.command()
@click.argument("master")
def destroy(master: str) -> None:
    """Destroy the master key MASTER, from which another has taken over.

    Backups of the vault from before then open nothing any more. Copies of the master key elsewhere are
    yours to destroy.
    """
    with bootstrap.root(settings.load()) as opened:
        rotating.destroy(opened.vault(), opened.masters(), master, now())
    click.echo(f"destroyed {master}; destroy every copy of it as well")


def _of_masters(keys: DataKeys, masters: MasterFiles, at: datetime) -> Iterator[dict[str, Any]]:
    for one in rotating.standings(keys, masters):
        retired = "overdue" if one.overdue(at) else "to be destroyed"
        yield {
            "kind": "master key",
            "name": one.generation.master,
            "state": "wraps" if one.retired_at is None else retired,
            "keys": one.keys,
            "since": as_text((one.retired_at or one.generation.made_at).replace(microsecond=0)),
        }


def _of_systems(keys: DataKeys) -> Iterator[dict[str, Any]]:
    for one in keys.counted():
        yield {
            "kind": "keys",
            "name": one.system,
            "state": f"under {one.master}" if one.master else "destroyed",
            "keys": one.keys,
            "since": as_text(one.oldest.replace(microsecond=0)),
        }
