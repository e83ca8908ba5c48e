"""Errors of Kafka: the brokers are unavailable, deny access, or did not accept a message."""

from __future__ import annotations

from schemas.errors import PlacedError, TermijnError


class KafkaUnavailable(PlacedError):
    """The brokers did not respond, or refused a request; nothing was lost, and the role retries.

    The operator checks that the brokers are up, and that the role has access to what it requested.
    """


class KafkaAccessDenied(TermijnError):
    """The brokers deny this role access, which only an operator can change; the role has stopped.

    The operator fixes its ACLs, its credentials or its version, and starts it again.
    """

    def __init__(self, action: str, reason: str, settings: str = "") -> None:
        """Name the settings that the operator has to check, where they are known."""
        advice = f"; check {settings}" if settings else ""
        super().__init__(f"{action}: {reason}{advice}")
        self.action = action
        self.reason = reason
        self.settings = settings


class DeliveryFailed(TermijnError):
    """The broker did not accept a message; nothing that depends on it was done."""

    def __init__(self, topic: str, reason: str, code: int | None = None) -> None:
        super().__init__(f"{topic}: not delivered: {reason}")
        self.topic = topic
        self.code = code
        """Kafka's error code, from which `kafka.error_classification` decides whether a retry can help."""
