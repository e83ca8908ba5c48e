"""`termijn policy statement`: the retention section of a privacy statement, from a policy."""

from __future__ import annotations

from pathlib import Path

import click

from services.app.cli.output import say
from services.app.cli.policy_source import file_argument, format_option, ledger_option, read_policy
from services.policy.documents.document import DocumentFormat, write_document
from services.policy.documents.statement import statement_document
from services.policy.term_wording import LANGUAGES, Language


@click.command()
@file_argument
@ledger_option
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default="nl",
    show_default=True,
    help="Of the sentences, and of the titles where the policy has them.",
)
@format_option
def statement(
    file: Path | None, from_ledger: bool, language: Language, format_: DocumentFormat
) -> None:
    """Print the retention section of a privacy statement, from FILE, by default the configured policy.

    With `--ledger` it states the terms that are enforced. Titles are those of `titles` in the language;
    without one, the title of the entry.
    """
    document = statement_document(read_policy(file, from_ledger=from_ledger), language)
    say(write_document(document, format_).removesuffix("\n"))
