"""`termijn certificate`: prove what was erased of one person."""

from __future__ import annotations

from pathlib import Path

import click
from sqlalchemy import Connection, select

from services.app.cli.session import open_resources
from services.evidence.build_certificate import SubjectNotFound, build_certificate
from services.evidence.certificate_pdf import certificate_files
from services.ledger import tables
from services.ledger.facts import load_privacy_events
from services.policy.model import Policy
from services.policy.request_cases import Case, list_cases
from services.requests.package_files import write_new_directory
from services.requests.responder import PRIVACY_EVENT_PREFIXES
from services.requests.wording import LANGUAGES, Language
from services.storage.database import database_now


@click.command()
@click.argument("subject_or_request", metavar="SUBJECT|REQUEST")
@click.option(
    "--to",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new directory.",
)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default="nl",
    show_default=True,
    help="Of the PDF.",
)
def certificate(subject_or_request: str, directory: Path, language: Language) -> None:
    """Write the certificate of erasure of a SUBJECT (kind:id), or of one REQUEST for erasure.

    As JSON and PDF: for each recipient what was erased and how that is proven, what is retained and why,
    and the evidence. Erasures that are not proven are listed as outstanding and not certified.
    """
    with open_resources() as opened:
        ledger, pseudonymizer = opened.ledger(), opened.pseudonymizer()
        policy = opened.active_policy(ledger)
        with ledger.transaction() as connection:
            now = database_now(connection)
            case = _case(connection, subject_or_request, policy)
            subject = case.subject if case else subject_or_request
            document = build_certificate(connection, subject, policy, pseudonymizer, now, case)
    write_new_directory(directory, certificate_files(document, language))
    erased = sum(item.records for item in document.erased)
    outstanding = sum(item.records for item in document.outstanding)
    click.echo(f"{directory}: {erased} records proven in {len(document.recipients)} systems")
    if outstanding:
        click.echo(f"{outstanding} records are outstanding and not certified", err=True)


def _case(connection: Connection, subject_or_request: str, policy: Policy) -> Case | None:
    """Return the request with this id; None if it is a subject."""
    column = tables.record.c
    query = select(column.record_id).where(column.subject == subject_or_request).limit(1)
    if connection.execute(query).first() is not None:
        return None
    matching = [
        case
        for case in list_cases(
            load_privacy_events(connection, PRIVACY_EVENT_PREFIXES, policy), policy
        )
        if case.request == subject_or_request and case.right == "erasure"
    ]
    if len({case.subject for case in matching}) > 1:
        raise click.UsageError(
            f"{subject_or_request}: several subjects have a request with this id; give the subject instead"
        )
    if not matching:
        raise SubjectNotFound(subject_or_request)
    return matching[0]
