"""The roles of production: name, help and runner of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event

from consumers import acknowledgements, corrections, recorder, tagger, watch
from services.app.settings import Settings
from services.app.wiring.acknowledgements import run_acknowledgements
from services.app.wiring.deleter import run_deleter
from services.app.wiring.recorder import run_recorder
from services.app.wiring.requests import run_rights
from services.app.wiring.tagger import run_tagger
from services.app.wiring.watch import run_watch
from services.deleter import deleter


@dataclass(frozen=True, slots=True)
class Role:
    """A role; `termijn NAME` runs it."""

    run: Callable[[Settings, Event], None]
    """Runs the role until the event is set."""
    help: str


ROLES: Mapping[str, Role] = {
    tagger.ROLE: Role(
        run_tagger,
        "Tag business events with purposes and windows, and pass them on without their bodies."
        " Any number may run; Kafka distributes the partitions.",
    ),
    recorder.ROLE: Role(
        run_recorder,
        "Write tagged events and dead letters into the ledger. Any number may run on PostgreSQL.",
    ),
    deleter.ROLE: Role(
        run_deleter,
        "Claim due records, send commands to the systems, and repeat until acknowledged."
        "\n\nAny number may run on PostgreSQL; on SQLite one.",
    ),
    acknowledgements.ROLE: Role(
        run_acknowledgements,
        "Record the acknowledgements of the systems. Any number may run on PostgreSQL.",
    ),
    corrections.ROLE: Role(
        run_rights,
        "Answer the requests of data subjects in time; `termijn requests list` shows them."
        "\n\nAny number may run on PostgreSQL.",
    ),
    watch.ROLE: Role(
        run_watch,
        "Show the state of each system's commands, live: metrics and a page on loopback."
        "\n\nAny number may run; each watches some partitions. No other role needs it.",
    ),
}
"""Every role by name; each opens only the resources that it needs."""
