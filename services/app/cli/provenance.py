"""`termijn provenance`: whom to inform where their data comes from (GDPR 14(3)), and of what."""

from __future__ import annotations

import click

from services.app.cli.options import format_instant, json_option, show
from services.app.cli.output import say
from services.app.cli.session import open_resources
from services.ledger.confirmations import confirmed_rules
from services.requests.letters import LANGUAGES, Language
from services.requests.provenance import list_duties
from services.requests.provenance_notice import load_uninformed, render_provenance
from services.storage.database import database_now


@click.group()
def provenance() -> None:
    """People who are not informed yet where their data comes from (GDPR 14(3))."""


@provenance.command("list")
@json_option
def list_uninformed(as_json: bool) -> None:
    """List the data of which the person is not informed where it comes from, the most urgent first."""
    with open_resources() as opened, opened.ledger().transaction() as connection:
        now = database_now(connection)
        listed = list(list_duties(connection))
    rows = (
        {
            "subject": duty.subject,
            "event": duty.event,
            "type": duty.type,
            "obtained_at": format_instant(duty.obtained_at),
            "inform_by": format_instant(duty.inform_by),
            "reason": duty.reason,
            "days_left": (duty.inform_by - now).days,
        }
        for duty in listed
    )
    columns = ("subject", "event", "type", "obtained_at", "inform_by", "reason", "days_left")
    show(rows, as_json=as_json, title="People to be informed", columns=columns)


@provenance.command()
@click.argument("subject")
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default="nl",
    show_default=True,
    help="Its language.",
)
def notice(subject: str, language: Language) -> None:
    """Print what SUBJECT has to be informed of, about all data that was obtained (GDPR 14(1) and (2)).

    Printing it does not count as telling: publish the event that reports it once it is sent.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            events = load_uninformed(connection, subject, policy)
            confirmed = confirmed_rules(connection, policy)
    say(render_provenance(policy, subject, events, language, confirmed).removesuffix("\n"))
