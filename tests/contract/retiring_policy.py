"""The shipped policy in which systems and purposes are retired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.policy import loader
from services.policy.model import Policy

SHIPPED = loader.load()


def policy_retiring(instants: Mapping[str, str], version: str = "next") -> Policy:
    """Return the policy in which each named system or purpose is retired from its instant on."""
    systems, purposes = dict(SHIPPED.systems), dict(SHIPPED.purposes)
    for name, written in instants.items():
        at = datetime.fromisoformat(written)
        if name in systems:
            systems[name] = replace(systems[name], retired=at)
        else:
            purposes[name] = replace(purposes[name], retired=at)
    return replace(SHIPPED, version=version, systems=systems, purposes=purposes)
