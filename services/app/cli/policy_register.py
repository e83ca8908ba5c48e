"""`termijn policy register`: the record of processing activities, from a policy."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

import click

from services.app.cli.output import say
from services.app.cli.policy_source import file_argument, ledger_option, read_policy
from services.policy.documents.document import FORMATS, DocumentFormat, write_document
from services.policy.documents.register import (
    REGISTER_COLUMNS,
    register_cells,
    register_document,
    register_rows,
)
from services.policy.model import Policy


@click.command()
@file_argument
@ledger_option
@click.option(
    "--format",
    "format_",
    type=click.Choice((*FORMATS, "csv")),
    default=FORMATS[0],
    show_default=True,
    help="CSV has one row for each purpose, legal basis and rule.",
)
def register(
    file: Path | None, from_ledger: bool, format_: DocumentFormat | Literal["csv"]
) -> None:
    """Print the record of processing activities (GDPR 30) of FILE, by default the configured policy.

    `-` is standard input. The record has what the policy states, and no data of subjects.
    """
    policy = read_policy(file, from_ledger=from_ledger)
    if format_ == "csv":
        text = _csv(policy)
    else:
        text = next(
            write_document(register_document(policy), known)
            for known in FORMATS
            if known == format_
        )
    say(text.removesuffix("\n"))


def _csv(policy: Policy) -> str:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(REGISTER_COLUMNS)
    writer.writerows(map(register_cells, register_rows(policy)))
    return lines.getvalue()
