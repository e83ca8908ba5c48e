"""Tables of the surge guard: forecasts of what becomes due, what was claimed each day, and surges."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, Integer, Table, Text

from services.storage.tables import metadata
from services.storage.types import UtcDateTime

forecast = Table(
    "forecast",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("digest", Text),
)
"""A count of the obligations to destroy data that become due.

`kind`: `daily`, the deleter's own forecast; `released`, of an import that an operator has released;
`shown`, what was shown to an operator with the `digest` of a policy's differences; `accepted`, the same
after that policy was accepted.
"""

forecast_line = Table(
    "forecast_line",
    metadata,
    Column("forecast", Integer, primary_key=True, autoincrement=False),
    Column("day", Date, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("system", Text, primary_key=True),
    Column("obligations", BigInteger, nullable=False),
)
"""How many obligations of a rule in a system a forecast expects on a day, UTC."""

claimed_obligation = Table(
    "claimed_obligation",
    metadata,
    Column("day", Date, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("system", Text, primary_key=True),
    Column("obligations", BigInteger, nullable=False),
)
"""How many obligations to destroy data were claimed on a day, UTC."""

surge = Table(
    "surge",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("rule", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("claimed", BigInteger, nullable=False),
    Column("expected", BigInteger, nullable=False),
    Column("forecast_at", UtcDateTime, nullable=False),
    Column("found_at", UtcDateTime, nullable=False),
    Column("policy_number", Integer, nullable=False),
    Column("released_at", UtcDateTime),
    Column("operator", Text),
)
"""Each surge that has stopped the deleters, and who let them go on (`deleter.surge_guard`).

`claimed` counts the obligations of that day, with those that were not claimed because of the stop.
`policy_number` is the active policy's.
"""
