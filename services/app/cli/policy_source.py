"""Options of documents: which policy one is made of (a file, the settings or the ledger) and its format."""

from __future__ import annotations

from pathlib import Path

import click

from services.app import settings_loader
from services.app.cli.session import open_resources
from services.events.event_file import open_bytes
from services.ledger import confirmations
from services.ledger.policy_versions import UnknownPolicyVersion, active_version
from services.policy.documents.document import FORMATS
from services.policy.loader import load, load_bytes
from services.policy.model import Policy

file_argument = click.argument("file", type=click.Path(path_type=Path), required=False)
ledger_option = click.option(
    "--ledger", "from_ledger", is_flag=True, help="The ledger's active policy, instead of a file."
)

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="How the document is written.",
)


def read_policy(file: Path | None, *, from_ledger: bool = False) -> Policy:
    """Return the policy in a file (`-` is standard input), in the ledger, or else the configured one.

    Raises:
        click.UsageError: a file and the ledger are both asked for.
        InvalidPolicy: it has problems, all of which are named.
        UnknownPolicyVersion: the ledger has none.
    """
    if file and from_ledger:
        raise click.UsageError(
            f"--ledger: the policy is either the ledger's or in {file}, not both"
        )
    if from_ledger:
        with open_resources() as opened, opened.ledger().transaction() as connection:
            version = active_version(connection)
        if version is None:
            raise UnknownPolicyVersion(1)
        return version.load()
    if str(file) == "-":
        with open_bytes(Path("-")) as stream:
            return load_bytes(stream.read(), "-")
    return load(file or settings_loader.load().storage.policy)


def confirmed_rules(policy: Policy) -> dict[str, bool]:
    """Return, by each rule with a derived term, whether it is confirmed in the ledger as it is."""
    with open_resources() as opened, opened.ledger().transaction() as connection:
        return confirmations.confirmed_rules(connection, policy)
