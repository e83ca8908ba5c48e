"""The servers that benchmarks run on: their own on loopback, started when first needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from schemas.codec import Codec
from services.ledger import active_policy
from services.ledger import migrate as schema
from services.policy.model import Policy
from services.storage.database import Database, database_now
from tests.servers.kafka import KafkaBroker
from tests.servers.postgres import PostgresServer

Sizes = Literal["quick", "usual", "whole"]
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Stage:
    """What a benchmark needs. `sizes`: `quick` gives only rough figures, `whole` takes an hour."""

    policy: Policy
    codec: Codec
    sizes: Sizes
    directory: Path
    """Scratch space, deleted at the end."""
    _stack: ExitStack
    _kafka: KafkaBroker | None = field(default=None, init=False)
    _postgres: PostgresServer | None = field(default=None, init=False)

    @property
    def runs(self) -> int:
        """Return how often a figure is measured; the median counts."""
        return 3 if self.sizes == "usual" else 1

    @property
    def quick(self) -> bool:
        """Return whether only rough figures are wanted."""
        return self.sizes == "quick"

    def size(self, quick: T, usual: T, whole: T | None = None) -> T:
        """Return the wanted size; where no `whole` is given, it is the usual one."""
        if self.sizes == "quick":
            return quick
        return usual if self.sizes == "usual" or whole is None else whole

    def kafka(self) -> KafkaBroker:
        """Return a real Kafka, one node, on loopback.

        Raises:
            ServerMissing: Java or Kafka's jars are missing; `make servers` installs them.
        """
        if self._kafka is None:
            directory = self.directory / "kafka"
            directory.mkdir()
            self._kafka = KafkaBroker(directory)
            self._stack.callback(self._kafka.kill)
            self._kafka.start()
        return self._kafka

    def migrate(self, ledger: Database, policy: Policy | None = None) -> None:
        """Create this version's schema, and activate a policy, the stage's if none is named."""
        schema.migrate(ledger)
        ledger.run_in_transaction(
            lambda c: active_policy.require_active(c, policy or self.policy, database_now(c))
        )

    def postgres(self) -> PostgresServer:
        """Return a real PostgreSQL on loopback, fsync on, in which fresh databases can be made.

        Raises:
            ServerMissing: PostgreSQL is not installed; `make servers` installs it.
        """
        if self._postgres is None:
            self._postgres = PostgresServer()
            self._stack.callback(self._postgres.remove)
            self._postgres.start()
        return self._postgres


@contextmanager
def environment(policy: Policy, codec: Codec, *, sizes: Sizes) -> Iterator[Stage]:
    """Yield a stage whose servers and files are removed afterwards."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="termijn-bench-"))
        yield Stage(
            policy=policy, codec=codec, sizes=sizes, directory=Path(directory), _stack=stack
        )
