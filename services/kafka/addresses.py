"""Checks of addresses in settings and configuration files: of databases and of web services.

No message repeats any part of an address, since a password may be anywhere in it.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = {"postgresql": ("postgresql", "psycopg"), "sqlite": ("sqlite", "pysqlite")}
_SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "passwd",
        "password",
        "pwd",
        "secret",
        "sslpassword",
        "token",
    }
)
HOLDS_PASSWORD = "contains a password"


def database_url_problem(address: str, *, secret: bool) -> str | None:
    """Return what is wrong with a database's address, or None; with `secret` it may hold a password.

    SQLAlchemy's form: `postgresql+psycopg://user:password@host/name` or `sqlite:///file`.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return "is not a SQLAlchemy URL, such as postgresql+psycopg://user@host/ledger"
    name, _, driver = url.drivername.partition("+")
    if name not in _DRIVERS:
        return f"{name} is neither postgresql nor sqlite"
    if driver and driver not in _DRIVERS[name]:
        return f"{name} needs the driver {_DRIVERS[name][1]}"
    if "@" in f"{url.host or ''}{url.database or ''}" and name != "sqlite":
        return "has an @ too many; write %40 for an @ in a name or a password"
    if not secret and (
        url.password or not _SECRET_PARAMETERS.isdisjoint(map(str.lower, url.query))
    ):
        return HOLDS_PASSWORD
    return None


def web_address_problem(address: str, *, insecure: bool = True) -> str | None:
    """Return what is wrong with a service's address, or None; with `insecure` it may be unencrypted."""
    try:
        parts = urlsplit(address)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or any(
        character.isspace() or not character.isprintable() for character in address
    ):
        return "is not an http or https address"
    if problem := secret_problem(address):
        return problem
    if parts.scheme == "http" and not insecure:
        return "is not encrypted; use https, or set `insecure: true` if that is intended"
    return None


def secret_problem(address: str) -> str | None:
    """Return why an address, or a comma-separated list, must not be public: it holds a password."""
    for part in address.split(","):
        location, _, query = part.partition("?")
        authority = location.partition("//")[2].partition("/")[0]
        parameters = {
            name.lower() for name, _ in parse_qsl(query.partition("#")[0], keep_blank_values=True)
        }
        if "@" in authority or parameters & _SECRET_PARAMETERS:
            return HOLDS_PASSWORD
    return None
