"""`termijn requests` and `termijn holds`: requests of data subjects, and legal holds."""

from __future__ import annotations

from pathlib import Path

import click
from sqlalchemy import Connection, and_, or_, select

from services.app import settings_loader
from services.app.cli.options import format_instant, json_option, show
from services.app.cli.output import say
from services.app.cli.session import open_resources
from services.app.wiring import resources
from services.ledger import tables
from services.ledger.command_state import CARRIED_OUT
from services.ledger.facts import load_privacy_events
from services.policy.actions import VERIFIED
from services.policy.request_cases import list_cases
from services.requests import letters
from services.requests.build_report import build_report
from services.requests.delivery import PackageDelivery, PackageIncomplete, case_progress, find_case
from services.requests.delivery import received_at as received
from services.requests.legal_holds import list_open_holds
from services.requests.letters import LANGUAGES, Language, Notice
from services.requests.package import build_package
from services.requests.package_files import write_new_directory
from services.requests.responder import PRIVACY_EVENT_PREFIXES, load_cases
from services.storage.database import database_now

_SUBJECT = click.argument("subject")
_REQUEST = click.argument("request")
_LANGUAGE = click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default="nl",
    show_default=True,
    help="Its language.",
)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group()
def requests() -> None:
    """Requests of data subjects (GDPR 15-18, 20)."""


@requests.command("list")
@click.option("--all", "all_", is_flag=True, help="Also requests that are answered or refused.")
@json_option
def list_requests(all_: bool, as_json: bool) -> None:
    """List the open requests, the most urgent first."""
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            now = database_now(connection)
            listed = [
                case_progress(connection, case, policy, now)
                for case in list_cases(
                    load_privacy_events(connection, PRIVACY_EVENT_PREFIXES, policy), policy
                )
                if all_ or case.is_open
            ]
    rows = (
        {
            "request": case.request,
            "subject": case.subject,
            "right": case.right,
            "state": case.state,
            "received_at": format_instant(case.received_at),
            "verified_at": format_instant(case.verified_at),
            "extended": case.extended,
            "answer_by": format_instant(case.answer_by),
            "days_left": (case.answer_by - now).days if case.is_open else None,
            "closed_at": format_instant(case.closed_at),
            "joined_to": case.merged_into,
        }
        for case in listed
    )
    columns = ("request", "subject", "right", "state", "received_at", "answer_by", "days_left")
    show(rows, as_json=as_json, title="Requests", columns=columns)


@requests.command()
@_SUBJECT
@_REQUEST
@_LANGUAGE
def letter(subject: str, request: str, language: Language) -> None:
    """Print the answer to a request as of now, as a letter."""
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            case = find_case(connection, subject, request, policy)
            if case.verified_at is None and case.state != "refused":
                raise PackageIncomplete(
                    request, "the person's identity is not verified, so there is no answer to print"
                )
            report = build_report(connection, case, policy, database_now(connection))
    say(letters.render_letter(report, language))


@requests.command()
@click.argument("kind", type=click.Choice(letters.NOTICES))
@_SUBJECT
@click.argument("reference")
@_LANGUAGE
def notice(kind: Notice, subject: str, reference: str, language: Language) -> None:
    """Print a notice to a person about a request, objection or complaint: receipt, extension, decision.

    REFERENCE is the id of the request, the objection or the complaint.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            received_at = received(connection, subject, reference, policy)
            open_cases = [case for case in load_cases(connection, subject, policy) if case.is_open]
    limits = {case.request: case.answer_by for case in open_cases}
    say(
        letters.render_notice(
            policy,
            kind,
            language,
            reference=reference,
            received_at=received_at,
            answer_by=limits.get(reference),
        )
    )


@requests.command()
@_SUBJECT
@_REQUEST
@click.option("--to", "directory", type=_DIRECTORY, required=True, help="A new directory.")
@_LANGUAGE
@click.option(
    "--incomplete",
    is_flag=True,
    help="Also while disclosures are missing; the package names the systems.",
)
def deliver(
    subject: str, request: str, directory: Path, language: Language, incomplete: bool
) -> None:
    """Write the package that answers a request for access or portability, and erase the collected data.

    The request is then answered, and its collected disclosures can no longer be decrypted.
    """
    chosen = settings_loader.load()
    with resources.open_resources(chosen) as opened:
        ledger = opened.ledger()
        package_delivery = PackageDelivery(
            ledger=ledger, policy=opened.active_policy(ledger), keys=opened.request_keys()
        )
        schemas = opened.schemas(package_delivery.policy)
        delivered = package_delivery.deliver(
            subject,
            request,
            lambda report: write_new_directory(directory, build_package(report, language, schemas)),
            incomplete=incomplete,
        )
    say(f"{directory}: {len(delivered.disclosed)} records of {len(delivered.parts)} systems' parts")


@click.group()
def holds() -> None:
    """Legal holds: data that must not be erased for now (GDPR 17(3)(e))."""


@holds.command("list")
@json_option
def list_holds(as_json: bool) -> None:
    """List the open legal holds, with the systems that may have erased before the hold reached them."""
    with open_resources() as opened:
        ledger = opened.ledger()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            listed = [
                (subject, hold, _systems_already_erased(connection, subject))
                for subject, hold in list_open_holds(connection, policy)
            ]
    rows = (
        {
            "subject": subject,
            "since": format_instant(hold.start),
            "records": list(hold.records) if hold.records is not None else None,
            "too_late_for": too_late,
        }
        for subject, hold, too_late in listed
    )
    columns = ("subject", "since", "records", "too_late_for")
    show(rows, as_json=as_json, title="Holds", columns=columns)


def _systems_already_erased(connection: Connection, subject: str) -> list[str]:
    """Return the systems whose command was recalled, but that have carried it out or may have.

    A system may have if it did not confirm the recall: it refused, failed, or is silent for too long.
    """
    original, recall = tables.command.alias("original"), tables.command.alias("recall")
    unheeded = and_(
        original.c.state.in_(("recalling", "closed")),
        or_(
            recall.c.outcome.not_in(("recalled", "done")),
            and_(recall.c.outcome.is_(None), recall.c.escalated_at.is_not(None)),
        ),
    )
    query = (
        select(original.c.system)
        .join(recall, recall.c.supersedes == original.c.command_id)
        .where(
            original.c.subject == subject,
            original.c.action.in_(VERIFIED),
            or_(original.c.state.in_(CARRIED_OUT), unheeded),
            recall.c.action == "recall",
        )
        .distinct()
        .order_by(original.c.system)
    )
    return list(connection.execute(query).scalars())
