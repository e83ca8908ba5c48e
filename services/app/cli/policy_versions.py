"""`termijn policy list` and `show`: the policies that were active, as the ledger has them."""

from __future__ import annotations

import json

import click
import yaml

from services.app.cli.options import format_instant, json_option, show
from services.app.cli.output import say
from services.app.cli.session import open_resources
from services.ledger.policy_versions import (
    PolicyTextMissing,
    UnknownPolicyVersion,
    find_version,
    list_versions,
)

_COLUMNS = ("number", "policy", "version", "activated_at", "operator", "digest")


@click.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the policies that were activated, the active one first, with who accepted each."""
    with open_resources() as opened, opened.ledger().transaction() as connection:
        versions = list_versions(connection)
    rows = [
        {
            "number": version.number,
            "policy": version.policy,
            "version": version.version,
            "activated_at": format_instant(version.activated_at),
            "operator": version.operator,
            "digest": version.digest,
        }
        for version in versions
    ]
    show(rows, as_json=as_json, title="Policies", columns=_COLUMNS)


@click.command("show")
@click.argument("number", type=click.IntRange(min=1), required=False)
def show_version(number: int | None) -> None:
    """Print the policy NUMBER of `termijn policy list`, by default the active one, as a policy file.

    Every key that is not written has its default; comments of the original file are not kept.
    """
    with open_resources() as opened, opened.ledger().transaction() as connection:
        if number is None:
            version = next(iter(list_versions(connection)), None)
        else:
            version = find_version(connection, number)
    if version is None:
        raise UnknownPolicyVersion(1)
    if version.text is None:
        raise PolicyTextMissing(version)
    document = json.loads(version.text)
    say(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110).rstrip())
