"""How the brokers are reached, in Faust's words. The files that are named are read here."""

from __future__ import annotations

import ssl

from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from services.kafka.security import Security


def credentials(security: Security) -> CredentialsT | None:
    """What Faust reaches the brokers with; nothing where they are reached in the clear.

    Raises:
        OSError: a file cannot be read, or is no certificate or key.
    """
    context = _context(security) if security.is_encrypted else None
    if security.is_named:
        return SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def _context(security: Security) -> ssl.SSLContext:
    """Verifies the brokers' certificate and name, as its defaults are."""
    context = ssl.create_default_context(cafile=security.ca_file)
    if security.certificate_file:
        context.load_cert_chain(security.certificate_file, security.key_file)
    return context
