"""The agent's file: right as a whole, or every problem is named in its place and nothing starts."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest

from services.agent import config
from services.agent.adapters.factory import ADAPTERS, hook_adapter, sql_adapter, webhook_adapter
from services.agent.config import InvalidConfiguration, load
from services.agent.config_model import AdapterConfig
from services.crypto.keyring import Keyring, new_key
from services.crypto.signing import Signer

EXAMPLES = Path(config.__file__).parent / "examples"
FILE = """\
system: crm
bus:
  bootstrap_servers: kafka:9092
keys: keys
inbox:
  url: sqlite:///inbox.sqlite
  key_file: inbox.key
adapter:
  sql:
    url: {env: CRM_URL}
    tables:
      orders:
        events: [orders.order-placed]
        match: {order_no: keys.order_id}
        erase: delete
        verify:
          match: {event_source: record.source, event_id: record.id}
"""


def write_config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "agent.yaml"
    file.write_text(text, "utf-8")
    return file


def problems(tmp_path: Path, text: str) -> list[str]:
    """Return what is wrong with a file: line, key and reason."""
    with pytest.raises(InvalidConfiguration) as raised:
        load(write_config(tmp_path, text), {})
    return [f"{problem.line}: {problem.key}: {problem.why}" for problem in raised.value.problems]


@pytest.mark.parametrize("name", ["crm", "hook", "vault", "webhook"])
def test_the_example_configurations_are_accepted(name: str) -> None:
    """Each has one adapter."""
    assert load(EXAMPLES / name / "agent.yaml", {}).configuration.system


def test_missing_settings_have_defaults(tmp_path: Path) -> None:
    """The default limits protect the system."""
    limits = load(write_config(tmp_path, FILE), {}).configuration.limits
    assert (limits.at_once, limits.per_second, limits.tries) == (4, 50.0, 5)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("system: crm\n", "", "1: system: is missing"),
        ("keys: keys", "keyes: keys", "4: keyes: is not a known key; did you mean keys?"),
        (
            "inbox:\n",
            "limits: {at_once: 0}\ninbox:\n",
            "5: limits.at_once: must be above 0 and at most 1000, got 0",
        ),
        (
            "  sql:\n",
            "  hook: {command: [true]}\n  sql:\n",
            "9: adapter.hook.command.0: is not text; write it in quotes, got true or false",
        ),
        (
            "  sql:\n",
            '  hook: {command: ["true"]}\n  sql:\n',
            "8: adapter: must name exactly one of hook, webhook, sql and vault",
        ),
        (
            "{env: CRM_URL}",
            "postgresql+psycopg://crm:secret@db/crm",
            "10: adapter.sql.url: contains a password; name it by `env` or `file` instead",
        ),
        (
            "{env: CRM_URL}",
            "mysql://db/crm",
            "10: adapter.sql.url: mysql is neither postgresql nor sqlite",
        ),
        (
            "{env: CRM_URL}",
            "{env: CRM_URL, file: url}",
            "10: adapter.sql.url: must name exactly one of env and file",
        ),
        (
            "{order_no: keys.order_id}",
            "{}",
            "14: adapter.sql.tables.orders.match:"
            " names no column: without a way to find its rows nothing would ever be erased",
        ),
        (
            "{order_no: keys.order_id}",
            "{customer_no: subject.customer}",
            "14: adapter.sql.tables.orders.match: names nothing of the record, so all rows of a"
            " subject would go with each record; say `whole_subject: true` where that is meant",
        ),
        (
            "{order_no: keys.order_id}",
            "{order_no: order_id}",
            "14: adapter.sql.tables.orders.match.order_no: 'order_id' is none of"
            " record.id, record.source, subject, subject.KIND, keys.NAME",
        ),
        (
            "{event_source: record.source, event_id: record.id}",
            "{order_no: keys.order_id}",
            "16: adapter.sql.tables.orders.verify: reads in the same way as the erasure, which proves"
            " nothing: name another table or view, or other columns",
        ),
        (
            "{order_no: keys.order_id}",
            "{event_id: record.id}",
            "14: adapter.sql.tables.orders.match: does not identify the row's owner: an id is its"
            " source's own, so name `record.source` beside `record.id`, or a key or the subject",
        ),
        (
            "{event_source: record.source, event_id: record.id}",
            "{event_source: record.source}",
            "17: adapter.sql.tables.orders.verify.match: does not identify the row's owner: an id is"
            " its source's own, so name `record.source` beside `record.id`, or a key or the subject",
        ),
        (
            "erase: delete",
            "erase: {set: {name: null}}",
            "16: adapter.sql.tables.orders.verify.holds:"
            " is empty, so a row that erase has changed would count as not erased",
        ),
        (
            "events: [orders.order-placed]",
            "events: []",
            "13: adapter.sql.tables.orders.events:"
            " names no event: no command would ever find the table",
        ),
        (
            "    tables:\n",
            "    tables: {}\n    tables:\n",
            "12: : the key 'tables' is there twice, first in line 11; remove one",
        ),
    ],
)
def test_a_problem_is_named_in_its_place(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    """Line, key and reason; nothing of a secret."""
    assert before in FILE
    reported = problems(tmp_path, FILE.replace(before, after, 1))
    assert problem in [line.replace("is not YAML: ", "") for line in reported]
    assert "secret" not in "".join(reported)


def test_a_problem_is_named_without_the_alternative_that_was_tried(tmp_path: Path) -> None:
    """A key that may hold a text or a map is named as it is in the file, not as the code calls the map."""
    text = FILE.replace(
        "erase: delete", "erase: delete\n        restrict: {flag: blocked}"
    ).replace("{env: CRM_URL}", "{envv: CRM_URL}")
    keys = [problem.split(": ")[1] for problem in problems(tmp_path, text)]
    assert "adapter.sql.url.envv" in keys
    assert "adapter.sql.tables.orders.restrict.flag" in keys


def test_a_problem_with_one_of_several_words_is_named_at_its_key(tmp_path: Path) -> None:
    """The allowed word is not a key of the file."""
    reported = problems(tmp_path, FILE.replace("erase: delete", "erase: remove"))
    assert {problem.partition(": ")[0] for problem in reported} == {"15"}
    assert {problem.split(": ")[1] for problem in reported} == {"adapter.sql.tables.orders.erase"}


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """An operator can fix them all before the next try."""
    text = FILE.replace("erase: delete", "erase: {set: {name: null}}").replace(
        "keys.order_id", "order_id"
    )
    assert len(problems(tmp_path, text)) == 3


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """Relative to the file that names it."""
    (tmp_path / "url").write_text("sqlite:///crm.sqlite\n", "utf-8")
    loaded = load(write_config(tmp_path, FILE), {"CRM_URL": "sqlite://"})
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    assert loaded.text(sql.url, "adapter", "sql", "url") == "sqlite://"
    loaded = load(write_config(tmp_path, FILE.replace("env: CRM_URL", "file: url")), {})
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    where = ("adapter", "sql", "url")
    assert loaded.text(sql.url, *where) == "sqlite:///crm.sqlite"
    assert loaded.database_url(sql.url, *where).database == str(tmp_path / "crm.sqlite")


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    """The problem is at the key that refers to the secret."""
    loaded = load(write_config(tmp_path, FILE), {})
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    with ExitStack() as stack, pytest.raises(InvalidConfiguration) as raised:
        sql_adapter(loaded, sql, stack)
    assert str(raised.value).endswith("agent.yaml:10: adapter.sql.url.env: CRM_URL is not set")


def test_an_unreachable_database_is_named(tmp_path: Path) -> None:
    """The error does not repeat the address, which may hold a password."""
    loaded = load(
        write_config(tmp_path, FILE),
        {"CRM_URL": "postgresql+psycopg://crm:secret@127.0.0.1:1/crm?connect_timeout=2"},
    )
    sql = loaded.configuration.adapter.sql
    assert sql is not None
    with ExitStack() as stack, pytest.raises(InvalidConfiguration) as raised:
        sql_adapter(loaded, sql, stack)
    assert "database: cannot be read" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    """The error has the line."""
    [problem] = problems(tmp_path, dedent("system: crm\nbus: [\n"))
    assert problem.startswith("3: : is not YAML")


SCRAM = """\
  security_protocol: SASL_SSL
  sasl_mechanism: SCRAM-SHA-512
  sasl_username: termijn-agent-crm
