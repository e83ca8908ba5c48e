"""The one exception of commands that check something."""

from __future__ import annotations

import click


class CheckFailed(click.ClickException):
    """What the command checked is not as it must be: the message is printed and the exit code is 1."""
