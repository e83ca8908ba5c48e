"""The roles of production: what each is called, what its help says, and what runs it."""

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
    """A role that a command of its own runs."""

    run: Callable[[Settings, Event], None]
    """Runs it until the event is set."""
    help: str


ROLES: Mapping[str, Role] = {
    tagger.ROLE: Role(
        run_tagger,
        "Tag business events with purposes and windows, and pass them on without their bodies."
        " Any number may run; Kafka shares the partitions out.",
    ),
    recorder.ROLE: Role(
        run_recorder,
        "Write tagged events and dead letters into the ledger. Any number may run on PostgreSQL.",
    ),
    deleter.ROLE: Role(
        run_deleter,
        "Claim what is due, command the systems, and repeat until each has answered."
        "\n\nAny number may run on PostgreSQL; on SQLite one.",
    ),
    acknowledgements.ROLE: Role(
        run_acknowledgements,
        "Take in what the systems answer. Any number may run on PostgreSQL.",
    ),
    corrections.ROLE: Role(
        run_rights,
        "Answer the requests of data subjects in time, or refuse them; hand corrections on."
        "\n\nAny number may run on PostgreSQL.",
    ),
    watch.ROLE: Role(
        run_watch,
        "Show how each system fares with its commands, live: tables, metrics and a page on"
        " loopback.\n\nAny number may run; each watches a part. Nothing else depends on it.",
    ),
}
"""By name; `termijn NAME` runs it. Each opens what it needs, and nothing else."""