"""


def test_the_agent_connects_to_kafka_as_configured(tmp_path: Path) -> None:
    """Paths are relative to the file; the password is in another file, and is never shown."""
    (tmp_path / "ca.pem").write_text("-", "utf-8")
    text = FILE.replace(
        "kafka:9092\n",
        f"kafka:9092\n{SCRAM}  sasl_password: {{env: CRM_PASSWORD}}\n  ca_file: ca.pem\n",
    )
    settings = load(write_config(tmp_path, text), {"CRM_PASSWORD": "geheim"}).security()
    assert (settings.protocol, settings.mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (settings.username, settings.password) == ("termijn-agent-crm", "geheim")
    assert settings.ca_file == tmp_path / "ca.pem"
    assert "geheim" not in repr(settings)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (SCRAM, "bus.sasl_password: is not set, and SASL_SSL needs it"),
        (
            "  sasl_password: {env: A, file: b}\n" + SCRAM,
            "bus.sasl_password: must name exactly one of env and file",
        ),
        (
            "  ca_file: ca.pem\n",
            "bus.ca_file: is set, but PLAINTEXT does not use it; use SSL or SASL_SSL, or remove it",
        ),
        (
            "  sasl_password: geheim\n" + SCRAM,
            "bus.sasl_password: is not a map, got text; write its keys and values in { }",
        ),
    ],
)
def test_a_problem_with_the_kafka_settings_is_named_in_place(
    tmp_path: Path, more: str, problem: str
) -> None:
    """Nothing starts; a password in the file itself is refused and not repeated."""
    reported = problems(tmp_path, FILE.replace("kafka:9092\n", f"kafka:9092\n{more}"))
    assert [line.partition(": ")[2] for line in reported] == [problem]


WEBHOOK = """\
system: mailer
bus: {bootstrap_servers: "kafka:9092"}
keys: keys
inbox: {url: "sqlite:///inbox.sqlite", key_file: inbox.key}
adapter:
  webhook:
    url: https://mailer.example/commands
    hmac: {file: secret}
    callback: {port: 8081, url: "https://agent.example/callbacks"}
