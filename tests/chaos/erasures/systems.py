"""Three real systems of a shop and the shop's log, each with an agent that may be killed at any time."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from services.agent import config
from services.agent.examples.webhook.mailer import Mailer, server
from services.policy.ids import event_id
from tests.chaos.erasures.orders import Order
from tests.e2e.running import Running

SYSTEMS = ("crm", "mailer", "letters", "bus")
_EXAMPLES = Path(config.__file__).parent / "examples"
_SECRET = "between the agent and the mailer"
_INBOX = {"url": "sqlite:///inbox.sqlite", "key_file": "inbox.key"}
_FAST = {"at_once": 4, "per_second": 2000, "burst": 2000, "retry_seconds": 0.2}


class Systems:
    """A CRM in PostgreSQL, a mailer behind a webhook, a directory of letters behind an executable, and the
    vault with the keys of what is encrypted in the log.
    """

    def __init__(
        self, running: Running, administration: str, vault: str, all_orders: Sequence[Order]
    ) -> None:
        """Make the CRM in a new database of the server at the URL `administration`."""
        self._names = {
            event_id("orders.order-placed", "urn:test", placed.event_id): placed.name
            for placed in all_orders
        }
        self._vault = vault.replace("+psycopg", "")
        self._running = running
        self._administration = administration.replace("+psycopg", "")
        self._crm = self._administration.rsplit("/", 1)[0] + "/crm"
        self.letters = running.directory / "letters"
        self._make_crm(all_orders)
        self._mailer = Mailer(_SECRET.encode(), slow=False)
        self._mailer.recipients = {placed.name: placed.canary("address") for placed in all_orders}
        self._service = server(self._mailer, 0)
        self._service.handle_error = _unheard  # type: ignore[assignment]  # who asked was killed
        threading.Thread(target=self._service.serve_forever, daemon=True).start()
        self.letters.mkdir()
        for order in all_orders:
            (self.letters / f"{order.name}.txt").write_text(order.canary("letter"), "utf-8")
        running.setting("CRM_DATABASE_URL", self._crm.replace("postgresql:", "postgresql+psycopg:"))
        running.setting("CRM_PSEUDONYM_KEY", "pseudonyms")
        running.setting("MAILER_SECRET", _SECRET)
        running.setting("LETTERS", str(self.letters))
        self._files = {
            "crm": self._file("crm", "crm", {"sql": {}}),
            "letters": self._file(
                "letters", "hook", {"hook": {"command": [sys.executable, "-I", "letters.py"]}}
            ),
            "bus": self._file("bus", None, {"vault": {"url": vault}}),
            "mailer": self._file(
                "mailer",
                "webhook",
                {
                    "webhook": {
                        "url": f"http://127.0.0.1:{self._service.server_port}/",
                        "hmac": {"env": "MAILER_SECRET"},
                    }
                },
            ),
        }

    def start(self, system: str) -> None:
        """Start the agent of a system."""
        self._running.start_as(system, "agent", "--config", str(self._files[system]))

    def close(self) -> None:
        """Shut the webhook's service down."""
        self._service.shutdown()
        self._service.server_close()

    def remaining_names(self) -> dict[str, set[str]]:
        """Return the names of the orders that each system still has."""
        with psycopg.connect(self._crm) as connection:
            rows = connection.execute(
                "SELECT order_no FROM orders UNION SELECT order_no FROM order_lines"
            ).fetchall()
        with psycopg.connect(self._vault) as connection:
            keys = connection.execute("SELECT event_id FROM data_key WHERE wrapped IS NOT NULL")
            living = {self._names[id] for (id,) in keys.fetchall()}
        return {
            "bus": living,
            "crm": {name for (name,) in rows},
            "mailer": set(self._mailer.recipients),
            "letters": {letter.stem for letter in self.letters.iterdir()},
        }

    def back_up_crm(self) -> None:
        """Back the CRM up as it is now."""
        self._administer("CREATE DATABASE crm_backup TEMPLATE crm")

    def restore_crm(self) -> None:
        """Replace the CRM by its backup while its agent runs."""
        self._administer("DROP DATABASE crm WITH (FORCE)")
        self._administer("ALTER DATABASE crm_backup RENAME TO crm")

    def settle_files(self) -> None:
        """Have the server rewrite its pages and remove old segments of its log.

        A deleted row stays in its page until the page is written again, and in the log until its
        segment is removed.
        """
        with psycopg.connect(self._crm, autocommit=True) as connection:
            connection.execute("VACUUM FULL")
        self._administer("SELECT pg_switch_wal()", "CHECKPOINT")

    def _administer(self, *statements: str) -> None:
        with psycopg.connect(self._administration, autocommit=True) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement))

    def _make_crm(self, all_orders: Iterable[Order]) -> None:
        self._administer(
            "ALTER SYSTEM SET wal_recycle = off",  # a segment that is used again keeps what it held
            "SELECT pg_reload_conf()",
            "CREATE DATABASE crm",
        )
        with psycopg.connect(self._crm) as connection:
            connection.execute((_EXAMPLES / "crm" / "schema.sql").read_bytes())
            with connection.cursor().copy(
                "COPY orders (id, order_no, customer_no, event_source, event_id, recipient, street,"
                " amount) FROM STDIN"
            ) as copy:
                for order in all_orders:
                    personal = order.canary("recipient"), order.canary("crm-street")
                    event = "urn:test", order.event_id
                    copy.write_row((order.number, order.name, "C1", *event, *personal, 1250))
            with connection.cursor().copy(
                "COPY order_lines (id, order_no, product, engraving) FROM STDIN"
            ) as copy:
                for order in all_orders:
                    copy.write_row((order.number, order.name, "pan", order.canary("engraving")))

    def _file(self, system: str, example: str | None, adapter: dict[str, dict[str, Any]]) -> Path:
        keys = self._running.data / "keys"
        for arguments in (
            ("make", system, "--encryption"),
            ("trust", system, str(keys / f"{system}.jwks")),
        ):
            completed = self._running.run("keys", *arguments)
            assert completed.returncode == 0, completed.stderr
        directory = self._running.directory / "agents" / system
        document: dict[str, Any] = {"bus": {}, "inbox": _INBOX, "adapter": {}}
        if example:
            shutil.copytree(_EXAMPLES / example, directory)
            document = yaml.safe_load((directory / "agent.yaml").read_text("utf-8"))
        directory.mkdir(exist_ok=True)
        document["system"] = system
        document["keys"] = str(keys)
        document["bus"]["bootstrap_servers"] = self._running.bootstrap
        document["limits"] = _FAST
        [kind] = adapter
        document["adapter"] = {kind: {**document["adapter"].get(kind, {}), **adapter[kind]}}
        path = directory / "agent.yaml"
        path.write_text(yaml.safe_dump(document), "utf-8")
        return path


def _unheard(request: object, address: object) -> None:
    """Log nothing for a client that disconnected before the answer."""
