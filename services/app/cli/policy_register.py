"""`termijn policy register`: the record of processing activities, from a policy."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import click
from click.core import ParameterSource

from services.app.cli.output import say
from services.app.cli.policy_source import (
    confirmed_rules,
    file_argument,
    ledger_option,
    read_policy,
)
from services.policy.documents.document import FORMATS, DocumentFormat, write_document
from services.policy.documents.linked_register import linked_register
from services.policy.documents.register import (
    REGISTER_COLUMNS,
    RegisterRow,
    register_cells,
    register_document,
    register_rows,
)


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
@click.option(
    "--dpv", "is_linked", is_flag=True, help="As linked data: JSON-LD in terms of DPV 2.3."
)
@click.pass_context
def register(
    context: click.Context,
    file: Path | None,
    from_ledger: bool,
    format_: DocumentFormat | Literal["csv"],
    is_linked: bool,
) -> None:
    """Print the record of processing activities (GDPR 30) of FILE, by default the configured policy.

    `-` is standard input. The record has what the policy states, and no data of subjects. With `--ledger`
    it also states which derived terms are confirmed.
    """
    is_given = context.get_parameter_source("format_") is ParameterSource.COMMANDLINE
    if is_linked and is_given:
        raise click.UsageError(
            f"--dpv: it is a format of its own, got --format {format_} too; drop one"
        )
    policy = read_policy(file, from_ledger=from_ledger)
    confirmed = confirmed_rules(policy) if from_ledger else None
    if is_linked:
        text = json.dumps(linked_register(policy, confirmed), indent=2, ensure_ascii=False)
    elif format_ == "csv":
        text = _csv(register_rows(policy, confirmed))
    else:
        text = write_document(register_document(policy, confirmed), format_)
    say(text.removesuffix("\n"))


def _csv(rows: Iterable[RegisterRow]) -> str:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(REGISTER_COLUMNS)
    writer.writerows(map(register_cells, rows))
    return lines.getvalue()
