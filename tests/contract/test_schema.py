"""The migrations make exactly the tables that the code works with, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from alembic import command as alembic
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid, select

from services.ledger import migrate, schema_version
from services.ledger.tables import (
    command,
    dead_letter,
    evidence_pending,
    message,
    metadata,
    parked_event,
)
from services.storage.database import Database, open_database
from services.storage.types import UtcDateTime

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A ledger without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    with closing(open_database(url)) as ledger:
        yield ledger


def test_the_migrations_make_the_tables(bare: Database) -> None:
    """After `migrate` the database does not differ from the code."""
    migrate.migrate(bare)
    with bare.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_file_is_the_last_migration(bare: Database) -> None:
    """Roles take the version that they need from the names of the files, without Alembic."""
    head = ScriptDirectory.from_config(migrate._alembic_config()).get_current_head()
    assert schema_version.latest_version() == head == "0021"


def test_migrating_twice_changes_nothing(bare: Database) -> None:
    """A second `migrate` is harmless, and the check of the schema passes."""
    migrate.migrate(bare)
    migrate.migrate(bare)
    schema_version.check_schema_version(bare)


def test_a_ledger_without_tables_is_refused(bare: Database) -> None:
    """A role that starts before `migrate` reports the command to run."""
    with pytest.raises(schema_version.SchemaMismatch, match="termijn ledger migrate"):
        schema_version.check_schema_version(bare)


def test_commands_from_before_the_evidence_are_added_to_it(bare: Database) -> None:
    """A migrated ledger has its commands in the evidence, marked as written later."""
    configuration = migrate._alembic_config()
    with bare.transaction() as connection:
        configuration.attributes["connection"] = connection
        alembic.upgrade(configuration, "0005")
        for number, state, settled in ((1, "erased", NOW), (2, "sent", None)):
            connection.execute(
                command.insert(),
                {
                    **dict.fromkeys(("system", "subject", "action", "reason", "cause"), "x"),
                    **dict.fromkeys(("rules", "purposes"), "[]"),
                    **dict.fromkeys(("due_at", "created_at"), NOW),
                    **dict.fromkeys(("epoch", "seq", "attempt"), 1),
                    "command_id": UUID(int=number),
                    "names_subject": True,
                    "policy_version": "1",
                    "state": state,
                    "settled_at": settled,
                },
            )
    migrate.migrate(bare)
    with bare.transaction() as connection:
        rows = connection.execute(select(evidence_pending).order_by("pending_id")).all()
    later = {"written_later": True, "system": "x", "action": "x", "commands": 1}
    assert [(row.kind, json.loads(row.body), row.at) for row in rows] == [
        ("commanded", later, NOW),
        ("commanded", later, NOW),
        ("state", {"state": "erased", **later}, NOW),
    ]


def test_attempts_of_an_older_ledger_become_messages(bare: Database) -> None:
    """Each attempt is a message of one command; what is settled is added to the evidence of messages."""
    configuration = migrate._alembic_config()
    first, second = UUID(int=1), UUID(int=2)
    with bare.transaction() as connection:
        configuration.attributes["connection"] = connection
        alembic.upgrade(configuration, "0015")
        for identity, attempts in ((first, 2), (second, 1)):
            connection.execute(
                command.insert(),
                {
                    **dict.fromkeys(("system", "subject", "action", "reason", "cause"), "x"),
                    **dict.fromkeys(("rules", "purposes"), "[]"),
                    **dict.fromkeys(("due_at", "created_at"), NOW),
                    **dict.fromkeys(("epoch", "seq"), 1),
                    "attempt": attempts,
                    "command_id": identity,
                    "names_subject": True,
                    "policy_version": "1",
                    "state": "erased" if attempts == 1 else "sent",
                    "settled_at": NOW if attempts == 1 else None,
                },
            )
        attempts_table = Table(
            "attempt",
            MetaData(),
            Column("command_id", Uuid),
            Column("at", UtcDateTime),
            *(Column(name, Integer) for name in ("attempt", "partition", "offset")),
            Column("topic", Text),
        )
        for offset, (identity, number) in enumerate(((first, 1), (second, 1), (first, 2))):
            connection.execute(
                attempts_table.insert(),
                {
                    **{"command_id": identity, "attempt": number, "topic": "t", "partition": 0},
                    **{"at": NOW + timedelta(hours=offset), "offset": offset},
                },
            )
    migrate.migrate(bare)
    with bare.transaction() as connection:
        messages = connection.execute(select(message).order_by("message_id")).all()
        commands = connection.execute(select(command).order_by("command_id")).all()
    assert [(row.offset, row.commands, row.system) for row in messages] == [
        (0, first.bytes, "x"),
        (1, second.bytes, "x"),
        (2, first.bytes, "x"),
    ]
    last_messages = [messages[2].message_id, messages[1].message_id]
    assert [row.message_id for row in commands] == last_messages
    assert [row.item for row in commands] == [0, 0]
    with bare.transaction() as connection:
        [pending] = connection.execute(select(evidence_pending)).all()
    assert (pending.kind, pending.message_id, pending.states) == ("state", last_messages[1], "e")


def test_older_dead_letters_block_what_their_topic_could_forbid(bare: Database) -> None:
    """It blocks by the fields that the recorder kept, else everything, until it is settled."""
    letters = [
        ("tagger", "privacy.hold-placed.v1", "", "parked"),
        ("tagger", "orders.order-placed.v1", "", "parked"),
        ("tagger", "privacy.hold-placed.v1", "", "discarded"),
        ("acknowledgements", "retention.acks.crm.v1", "", "parked"),
        ("recorder", "retention.tagged.v1", "ends too early", "parked"),
        (
            "recorder",
            "retention.tagged.v1",
            "id: another event of privacy.hold-placed.v1 has this identity and other content",
            "parked",
        ),
    ]
    configuration = migrate._alembic_config()
    with bare.transaction() as connection:
        configuration.attributes["connection"] = connection
        alembic.upgrade(configuration, "0007")
        for number, (role, topic, detail, state) in enumerate(letters):
            connection.execute(
                dead_letter.insert(),
                {
                    **dict.fromkeys(("partition", "offset"), number),
                    **dict.fromkeys(("timestamp", "at"), NOW),
                    **{"role": role, "topic": topic, "detail": detail, "state": state},
                    **{"reason": "x", "key_id": "k", "sealed": b"x"},
                    "dead_letter_id": UUID(int=number),
                },
            )
    migrate.migrate(bare)
    with bare.transaction() as connection:
        rows = connection.execute(select(parked_event).order_by("dead_letter_id")).all()
    assert [(row.dead_letter_id.int, row.event_type, row.subject, row.clocks) for row in rows] == [
        (0, "privacy.hold-placed", None, "{}"),
        (1, "orders.order-placed", None, "{}"),
        (4, None, None, "{}"),
        (5, "privacy.hold-placed", None, "{}"),
    ]
    assert [(row.topic, row.partition, row.offset) for row in rows][1] == (
        "orders.order-placed.v1",
        1,
        1,
    )


def test_acknowledgements_of_an_older_ledger_are_migrated(bare: Database) -> None:
    """Refused commands that may not be refused are repeated; grounds are with the commands."""
    configuration = migrate._alembic_config()
    answer = {"command_id": UUID(int=1), "attempt": 1, "status": "refused", "counts": "{}"}
    answer |= {"acknowledgement_id": "a1", "at": NOW, "received_at": NOW, "ground": "a duty"}
    former = Table(
        "acknowledgement",
        MetaData(),
        *(
            Column(name, Text)
            for name in ("acknowledgement_id", "system", "status", "counts", "ground")
        ),
        *(Column(name, UtcDateTime) for name in ("at", "received_at")),
        Column("command_id", Uuid),
        Column("attempt", Integer),
    )
    with bare.transaction() as connection:
        configuration.attributes["connection"] = connection
        alembic.upgrade(configuration, "0008")
        for number, escalated in ((1, NOW), (2, None)):
            connection.execute(
                command.insert(),
                {
                    **dict.fromkeys(("system", "subject", "action", "reason", "cause"), "x"),
                    **dict.fromkeys(("rules", "purposes"), "[]"),
                    **dict.fromkeys(("due_at", "created_at", "settled_at"), NOW),
                    **dict.fromkeys(("epoch", "seq", "attempt"), 1),
                    "command_id": UUID(int=number),
                    "names_subject": True,
                    "policy_version": "1",
                    "state": "refused",
                    "escalated_at": escalated,
                },
            )
        connection.execute(former.insert(), {**answer, "system": "orders"})
    migrate.migrate(bare)
    with bare.transaction() as connection:
        query = select(command.c.next_attempt_at, command.c.settled_at, command.c.ground)
        query = query.order_by("command_id")
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [(NOW, None, "a duty"), (None, NOW, None)]
