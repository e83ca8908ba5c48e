"""`termijn policy diff`: what another policy changes."""

from __future__ import annotations

from pathlib import Path

import click

from services.app.cli.options import json_option
from services.app.cli.output import say, say_json
from services.policy.comparison import compare_policies
from services.policy.loader import load

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@json_option
def diff(old: Path, new: Path, as_json: bool) -> None:
    """List every difference between the policy files OLD and NEW: entries and keys, with both values."""
    before, after = load(old), load(new)
    changes = compare_policies(before, after)
    if as_json:
        for change in changes:
            say_json(change.as_json())
        return
    say(f"{before.policy} {before.version} -> {after.policy} {after.version}")
    for change in changes:
        say(f"  {change.in_words()}")
    if not changes:
        say("  no difference")
