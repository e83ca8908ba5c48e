"""What passes by itself: whoever meets it says so, waits a moment and tries again."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError

from schemas.errors import RegistryUnavailable
from services.bus import BusUnavailable, Undelivered

TRANSIENT: Final = (BusUnavailable, Undelivered, RegistryUnavailable, DBAPIError)
"""The bus, the registry or the ledger is away. Nothing was lost, and nothing was done by halves."""
