"""The database's roles on a real PostgreSQL: each has the rights that it needs, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from threading import Event
from time import sleep

import pytest
from alembic import command as alembic
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import ProgrammingError

from services.app import settings_loader
from services.app.wiring import resources
from services.ledger import active_policy, granting, migrate, schema_version
from services.ledger.grants import GRANTS, Privilege, needed_privileges, table_columns
from services.ledger.schema_version import MissingPrivileges
from services.ledger.tables import metadata
from services.storage.database import Database, open_database
from services.storage.database_roles import ALEMBIC, Role, group_name
from tests.contract.ledgers import run_as_role
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.postgres
KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE")
REFUSED = "42501"
ADMINISTRATOR = "CREATE ROLE maker LOGIN CREATEROLE"


@pytest.fixture(scope="module")
def granted(postgres: Callable[[], str]) -> Iterator[Database]:
    """A ledger that was migrated by a superuser."""
    with closing(open_database(postgres())) as ledger:
        assert migrate.migrate(ledger) == ()
        yield ledger


def execute(ledger: Database, *statements: str) -> None:
    """Execute a statement as the login of the ledger."""
    with ledger.transaction() as connection:
        for statement in statements:
            connection.execute(text(statement))


def as_login(url: str, name: str) -> str:
    """Return the same database with another login; the tests' server asks for no password."""
    return make_url(url).set(username=name).render_as_string(hide_password=False)


def url_of(ledger: Database) -> str:
    """Return the URL with which it was opened."""
    return ledger.engine.url.render_as_string(hide_password=False)


def is_granted(ledger: Database, role: Role, table: str, kind: str) -> bool:
    """Return PostgreSQL's own answer for a table or any of its columns, without Termijn's query."""
    function = "has_table_privilege" if kind == "DELETE" else "has_any_column_privilege"
    with ledger.transaction() as connection:
        query = text(f"SELECT {function}('{group_name(role)}', '{table}', '{kind}')")
        return bool(connection.execute(query).scalar_one())


def refusal(ledger: Database, role: Role, statement: str) -> str | None:
    """Return the code with which a role's statement is refused, or None."""

    def work(connection: Connection) -> None:
        connection.execute(text(statement))

    try:
        run_as_role(ledger, role, work)
    except ProgrammingError as cause:
        return str(getattr(cause.orig, "sqlstate", None))
    return None


def test_every_table_has_a_role_that_reads_or_writes_it() -> None:
    """A table that is new in the code and not in the grants would stop its role."""
    names = {table for grants in GRANTS.values() for table in grants}
    assert names == {*metadata.tables, ALEMBIC}


def test_every_column_in_the_grants_exists() -> None:
    """Only `ledger migrate` would refuse a misspelt column."""
    columns = table_columns()
    for role in GRANTS:
        for privilege in needed_privileges(role):
            assert not privilege.column or privilege.column in columns[privilege.table], (
                role,
                privilege,
            )


@pytest.mark.parametrize("role", GRANTS)
def test_a_database_role_may_do_what_the_table_of_grants_lists_and_no_more(
    granted: Database, role: Role
) -> None:
    """Every pair of table and right is checked as PostgreSQL itself judges it."""
    for table, kind in product([*metadata.tables, ALEMBIC], KINDS):
        grant = GRANTS[role].get(table)
        privileges = {
            "SELECT": bool(grant and grant.select),
            "INSERT": bool(grant and grant.insert),
            "UPDATE": bool(grant and grant.update),
            "DELETE": bool(grant and grant.delete),
        }
        assert is_granted(granted, role, table, kind) == privileges[kind], (table, kind)
    with granted.transaction() as connection:
        assert granting.held_privileges(connection, group_name(role)) == needed_privileges(role)


def statement_of(table: str, kind: str) -> str:
    """Return a statement that needs that right and changes nothing."""
    column = table_columns()[table][0]
    return {
        "SELECT": f'SELECT "{column}" FROM "{table}"',
        "INSERT": f'INSERT INTO "{table}" DEFAULT VALUES',
        "UPDATE": f'UPDATE "{table}" SET "{column}" = "{column}" WHERE false',
        "DELETE": f'DELETE FROM "{table}" WHERE false',
    }[kind]


