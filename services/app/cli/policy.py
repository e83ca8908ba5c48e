"""`termijn policy`: check a policy file, and see what it leaves to judgement."""

from __future__ import annotations

import json
from pathlib import Path

import click

from services.app import settings
from services.app.cli.options import show
from services.events.event_file import open_bytes
from services.policy.lint import lint as lint_policy
from services.policy.loader import json_schema, load, load_bytes
from services.policy.model import Policy


@click.group()
def policy() -> None:
    """Check policy files, and make one the active one."""


@policy.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def lint(file: Path | None, as_json: bool) -> None:
    """Check FILE (the shipped policy unless given) and list what wants a privacy officer's eye.

    `-` is standard input.
    """
    the_policy = _standard_input() if str(file) == "-" else load(file or _of_the_settings())
    rows = ({"key": remark.key, "what": remark.what} for remark in lint_policy(the_policy))
    title = f"{the_policy.policy} {the_policy.version}: sound, and to be looked at"
    show(rows, as_json=as_json, title=title, columns=("key", "what"))


def _standard_input() -> Policy:
    with open_bytes(Path("-")) as file:
        return load_bytes(file.read(), "-")


def _of_the_settings() -> Path | None:
    return settings.load().storage.policy


@policy.command()
def schema() -> None:
    """Print the JSON Schema of a policy file, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))
