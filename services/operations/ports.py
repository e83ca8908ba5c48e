"""The roles, and where each serves its metrics and health."""

from __future__ import annotations

from collections.abc import Mapping

LEDGER_ROLES = ("tagger", "recorder", "deleter", "acknowledgements", "rights")
"""The roles without which nothing is erased; the others need not run, or may have other users."""
HOST = "127.0.0.1"
"""The address, unless a setting names another."""
PORTS: Mapping[str, int] = {
    "tagger": 9501,
    "recorder": 9502,
    "deleter": 9503,
    "acknowledgements": 9504,
    "rights": 9505,
    "watch": 9506,
    "agent": 9510,
}
"""The port of each role, unless a setting names another."""
