"""`termijn settings`: list every setting and where its value came from."""

from __future__ import annotations

import click

from services.app import settings_loader
from services.app.cli.options import json_option, show


@click.command("settings")
@json_option
def settings_(as_json: bool) -> None:
    """List every setting with its value, its source and its meaning."""
    rows = (
        {
            "variable": setting.variable,
            "key": setting.key,
            "value": setting.value,
            "from": setting.source,
            "meaning": setting.meaning,
        }
        for setting in settings_loader.list_settings()
    )
    columns = ("variable", "key", "value", "from", "meaning")
    show(rows, as_json=as_json, title="Settings", columns=columns)
