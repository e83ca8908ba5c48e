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
from services.app.cli import (
    agent,
    backfill,
    certificate,
    commands,
    conflicts,
    dead_letters,
    deploy,
    doctor,
    evidence,
    explain,
    gaps,
    keys,
    ledger,
    monitoring,
    pause,
    policy,
    publish,
    requests,
    run,
    schemas,
    settings,
    status,
    sweep,
    topics,
    up,
    vault,
)
from services.app.cli.output import say
from services.storage.database import describe_error

UNEXPECTED = 70
"""The exit code of an internal error, as in sysexits.h; any other failure is 1."""


@dataclass(slots=True)
class _Invocation:
    """The command that was invoked, for the message of an unexpected error."""

    command: str = ""
    debug: bool = False


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="termijn")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.pass_context
def termijn(context: click.Context, debug: bool) -> None:
    """Erases personal data on time, in every system that holds it, and proves it."""
    if isinstance(context.obj, _Invocation):
        context.obj.command = context.invoked_subcommand or ""
        context.obj.debug = debug


for command in (
    publish.publish,
    explain.explain,
    explain.simulate,
    policy.policy,
    *run.roles,
    agent.agent,
    run.sample_systems,
    up.up,
    status.status,
    settings.settings_,
    ledger.ledger,
    requests.requests,
    requests.holds,
    gaps.gaps,
    conflicts.conflicts,
    commands.commands,
    dead_letters.dead_letters_,
    pause.pause,
    pause.drain,
    pause.resume,
    sweep.sweep,
    backfill.forecast,
    backfill.release,
    keys.keys,
    topics.topics,
    vault.vault,
    evidence.evidence,
    certificate.certificate,
    doctor.doctor,
    schemas.schemas,
    deploy.deploy,
    monitoring.monitoring,
):
    termijn.add_command(command)


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
    what = f"an unexpected error ({type(cause).__name__}), which is a bug in Termijn;"
    try:
        number, path = tempfile.mkstemp(prefix="termijn-", suffix=".txt")  # for its owner only
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            traceback.print_exception(cause, file=file)
    except OSError:
        return f"{what} `termijn --debug` shows the traceback"
    return f"{what} {path} has the traceback"
