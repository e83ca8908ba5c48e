"""What data subjects asked for, and what is kept under a hold."""

from __future__ import annotations

from collections import defaultdict

import click
from sqlalchemy import Connection, select

from services import bootstrap, settings
from services.cli.forms import as_text, show
from services.ledger import tables
from services.ledger.database import database_now
from services.ledger.facts import acts_of
from services.policy.requests import cases
from services.policy.standing import standing

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@click.group()
def requests() -> None:
    """Requests of data subjects (GDPR 15-18, 20)."""


@requests.command("list")
@click.option("--all", "all_", is_flag=True, help="Those that are answered or refused as well.")
@_JSON
def list_requests(all_: bool, as_json: bool) -> None:
    """List the open requests, the one that must be answered first coming first."""
    with bootstrap.root(settings.load()) as opened:
        policy = opened.policy()
        with opened.ledger().transaction() as connection:
            now = database_now(connection)
            found = cases(acts_of(connection, ("request", "identity"), policy), policy)
    rows = (
        {
            "request": one.request,
            "subject": one.subject,
            "right": one.right,
            "state": one.state,
            "received_at": as_text(one.received_at),
            "verified_at": as_text(one.verified_at),
            "extended": one.extended,
            "answer_by": as_text(one.answer_by),
            "days_left": (one.answer_by - now).days if one.is_open else None,
            "closed_at": as_text(one.closed_at),
        }
        for one in found
        if all_ or one.is_open
    )
    columns = ("request", "subject", "right", "state", "received_at", "answer_by", "days_left")
    show(rows, as_json=as_json, title="Requests", columns=columns)


@click.group()
def holds() -> None:
    """Holds: what must not be erased for now (GDPR 17(3)(e))."""


@holds.command("list")
@_JSON
def list_holds(as_json: bool) -> None:
    """List the open holds, with the systems that had erased before they could be told."""
    with bootstrap.root(settings.load()) as opened:
        policy = opened.policy()
        with opened.ledger().transaction() as connection:
            by_subject = defaultdict(list)
            for act in acts_of(connection, ("hold",), policy):
                by_subject[act.subject].append(act)
            found = [
                (subject, hold, _too_late_for(connection, subject))
                for subject, acts in sorted(by_subject.items())
                for hold in standing(acts, policy).holds
                if hold.end is None
            ]
    rows = (
        {
            "subject": subject,
            "since": as_text(hold.start),
            "records": list(hold.records) if hold.records is not None else None,
            "too_late_for": too_late,
        }
        for subject, hold, too_late in found
    )
    columns = ("subject", "since", "records", "too_late_for")
    show(rows, as_json=as_json, title="Holds", columns=columns)


def _too_late_for(connection: Connection, subject: str) -> list[str]:
    """The systems that were asked to stop and had carried the command out already."""
    original, recall = tables.command.alias("original"), tables.command.alias("recall")
    query = (
        select(original.c.system)
        .join(recall, recall.c.supersedes == original.c.command_id)
        .where(
            original.c.subject == subject,
            original.c.action.in_(("erase", "pseudonymise")),
            original.c.state == "acknowledged",
            recall.c.action == "recall",
        )
        .distinct()
        .order_by(original.c.system)
    )
    return list(connection.execute(query).scalars())
