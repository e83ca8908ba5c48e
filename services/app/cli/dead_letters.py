"""`termijn dead-letters`: list, replay or discard messages that could not be processed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import click
from sqlalchemy import Connection

from services.app.cli.options import (
    format_instant,
    json_option,
    operator_option,
    reason_option,
    show,
)
from services.app.cli.session import open_resources, run_in_transaction
from services.events.dead_letter_replay import replay_headers
from services.kafka.producer import OutgoingMessage
from services.ledger import blind_spots
from services.storage import dead_letters
from services.storage.database import database_now


@click.group("dead-letters")
def dead_letters_() -> None:
    """Messages that could not be processed; they stay parked until replayed or discarded."""


@dead_letters_.command("list")
@click.option("--reason", help="Only dead letters with this reason.")
@json_option
def list_dead_letters(reason: str | None, as_json: bool) -> None:
    """List the parked dead letters, oldest first.

    `keeps_back` is which erasures wait for it: all, those that depend on a kind of clock (`clocks`), or
    those of one subject or clock (`narrow`).
    """
    with open_resources() as opened:
        the_ledger = opened.ledger()
        policy = opened.active_policy(the_ledger)
        with the_ledger.transaction() as connection:
            letters = dead_letters.list_parked(connection, reason=reason)
            reaches = blind_spots.reach_by_dead_letter(connection, policy)
    rows = (
        {
            "id": str(letter.dead_letter_id),
            "role": letter.role,
            "reason": letter.reason,
            "detail": letter.detail,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "at": format_instant(letter.at),
            "keeps_back": reaches.get(letter.dead_letter_id),
        }
        for letter in letters
    )
    columns = ("id", "reason", "detail", "topic", "partition", "offset", "at", "keeps_back")
    show(rows, as_json=as_json, title="Parked dead letters", columns=columns)


@dead_letters_.command("replay")
@click.argument("ids", type=click.UUID, nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All parked dead letters.")
@operator_option
@click.option("--reason", default="replayed", help="Why; it is logged.")
def replay(ids: tuple[UUID, ...], all_: bool, operator: str, reason: str) -> None:
    """Write the original messages to their topics again, with their first arrival time."""
    _ids_or_all(ids, all_)
    with open_resources() as opened:
        the_ledger, cipher, sender = (
            opened.ledger(),
            opened.dead_letter_cipher(),
            opened.kafka_client().open_producer(),
        )

        def work(connection: Connection) -> int:
            now = database_now(connection)
            letters = dead_letters.list_parked(connection, ids)
            messages = []
            for letter in letters:
                original = cipher.decrypt(letter.sealed, letter.place, letter.key_id)
                messages.append(
                    OutgoingMessage(
                        topic=letter.topic,
                        key=original.key,
                        value=original.value,
                        headers=replay_headers(letter, original, cipher),
                    )
                )
                dead_letters.close(
                    connection, letter, "replayed", operator=operator, reason=reason, now=now
                )
            sender.send(messages)
            return len(messages)

        click.echo(f"replayed {the_ledger.run_in_transaction(work)}")


@dead_letters_.command("discard")
@click.argument("ids", type=click.UUID, nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All parked dead letters.")
@operator_option
@reason_option
def discard(ids: tuple[UUID, ...], all_: bool, operator: str, reason: str) -> None:
    """Give up dead letters: their content is erased and never recorded; the operator is responsible."""
    _ids_or_all(ids, all_)

    def work(connection: Connection, now: datetime) -> int:
        letters = dead_letters.list_parked(connection, ids)
        for letter in letters:
            dead_letters.close(
                connection, letter, "discarded", operator=operator, reason=reason, now=now
            )
        return len(letters)

    click.echo(f"discarded {run_in_transaction(work)}")


def _ids_or_all(ids: tuple[UUID, ...], all_: bool) -> None:
    if bool(ids) == all_:
        raise click.UsageError("give ids of dead letters, or --all")
