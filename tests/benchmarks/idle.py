"""Idle roles: the processor time and memory of each role of Optimum's policy while nothing happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from time import monotonic, sleep

from services.app.wiring.required_topics import required_topics
from services.crypto.key_directory import KeyDirectory
from services.ledger import migrate
from services.storage.database import open_database
from tests.benchmarks import deleter_driver
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure, upper
from tests.benchmarks.roles import Role

_ROLES = ("tagger", "recorder", "deleter", "acknowledgements", "rights")
_START_SECONDS = 20.0
"""After the start of the last role, until each has its partitions."""
_QUICK, _FULL, _WHOLE = 10, 60, 300
"""How many seconds are measured."""
_CORE_PERCENT = 2.0
_RESIDENT_MIB = 130.0


def idle(stage: Stage) -> Iterator[Figure]:
    """Measure what each role uses with every topic of the policy, empty, and nothing due."""
    bus = deleter_driver.open_bus(stage)
    bus.ensure_topics(required_topics(stage.policy).all)
    url = stage.postgres().fresh_database()
    keys = KeyDirectory(path=stage.directory / "idle-keys")
    keys.create()
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": stage.kafka().bootstrap,
        "TERMIJN_KAFKA_GROUP": "idle",
        "TERMIJN_LEDGER_URL": url,
        "TERMIJN_DATA": str(stage.directory / "idle"),
        "TERMIJN_KEYS": str(keys.path),
    }
    with ExitStack() as stack:
        migrate.migrate(stack.enter_context(closing(open_database(url))))
        roles = {
            name: stack.enter_context(Role(name, settings, stage.directory / f"idle-{name}.log"))
            for name in _ROLES
        }
        sleep(_START_SECONDS)
        before, started = {name: role.used() for name, role in roles.items()}, monotonic()
        sleep(stage.size(_QUICK, _FULL, _WHOLE))
        seconds = monotonic() - started
        for name, role in roles.items():
            used = role.used()
            yield Figure(
                name=f"idle.{name}",
                value=100 * (used.cpu_seconds - before[name].cpu_seconds) / seconds,
                unit=f"% of a core with nothing to do, over {seconds:.0f} s",
                reach=upper(_CORE_PERCENT, subject="value"),
            )
            yield Figure(
                name=f"idle.memory.{name}",
                value=used.resident_bytes / 2**20,
                unit="MiB resident with nothing to do",
                reach=upper(_RESIDENT_MIB, subject="value"),
            )
