"""Build Faust's credentials for the brokers; reads the certificate and key files."""

from __future__ import annotations

import ssl

from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from services.kafka.security import Security


def credentials(security: Security) -> CredentialsT | None:
    """Return the credentials with which Faust reaches the brokers; None for an unencrypted connection.

    Raises:
        OSError: a file cannot be read, or is not a certificate or key.
    """
    context = _context(security) if security.uses_tls else None
    if security.uses_sasl:
        return SASLCredentials(
            username=security.username,
            password=security.password,
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)


def _context(security: Security) -> ssl.SSLContext:
    """Return a context that verifies the brokers' certificate and host name, which is the default."""
    context = ssl.create_default_context(cafile=security.ca_file)
    if security.certificate_file:
        context.load_cert_chain(security.certificate_file, security.key_file)
    return context