"""
CLEAR = "is not encrypted; use https, or set `insecure: true` if that is intended"


def test_a_webhook_configuration_is_accepted(tmp_path: Path) -> None:
    """It is accepted as it is shipped, and without encryption where it states so."""
    assert load(write_config(tmp_path, WEBHOOK), {})
    clear = WEBHOOK.replace("https://", "http://").replace("port: 8081", "insecure: true, port: 1")
    assert load(write_config(tmp_path, clear.replace("hmac:", "insecure: true\n    hmac:")), {})


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("https://mailer", "http://mailer", f"url: {CLEAR}"),
        ("https://agent", "http://agent", f"callback.url: {CLEAR}"),
        ("https://mailer.example", "https:///", "url: is not an http or https address"),
        ("https://mailer.example", "https://", "url: is not an http or https address"),
        ("https://mailer.example", "https://m:99999", "url: is not an http or https address"),
        ("https://mailer.example", "https://[::1", "url: is not an http or https address"),
        ("https://mailer", "ftp://mailer", "url: is not an http or https address"),
        ("https://mailer", "https://u:geheim@mailer", "url: contains a password"),
        ("commands", "commands?password=geheim", "url: contains a password"),
        ("commands", "commands?a=1&Token=geheim", "url: contains a password"),
        ("https://agent", "https://u:geheim@agent", "callback.url: contains a password"),
        ("8081", "99999", "callback.port: must be a port from 1 to 65535"),
        ("8081", "0", "callback.port: must be a port from 1 to 65535"),
        ("8081", "-1", "callback.port: must be a port from 1 to 65535"),
        *(
            (
                "    hmac:",
                f"    timeout_seconds: {bad}\n    hmac:",
                "timeout_seconds: must be above 0",
            )
            for bad in ("0", "-1", ".nan", ".inf", "1.0e300")
        ),
        *(
            (
                "port: 8081",
                f"port: 8081, ask_again_hours: {bad}",
                "callback.ask_again_hours: must be above 0",
            )
            for bad in ("0", "-1", ".nan", ".inf", "1.0e300")
        ),
    ],
)
def test_problems_of_a_webhook_are_named_without_its_password(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    """Each problem is at its own key."""
    [reported] = problems(tmp_path, WEBHOOK.replace(before, after, 1))
    assert f": adapter.webhook.{problem}" in reported
    assert "geheim" not in reported


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("system: crm", "system: ../crm", "system: must be of letters"),
        ("system: crm", "system: my crm", "system: must be of letters"),
        ("system: crm", 'system: ""', "system: must be of letters"),
        (
            "keys: keys",
            "keys: keys\nmetrics_port: 99999",
            "metrics_port: must be a port up to 65535, or 0",
        ),
        (
            "keys: keys",
            "keys: keys\nmetrics_port: -1",
            "metrics_port: must be a port up to 65535, or 0",
        ),
        ("keys: keys", 'keys: keys\ntracing: "http://u:geheim@c"', "tracing: contains a password"),
        (
            "kafka:9092",
            'kafka:9092\n  schema_registry_url: "http://r,http://u:geheim@r"',
            "bus.schema_registry_url: contains a password",
        ),
        (
            "{env: CRM_URL}",
            '"postgresql://db/crm?password=geheim"',
            "adapter.sql.url: contains a password",
        ),
        ("{env: CRM_URL}", '"postgresql://u:gehe@im@db/crm"', "adapter.sql.url: has an @ too many"),
        (
            "{env: CRM_URL}",
            '"postgresql://u@db:geheim/crm"',
            "adapter.sql.url: is not a SQLAlchemy URL",
        ),
        (
            "{env: CRM_URL}",
            '"postgresql+asyncpg://db/crm"',
            "adapter.sql.url: postgresql needs the driver",
        ),
        (
            "key_file: inbox.key",
            "key_file: k\n  keep_days: 10000000000",
            "inbox.keep_days: must be above 0",
        ),
        *(
            (
                "keys: keys",
                f"keys: keys\nlimits: {{{name}: {bad}}}",
                f"limits.{name}: must be above 0",
            )
            for name in ("retry_seconds", "retry_cap_seconds", "per_second")
            for bad in ("0", "-1", ".nan", ".inf", "1.0e300")
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    """The error has its line, and shows no password."""
    assert before in FILE
    [reported] = problems(tmp_path, FILE.replace(before, after, 1))
    assert f": {problem}" in reported
    assert "geheim" not in reported


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_secret_is_refused(tmp_path: Path, content: str) -> None:
    """Anyone could sign with it."""
    (tmp_path / "secret").write_text(content, "utf-8")
    loaded = load(write_config(tmp_path, WEBHOOK), {})
    signer = Signer(lambda: Keyring((new_key(),)))
    with pytest.raises(InvalidConfiguration, match=r"webhook\.hmac\.file: is empty"):
        webhook_adapter(loaded, lambda _: "t", signer)
    (tmp_path / "secret").unlink()
    loaded = load(
        write_config(tmp_path, WEBHOOK.replace("{file: secret}", "{env: S}")), {"S": content}
    )
    with pytest.raises(InvalidConfiguration, match="S is not set"):
        webhook_adapter(loaded, lambda _: "t", signer)


@pytest.mark.parametrize("program", ["./nothing", "./plain", "no-such-program", "/nowhere/x", "./"])
def test_a_hook_that_cannot_be_run_is_named_at_the_start(tmp_path: Path, program: str) -> None:
    """It is not found only at the first command, days later."""
    (tmp_path / "plain").write_text("#!/bin/sh\n", "utf-8")
    text = WEBHOOK[: WEBHOOK.index("  webhook")] + f'  hook: {{command: ["{program}"]}}\n'
    loaded = load(write_config(tmp_path, text), {"PATH": "/usr/bin:/bin"})
    with pytest.raises(
        InvalidConfiguration, match=r"hook\.command\.0: must be an existing program"
    ):
        hook_adapter(loaded)
    loaded = load(write_config(tmp_path, text.replace(program, "sh")), {"PATH": "/usr/bin:/bin"})
    assert hook_adapter(loaded).command == ("sh",)


def test_every_section_of_the_file_has_an_adapter() -> None:
    """A section without a builder would be accepted, and fail when the agent starts."""
    assert set(ADAPTERS) == {field.name for field in fields(AdapterConfig)}
