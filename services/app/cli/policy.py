"""`termijn policy`: check and compare policy files, activate one, and show those that were active."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from schemas.schema_files import load as load_schemas
from services.app.cli.options import json_option, show
from services.app.cli.output import say
from services.app.cli.policy_activation import activate, cancel_scheduled
from services.app.cli.policy_cases import test
from services.app.cli.policy_changes import diff
from services.app.cli.policy_concept import concept
from services.app.cli.policy_confirmations import confirm, derived
from services.app.cli.policy_new import new
from services.app.cli.policy_register import register
from services.app.cli.policy_schemas import report_differences, schemas
from services.app.cli.policy_source import confirmed_rules, ledger_option, read_policy
from services.app.cli.policy_statement import statement
from services.app.cli.policy_versions import list_, show_version
from services.policy.editor_schema import cases_schema, policy_schema
from services.policy.lint import lint as lint_policy


@click.group()
def policy() -> None:
    """Check and compare policy files, and activate one."""


for command in (
    *(activate, cancel_scheduled, concept, confirm, derived, diff, list_),
    *(new, register, schemas, show_version, statement, test),
):
    policy.add_command(command)


@policy.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--schemas",
    "directories",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="Also compare the fields of the policy with the Avro schemas in DIR; once for each.",
)
@ledger_option
@json_option
def lint(file: Path | None, directories: Sequence[Path], from_ledger: bool, as_json: bool) -> None:
    """Check FILE (by default the configured policy) and list what a privacy officer should look at.

    `-` is standard input. With `--schemas` the exit code is 1 if a field does not fit its schema. With
    `--ledger` it also shows which derived terms are confirmed.
    """
    the_policy = read_policy(file, from_ledger=from_ledger)
    confirmed = confirmed_rules(the_policy) if from_ledger else None
    remarks = lint_policy(the_policy, confirmed)
    rows = [{"key": remark.key, "what": remark.message} for remark in remarks]
    outcome = "valid, with warnings" if rows else "valid, without warnings"
    title = f"{the_policy.policy} {the_policy.version}: {outcome}"
    if rows or as_json:
        show(rows, as_json=as_json, title=title, columns=("key", "what"))
    else:
        say(title)
    if directories:
        report_differences(the_policy, load_schemas(*directories), what=str(file or "policy"))


@policy.command()
@click.option("--cases", is_flag=True, help="That of a file of cases, for `termijn policy test`.")
def schema(cases: bool) -> None:
    """Print the JSON Schema of a policy file, for editors.

    An editor with the YAML language server checks a file against it whose first line is
    `# yaml-language-server: $schema=FILE`, with the path of what this prints.
    """
    document = cases_schema() if cases else policy_schema()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
