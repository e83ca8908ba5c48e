"""`termijn ledger`: migrate the ledger's schema and grant its database roles."""

from __future__ import annotations

import click

from services.app.cli.session import open_resources
from services.ledger import granting
from services.ledger import migrate as schema
from services.ledger.grants import GRANTS


@click.group()
def ledger() -> None:
    """Manage the ledger's schema and database roles."""


@ledger.command()
def migrate() -> None:
    """Migrate the ledger to this version's schema. Run it before the roles start."""
    with open_resources() as opened:
        missing_groups = schema.migrate(opened.owned_ledger())
    click.echo("the ledger's schema is up to date")
    if missing_groups:
        click.echo(
            "ledger: this login may not create database roles, so every role keeps its login's privileges,"
            f" missing {', '.join(missing_groups)};"
            " have a superuser run what `termijn ledger grants` prints",
            err=True,
        )


@ledger.command("grants")
def print_grants() -> None:
    """Print the SQL that creates a database role for each of Termijn's roles, for a superuser to run."""
    for role in GRANTS:
        for statement in (granting.create_group_statement(role), *granting.grant_statements(role)):
            click.echo(f"{statement};")
