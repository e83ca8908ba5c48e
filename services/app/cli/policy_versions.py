"""`termijn policy list` and `show`: the policies that are, were or become active, from the ledger."""

from __future__ import annotations

import json
from typing import Any

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
from services.ledger.scheduled_policy import find_scheduled
from services.policy.loader import hash_policy

_COLUMNS = ("number", "state", "policy", "version", "from", "operator", "problem")


@click.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the policies that were activated, the last one first, with who accepted each.

    Before them is the scheduled one, with the problem if it could not be activated when its day came.
    """
    with open_resources() as opened, opened.ledger().transaction() as connection:
        versions, scheduled = list_versions(connection), find_scheduled(connection)
    rows: list[dict[str, Any]] = []
    if scheduled:
        rows.append(
            {
                "number": None,
                "state": "scheduled",
                "policy": scheduled.policy,
                "version": scheduled.version,
                "from": format_instant(scheduled.effective_at),
                "operator": scheduled.operator,
                "digest": hash_policy(scheduled.load()),
                "problem": scheduled.problem,
            }
        )
    rows += [
        {
            "number": version.number,
            "state": "former" if position else "active",
            "policy": version.policy,
            "version": version.version,
            "from": format_instant(version.activated_at),
            "operator": version.operator,
            "digest": version.digest,
            "problem": None,
        }
        for position, version in enumerate(versions)
    ]
    show(rows, as_json=as_json, title="Policies", columns=_COLUMNS)


@click.command("show")
@click.argument("number", type=click.IntRange(1, 2**31 - 1), required=False)
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
