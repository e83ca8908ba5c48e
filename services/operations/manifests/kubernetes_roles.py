"""The table of what each role needs in a cluster: keys, database, autoscaling. Pure.

A test fails where a role is missing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BROKERS, DATABASE, REGISTRY, DNS = 9093, 5432, 8080, 53
"""The ports that roles connect to."""
MONITORING: Final = "monitoring"
"""The namespace of Prometheus."""
SYSTEM: Final = "kube-system"
"""The namespace of Kubernetes' own servers, such as DNS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleManifest:
    """The needs of one role in a cluster."""

    name: str
    database: bool = True
    keys: tuple[str, ...] = ()
    """The file names of the keys that it reads."""
    systems: bool = False
    """Whether it reads the public keys of systems, to verify or to encrypt."""
    scaled_by: tuple[str, int] | None = None
    """The PromQL query for the amount of open work, and the amount that one process handles."""
    max_replicas: int = 8
    """The maximum number of processes; more than there are partitions would be idle."""


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
        ),  # the first, for request keys that it encrypted
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
    """Return the labels that select the pods of a role or a job."""
    return {"app.kubernetes.io/name": "termijn", "app.kubernetes.io/component": name}
