"""The command `termijn` with everything under it."""

from __future__ import annotations

import sys

import click

from schemas.errors import TermijnError
from services.cli import looking


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="termijn")
def termijn() -> None:
    """Keeps the terms that a privacy statement promises: from business event to proven erasure."""


for command in (looking.explain, looking.simulate):
    termijn.add_command(command)


def main() -> None:
    """Run `termijn`; a failure that it knows is one line on stderr and exit code 1."""
    try:
        termijn(standalone_mode=True)
    except TermijnError as cause:
        click.echo(f"termijn: {cause}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