@pytest.mark.parametrize("role", GRANTS)
def test_operations_that_are_not_granted_are_refused(granted: Database, role: Role) -> None:
    """Every right on a table of which the role has none is really tried."""
    tried = 0
    for table, kind in product([*metadata.tables, ALEMBIC], KINDS):
        if not is_granted(granted, role, table, kind):
            assert refusal(granted, role, statement_of(table, kind)) == REFUSED, (table, kind)
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("tagger", "INSERT INTO command DEFAULT VALUES"),
        ("tagger", "INSERT INTO evidence_pending DEFAULT VALUES"),
        ("tagger", "INSERT INTO active_policy DEFAULT VALUES"),
        ("tagger", "DELETE FROM record"),
        ("tagger", "DELETE FROM parked_event"),
        ("tagger", "SELECT sealed FROM dead_letter"),
        ("recorder", "UPDATE command SET action = 'erase'"),
        ("recorder", "UPDATE command SET attempt = 1"),
        ("recorder", "INSERT INTO command_record DEFAULT VALUES"),
        ("recorder", "DELETE FROM record"),
        ("recorder", "DELETE FROM act"),
        ("acknowledgements", "DELETE FROM record"),
        ("acknowledgements", "INSERT INTO command DEFAULT VALUES"),
        ("acknowledgements", "SELECT sealed FROM request_key"),
        ("acknowledgements", "UPDATE acknowledgement SET content = ''"),
        ("acknowledgements", "UPDATE message SET leaves = ''"),
        ("acknowledgements", "DELETE FROM message"),
        ("recorder", "INSERT INTO message DEFAULT VALUES"),
        ("operators", "UPDATE message SET leaves = ''"),
        ("rights", "INSERT INTO command DEFAULT VALUES"),
        ("rights", "DELETE FROM command"),
        ("deleter", "INSERT INTO acknowledgement DEFAULT VALUES"),
        ("deleter", "UPDATE evidence SET entry = ''"),
        ("deleter", "DELETE FROM evidence"),
        ("operators", "DELETE FROM operator_action"),
        ("operators", "UPDATE evidence SET entry = ''"),
        ("operators", "DELETE FROM record"),
        ("operators", "DROP TABLE record"),
    ],
)
def test_operations_that_a_role_must_never_do_are_refused(
    granted: Database, role: Role, statement: str
) -> None:
    """This list is written by hand, independent of the table of grants."""
    assert refusal(granted, role, statement) == REFUSED


@pytest.mark.parametrize("role", GRANTS)
def test_a_login_that_is_only_a_member_has_what_its_role_needs(
    granted: Database, role: Role
) -> None:
    """It passes the check at the start as its own role, and as no other."""
    execute(granted, f"CREATE ROLE login_{role} LOGIN NOINHERIT IN ROLE {group_name(role)}")
    url = as_login(url_of(granted), f"login_{role}")
    for other in GRANTS:
        with closing(open_database(url, other)) as ledger:
            if other == role:
                schema_version.check_schema_version(ledger, role)
                with ledger.transaction() as connection:
                    assert granting.current_role(connection) == group_name(role)
            else:
                with pytest.raises(
                    MissingPrivileges, match=f"GRANT {group_name(other)} TO login_{role}"
                ):
                    schema_version.check_schema_version(ledger, other)


def test_one_login_for_all_is_no_more_than_the_role_at_work(granted: Database) -> None:
    """This holds even for a superuser, and after a transaction that was rolled back."""
    with closing(open_database(url_of(granted), "tagger")) as ledger:
        schema_version.check_schema_version(ledger, "tagger")
        for _ in range(2):
            with (
                pytest.raises(ProgrammingError, match="permission denied"),
                ledger.transaction() as connection,
            ):
                connection.execute(text("DELETE FROM record"))


def test_a_ledger_without_the_grants_is_used_as_before(postgres: Callable[[], str]) -> None:
    """Another ledger of the cluster made the groups, and this one was not migrated since."""
    url = postgres()
    with closing(open_database(url)) as ledger:
        with ledger.transaction() as connection:
            configuration = migrate._alembic_config()
            configuration.attributes["connection"] = connection
            alembic.upgrade(configuration, "head")
        with closing(open_database(url, "tagger")) as tagger:
            schema_version.check_schema_version(tagger, "tagger")
            with tagger.transaction() as connection:
                assert granting.current_role(connection) == "termijn"
        assert migrate.migrate(ledger) == ()
        with closing(open_database(url, "tagger")) as tagger, tagger.transaction() as connection:
            assert granting.current_role(connection) == "termijn_tagger"


def test_other_grants_are_revoked(postgres: Callable[[], str]) -> None:
    """A version that needs fewer rights revokes the others."""
    with closing(open_database(postgres())) as ledger:
        migrate.migrate(ledger)
        execute(ledger, "GRANT DELETE, UPDATE ON record TO termijn_tagger")
        migrate.migrate(ledger)
        assert refusal(ledger, "tagger", "DELETE FROM record") == REFUSED
        with ledger.transaction() as connection:
            assert granting.held_privileges(connection, "termijn_tagger") == needed_privileges(
                "tagger"
            )


