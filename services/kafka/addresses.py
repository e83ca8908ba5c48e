"""Addresses that people write into settings and files: what is wrong with one, before it is used.

No answer repeats any part of an address, since a password may stand anywhere in it.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_DATABASES = {"postgresql": ("postgresql", "psycopg"), "sqlite": ("sqlite", "pysqlite")}
_SECRETS = frozenset(
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
HIDDEN = "holds a password"


def why_no_database(address: str, *, secret: bool) -> str | None:
    """Why an address is none of a database that can be used; `secret`: it may hold a password.

    SQLAlchemy's form: `postgresql+psycopg://user:password@host/name` or `sqlite:///file`.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return "is no SQLAlchemy URL"
    name, _, driver = url.drivername.partition("+")
    if name not in _DATABASES:
        return f"{name} is neither postgresql nor sqlite"
    if driver and driver not in _DATABASES[name]:
        return f"{name} is reached by {_DATABASES[name][1]} only"
    if "@" in f"{url.host or ''}{url.database or ''}" and name != "sqlite":
        return "has an @ too many: in a name or a password it is written %40"
    if not secret and (url.password or not _SECRETS.isdisjoint(map(str.lower, url.query))):
        return HIDDEN
    return None


def why_no_web_address(address: str, *, insecure: bool = True) -> str | None:
    """Why an address is none of a service that can be called; `insecure`: also without encryption."""
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(one.isspace() or not one.isprintable() for one in address):
        return "is no http or https address"
    if why := why_not_shown(address):
        return why
    if parts.scheme == "http" and not insecure:
        return "goes over the line in clear: say https, or `insecure: true` where that is meant"
    return None


def why_not_shown(address: str) -> str | None:
    """Why an address, or several with commas, must not stand where everybody reads it."""
    for one in address.split(","):
        place, _, rest = one.partition("?")
        authority = place.partition("//")[2].partition("/")[0]
        named = {
            name.lower() for name, _ in parse_qsl(rest.partition("#")[0], keep_blank_values=True)
        }
        if "@" in authority or named & _SECRETS:
            return HIDDEN
    return None
