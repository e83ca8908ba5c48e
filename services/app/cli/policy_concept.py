"""`termijn policy concept`: the deletion concept, from a policy."""

from __future__ import annotations

from pathlib import Path

import click

from services.app.cli.output import say
from services.app.cli.policy_source import (
    file_argument,
    format_option,
    ledger_option,
    read_policy,
)
from services.policy.documents.concept import concept_document
from services.policy.documents.document import DocumentFormat, write_document


@click.command()
@file_argument
@ledger_option
@format_option
def concept(file: Path | None, from_ledger: bool, format_: DocumentFormat) -> None:
    """Print the deletion concept (DIN 66398, ISO 27555) of FILE, by default the configured policy.

    Standard terms by kind of start, kinds of data, rules, instructions for systems, backups, proof.
    """
    document = concept_document(read_policy(file, from_ledger=from_ledger))
    say(write_document(document, format_).removesuffix("\n"))
