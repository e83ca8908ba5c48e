"""What each role needs of its surroundings in a cluster. Pure.

One table, so that a role that is new in code only is missed by a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BROKERS, DATABASE, REGISTRY, DNS = 9093, 5432, 8080, 53
"""The ports of what is reached."""
MONITORING: Final = "monitoring"
"""The namespace of Prometheus."""
SYSTEM: Final = "kube-system"
"""The namespace of Kubernetes' own servers, of names among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleManifest:
    """What one role needs of its surroundings."""

    name: str
    database: bool = True
    keys: tuple[str, ...] = ()
    """Which of the keys it sees, by their file."""
    systems: bool = False
    """Whether it verifies or encrypts for systems, and sees their public keys."""
    scaled_by: tuple[str, int] | None = None
    """What Prometheus is asked for how much there is to do, and how much of it one process takes."""
    max_replicas: int = 8
    """How many processes there may be; more than partitions would rest."""


_LAG = 'sum(max by (topic, partition) (termijn_lag_messages{{role="{}"}}))'
DEAD_LETTERS, REQUESTS, SIGNING, EVIDENCE, TOMBSTONES = (
    "dead-letters.key",
    "requests.key",
    "deleter.private.jwks",
    "evidence.key",
    "remains.key",
)
ROLES: Sequence[RoleManifest] = (
    RoleManifest(name="tagger", keys=(DEAD_LETTERS,), scaled_by=(_LAG.format("tagger"), 20_000)),
    RoleManifest(
        name="recorder",
        keys=(DEAD_LETTERS, TOMBSTONES),
        scaled_by=(_LAG.format("recorder"), 10_000),
    ),
    RoleManifest(
        name="deleter",
        keys=(
            DEAD_LETTERS,
            REQUESTS,
            SIGNING,
            EVIDENCE,
            TOMBSTONES,
        ),  # the first, for what it sealed of requests
        systems=True,
        scaled_by=("max(termijn_due_backlog)", 50_000),
    ),
    RoleManifest(
        name="acknowledgements",
        keys=(DEAD_LETTERS,),
        systems=True,
        scaled_by=(_LAG.format("acknowledgements"), 10_000),
    ),
    RoleManifest(name="rights", keys=(DEAD_LETTERS, REQUESTS)),
    RoleManifest(name="watch", database=False, keys=("deleter.jwks",), systems=True),
)


def labels(name: str) -> dict[str, str]:
    """What selects the pods of one role, or of a job."""
    return {"app.kubernetes.io/name": "termijn", "app.kubernetes.io/component": name}
