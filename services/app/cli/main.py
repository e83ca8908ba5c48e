"""The command `termijn` with everything under it."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from dataclasses import dataclass

import click
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import TermijnError
from services.app.cli.lazy_group import LazyGroup
from services.app.cli.output import say
from services.storage.database import describe_error

UNEXPECTED = 70
"""The exit code of an internal error, as in sysexits.h; any other failure is 1."""


@dataclass(slots=True)
class _Invocation:
    """The command that was invoked, for the message of an unexpected error."""

    command: str = ""
    debug: bool = False


_COMMANDS = {
    "acknowledgements": "run.acknowledgements",
    "agent": "agent.agent",
    "backfill": "backfill.backfill",
    "certificate": "certificate.certificate",
    "commands": "commands.commands",
    "conflicts": "conflicts.conflicts",
    "dead-letters": "dead_letters.dead_letters_",
    "deleter": "run.deleter",
    "deploy": "deploy.deploy",
    "doctor": "doctor.doctor",
    "drain": "pause.drain",
    "evidence": "evidence.evidence",
    "explain": "explain.explain",
    "gaps": "gaps.gaps",
    "holds": "requests.holds",
    "keys": "keys.keys",
    "ledger": "ledger.ledger",
    "monitoring": "monitoring.monitoring",
    "pause": "pause.pause",
    "policy": "policy.policy",
    "provenance": "provenance.provenance",
    "publish": "publish.publish",
    "recorder": "run.recorder",
    "requests": "requests.requests",
    "resume": "pause.resume",
    "rights": "run.rights",
    "sample-systems": "run.sample_systems",
    "schemas": "schemas.schemas",
    "settings": "settings.settings_",
    "simulate": "explain.simulate",
    "status": "status.status",
    "sweep": "sweep.sweep",
    "tagger": "run.tagger",
    "topics": "topics.topics",
    "up": "up.up",
    "vault": "vault.vault",
    "watch": "run.watch",
}
"""Each command, and the module and function of it in this folder."""


@click.group(
    cls=LazyGroup,
    paths={name: f"services.app.cli.{path}" for name, path in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="termijn")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.pass_context
def termijn(context: click.Context, debug: bool) -> None:
    """Erases personal data on time, in every system that holds it, and proves it."""
    if isinstance(context.obj, _Invocation):
        context.obj.command = context.invoked_subcommand or ""
        context.obj.debug = debug


def main() -> None:
    """Run `termijn`; a failure is one line on stderr and exit code 1, an internal error 70."""
    invocation = _Invocation()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # of a terminal that does not write all of Unicode
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_text(sys.argv[1:])
        sys.exit(termijn(standalone_mode=False, obj=invocation))
    except click.exceptions.NoArgsIsHelpError as help_:
        help_.show()
        sys.exit(2)
    except click.ClickException as cause:
        why = cause.format_message()
    except click.Abort:
        why = "stopped"
    except TermijnError as cause:
        why = str(cause)
    except SQLAlchemyError as cause:
        why = f"ledger: {describe_error(cause)}"
    except BrokenPipeError:
        sys.stderr.close()  # the reader has closed the pipe, which is not an error
        sys.exit(1)
    except OSError as cause:
        why = str(cause)
    except Exception as cause:
        if invocation.debug:
            raise
        say(f"termijn: {invocation.command}: {_describe_unexpected(cause)}", err=True)
        sys.exit(UNEXPECTED)
    say(f"termijn: {why}", err=True)
    sys.exit(1)


def _check_text(arguments: list[str]) -> None:
    """Reject an argument that is not UTF-8: neither the ledger nor a log could store it."""
    for number, argument in enumerate(arguments, start=1):
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise click.UsageError(f"argument {number} is not UTF-8")


def _describe_unexpected(cause: Exception) -> str:
    """Describe an internal error; its traceback may hold personal data and goes to a private file."""
    message = f"an unexpected error ({type(cause).__name__}), which is a bug in Termijn;"
    try:
        number, path = tempfile.mkstemp(prefix="termijn-", suffix=".txt")  # for its owner only
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exception(cause, file=file)
    except OSError:
        return f"{message} `termijn --debug` shows the traceback"
    return f"{message} {path} has the traceback"