def test_a_lost_grant_is_reported_at_the_start(postgres: Callable[[], str]) -> None:
    """The error names the right, and migrating again fixes it."""
    url = postgres()
    with closing(open_database(url)) as ledger:
        migrate.migrate(ledger)
        execute(ledger, "REVOKE DELETE ON record FROM termijn_deleter")
        with closing(open_database(url, "deleter")) as deleter:
            with pytest.raises(
                MissingPrivileges, match="DELETE on record; run `termijn ledger migrate`"
            ):
                schema_version.check_schema_version(deleter, "deleter")
            with ledger.transaction() as connection:
                connection.execute(text("SET LOCAL ROLE termijn_deleter"))
                assert granting.missing_privileges(connection, "deleter") == [
                    Privilege("record", "DELETE")
                ]
            migrate.migrate(ledger)
            schema_version.check_schema_version(deleter, "deleter")


def test_an_owner_who_may_not_create_roles_can_migrate(postgres_server: PostgresServer) -> None:
    """The missing groups are reported; `ledger grants` prints how to make them; then migrating grants."""
    with closing(open_database(postgres_server.fresh_database())) as admin:
        execute(admin, "CREATE ROLE owner LOGIN", "GRANT CREATE ON SCHEMA public TO owner")
        url = as_login(url_of(admin), "owner")
        with closing(open_database(url)) as ledger:
            assert migrate.migrate(ledger) == tuple(group_name(role) for role in GRANTS)
        with closing(open_database(url, "recorder")) as recorder:
            schema_version.check_schema_version(recorder, "recorder")
        execute(admin, *map(granting.create_group_statement, GRANTS))
        with closing(open_database(url)) as ledger:
            assert migrate.migrate(ledger) == ()
            with ledger.transaction() as connection:
                assert granting.held_privileges(connection, "termijn_rights") == needed_privileges(
                    "rights"
                )
        for statement in (
            granted for role in GRANTS for granted in granting.grant_statements(role)
        ):
            execute(admin, statement)


def test_an_owner_that_may_make_roles_can_become_each(postgres_server: PostgresServer) -> None:
    """One login for all roles without being a superuser has only the rights of the role at work."""
    with closing(open_database(postgres_server.fresh_database())) as admin:
        execute(admin, ADMINISTRATOR, "GRANT CREATE ON SCHEMA public TO maker")
        url = as_login(url_of(admin), "maker")
        with closing(open_database(url)) as ledger:
            assert migrate.migrate(ledger) == ()
        with closing(open_database(url, "rights")) as rights:
            schema_version.check_schema_version(rights, "rights")
            with rights.transaction() as connection:
                assert granting.current_role(connection) == "termijn_rights"


def test_many_migrate_at_once(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Two processes migrate each of three ledgers while another process makes a group."""
    urls = [postgres_server.fresh_database() for _ in range(3)]
    with closing(open_database(postgres_server.fresh_database())) as admin, ExitStack() as stack:
        with admin.transaction() as connection:
            connection.execute(text("CREATE ROLE termijn_tagger NOLOGIN"))
            started = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-m", "services.app.cli", "ledger", "migrate"],
                        env={
                            **os.environ,
                            "TERMIJN_LEDGER_URL": url,
                            "TERMIJN_DATA": str(tmp_path),
                        },
                    )
                )
                for url in urls
                for _ in range(2)
            ]
            waiting = text(
                "SELECT count(*) FILTER (WHERE wait_event = 'transactionid') = 3"
                " AND count(*) FILTER (WHERE wait_event = 'advisory') = 3 FROM pg_stat_activity"
            )
            while not connection.execute(waiting).scalar_one():
                assert not any(process.poll() for process in started)
                connection.execute(text("SELECT pg_stat_clear_snapshot()"))
                sleep(0.1)
        assert [process.wait(120) for process in started] == [0] * 6
    for url in urls:
        with closing(open_database(url, "deleter")) as ledger:
            schema_version.check_schema_version(ledger, "deleter")
            with ledger.transaction() as connection:
                assert granting.current_role(connection) == "termijn_deleter"


def test_the_tagger_waits_until_another_role_has_made_a_policy_the_active_one(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    """It may not write the policy or evidence; under another active policy it ends as every role does."""
    url = postgres()
    with closing(open_database(url)) as ledger:
        migrate.migrate(ledger)
    chosen = settings_loader.load({"TERMIJN_LEDGER_URL": url, "TERMIJN_DATA": str(tmp_path)})
    with resources.open_resources(chosen) as opened, ThreadPoolExecutor(1) as pool:
        tagger, recorder = opened.ledger("tagger"), opened.ledger("recorder")
        waiting = pool.submit(opened.wait_for_active_policy, tagger, Event())
        with pytest.raises(TimeoutError):
            waiting.result(2)
        policy = opened.wait_for_active_policy(recorder)
        assert waiting.result(120) == policy
        with recorder.transaction() as connection:
            assert active_policy.is_active(connection, policy)
        other = replace(policy, version="other")
        with pytest.raises(active_policy.PolicyMismatch), tagger.transaction() as connection:
            active_policy.is_active(connection, other)
