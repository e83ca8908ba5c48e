"""`termijn evidence`: export and verify the log of decisions, commands and proofs."""

from __future__ import annotations

import os
from pathlib import Path

import click
from sqlalchemy import Connection

from services.app.cli.options import format_instant, operator_option, reason_option
from services.app.cli.session import open_resources
from services.crypto.key_directory import KeyDirectory
from services.events.event_file import open_bytes
from services.evidence.export import export_lines, latest_head
from services.evidence.seal_entries import rekey as go_on
from services.evidence.self_check import check_ledger
from services.evidence.verify import parse_saved_head, verify_lines
from services.evidence.verify_certificate import verify_certificate
from services.storage.database import database_now
from services.storage.operator_log import log_operator_action

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_keys_option = click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A directory with the deleter.jwks that you trust; its keys must have signed the last head.",
)


@click.group()
def evidence() -> None:
    """The evidence log: chained, signed, and without personal data."""


@evidence.command()
@click.argument("file", type=_FILE)
def export(file: Path) -> None:
    """Write the log up to its last signed head into a new FILE.

    One JSON object a line: public keys, entries, signed heads. `termijn evidence verify` needs no database
    to verify it.
    """
    with open_resources() as opened:
        ledger = opened.ledger()
        with ledger.transaction() as connection:
            latest_head(connection)  # if there is none, no file is created
        with file.open("x", encoding="utf-8", newline="\n") as target:
            count = 0
            for line in export_lines(ledger):
                target.write(f"{line}\n")
                count += 1
            target.flush()
            os.fsync(target.fileno())
    click.echo(f"{file}: {count} lines")


@evidence.command()
@click.argument("file", type=_FILE, required=False)
@_keys_option
@click.option(
    "--head",
    "saved",
    type=_FILE,
    help="A head that `termijn evidence head` printed earlier; the log must contain it.",
)
def verify(file: Path | None, keys: Path | None, saved: Path | None) -> None:
    """Verify the exported log in FILE, or without FILE the ledger's own.

    `-` is standard input. The first invalid line is reported, and the exit code is 1.
    """
    trusted = KeyDirectory(path=keys).public()() if keys else None
    head = None
    if saved is not None:
        with open_bytes(saved) as from_:
            head = parse_saved_head(from_.read().decode("utf-8", "replace"))
    if file is not None:
        with open_bytes(file) as from_:
            verified = verify_lines(from_, trusted, head)
    else:
        with open_resources() as opened:
            verified = check_ledger(opened.ledger(), trusted, head)
    click.echo(
        f"{verified.entries} entries are valid, up to {format_instant(verified.last.at)}:"
        f" {verified.heads} heads are signed, the last by {verified.key_id}"
    )
    if trusted is None and head is None:
        click.echo(
            "the keys are from the log itself: verify with --keys or --head whether they are genuine",
            err=True,
        )


@evidence.command("verify-certificate")
@click.argument("file", type=_FILE)
@_keys_option
def verify_certificate_(file: Path, keys: Path | None) -> None:
    """Verify the certificate.json of a certificate of erasure in FILE, without the log or a ledger.

    Of each erased line it proves the system, the action, how that is proven and when. `-` is standard
    input. The first thing that is wrong is reported, and the exit code is 1.
    """
    trusted = KeyDirectory(path=keys).public()() if keys else None
    with open_bytes(file) as from_:
        text = from_.read().decode("utf-8", "replace")
    verified = verify_certificate(text, trusted)
    click.echo(
        f"{verified.lines} lines of erased data are proven by {verified.entries} entries,"
        f" signed until {format_instant(verified.last_head_at)}"
    )
    if not verified.is_complete:
        click.echo("the certificate lists data as outstanding: that is not proven", err=True)
    if trusted is None:
        click.echo(
            "the keys are from the certificate itself: verify with --keys whether they are genuine",
            err=True,
        )


@evidence.command()
def head() -> None:
    """Print the last signed head as one line of JSON, to be stored elsewhere.

    `termijn evidence verify --head` then shows whether the log was truncated or rewritten.
    """
    with (
        open_resources() as opened,
        opened.ledger().transaction() as connection,
    ):
        click.echo(latest_head(connection).as_json_line())


@evidence.command()
@operator_option
@reason_option
def rekey(operator: str, reason: str) -> None:
    """Continue the log with a new evidence.key, after the old one was lost or destroyed.

    Without the old key the entries before can no longer be linked to a subject; they still verify.
    """
    with open_resources() as opened:

        def work(connection: Connection) -> None:
            at = database_now(connection)
            log_operator_action(
                connection, "evidence rekey", "log", operator=operator, reason=reason, now=at
            )
            go_on(connection)

        opened.ledger().run_in_transaction(work)
    click.echo("the next deleter that signs a head writes which key it uses from now on")
