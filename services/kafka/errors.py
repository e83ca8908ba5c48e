"""What can go wrong with Kafka: the brokers are away, deny access, or did not take a message."""

from __future__ import annotations

from schemas.errors import TermijnError


class KafkaUnavailable(TermijnError):
    """The broker did not answer, or refused; nothing was lost, and the role tries again.

    The operator looks whether the brokers are up, and whether this role may do what it asked.
    """

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: {reason}")
        self.action = action
        self.reason = reason


class KafkaAccessDenied(TermijnError):
    """The broker does not let this role read, and will not by itself; the role has stopped.

    The operator mends its rights (ACLs, credentials) or its version, and starts it again.
    """

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: {reason}")
        self.action = action
        self.reason = reason


class DeliveryFailed(TermijnError):
    """The broker did not take a message; what depends on it was not done."""

    def __init__(self, topic: str, reason: str, code: int | None = None) -> None:
        super().__init__(f"{topic}: not delivered: {reason}")
        self.topic = topic
        self.code = code
        """Kafka's, which tells whether it will ever be taken (`services.kafka.error_classification`)."""
