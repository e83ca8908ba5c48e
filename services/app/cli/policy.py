"""`termijn policy`: check a policy file, and activate it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from sqlalchemy import Connection

from services.app import settings_loader
from services.app.cli.options import json_option, operator_option, reason_option, show
from services.app.cli.policy_changes import diff
from services.app.cli.session import open_resources, run_in_transaction
from services.deleter import activation
from services.events.event_file import open_bytes
from services.ledger.policy_references import Drop
from services.policy.editor_schema import policy_schema
from services.policy.lint import lint as lint_policy
from services.policy.loader import load, load_bytes
from services.policy.model import Policy
from services.storage.operator_log import log_operator_action


@click.group()
def policy() -> None:
    """Check and compare policy files, and activate one."""


policy.add_command(diff)


@policy.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
def lint(file: Path | None, as_json: bool) -> None:
    """Check FILE (by default the configured policy) and list what a privacy officer should look at.

    `-` is standard input.
    """
    the_policy = _policy_from_stdin() if str(file) == "-" else load(file or _configured_policy())
    rows = ({"key": remark.key, "what": remark.message} for remark in lint_policy(the_policy))
    title = f"{the_policy.policy} {the_policy.version}: valid, with warnings"
    show(rows, as_json=as_json, title=title, columns=("key", "what"))


def _policy_from_stdin() -> Policy:
    with open_bytes(Path("-")) as file:
        return load_bytes(file.read(), "-")


def _configured_policy() -> Path | None:
    return settings_loader.load().storage.policy


@policy.command()
def schema() -> None:
    """Print the JSON Schema of a policy file, for editors.

    An editor with the YAML language server checks a file against it whose first line is
    `# yaml-language-server: $schema=FILE`, with the path of what this prints.
    """
    click.echo(json.dumps(policy_schema(), indent=2, ensure_ascii=False))


def _read_drops(
    _context: click.Context, _parameter: click.Parameter, texts: Sequence[str]
) -> list[Drop]:
    pairs = [text.partition(":") for text in texts]
    for text, (event_type, _, system) in zip(texts, pairs, strict=True):
        if not event_type or not system:
            raise click.BadParameter(f"must be TYPE:SYSTEM, got {text!r}")
    return [Drop(event_type, system) for event_type, _, system in pairs]


@policy.command()
@operator_option
@reason_option
@click.option(
    "--drop",
    "drops",
    multiple=True,
    metavar="TYPE:SYSTEM",
    callback=_read_drops,
    help="The system never held the recorded events of this type; once for each that the policy drops.",
)
def activate(operator: str, reason: str, drops: Sequence[Drop]) -> None:
    """Make the configured policy the ledger's active one; every window is computed again."""
    with open_resources() as opened:
        the_policy = opened.policy()

    def work(connection: Connection, now: datetime) -> None:
        activation.activate(connection, the_policy, now, drops)
        dropped = "".join(f" --drop {drop}" for drop in sorted(drops))
        target = f"{the_policy.policy} {the_policy.version}{dropped}"
        log_operator_action(
            connection, "policy activate", target, operator=operator, reason=reason, now=now
        )

    run_in_transaction(work)
    click.echo(f"active: {the_policy.policy} {the_policy.version}")
