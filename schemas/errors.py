"""The one root of every error that Termijn knows, and what can be wrong with what crosses the bus."""

from __future__ import annotations


class TermijnError(Exception):
    """Something is wrong that Termijn knows about; its text is one clear line for the operator."""


class MalformedEvent(TermijnError):
    """What came is not a CloudEvent; `key` names what is wrong with it.

    The publisher mends it; on the bus it is parked as a dead letter.
    """

    def __init__(self, *, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


class DecodingFailed(TermijnError):
    """The bytes of a message are no value of its topic's schema, and never will be.

    It is parked as a dead letter. The operator mends the publisher, or adds the schema version that
    it writes, and replays it.
    """

    def __init__(self, *, why: str, topic: str | None = None) -> None:
        super().__init__(f"{topic}: {why}" if topic else why)
        self.why = why
        self.topic = topic


class EncodingFailed(TermijnError):
    """A value does not fit its schema; `key` is the path of the field. Nothing was sent.

    The publisher mends the value.
    """

    def __init__(self, *, schema: str, key: str, why: str) -> None:
        super().__init__(f"{schema}: {key}: {why}")
        self.schema = schema
        self.key = key
        self.why = why


class UnknownSchema(TermijnError):
    """There is no schema of this name, or the schema registry does not have it.

    The operator adds `<event type>.<version>.avsc`, or registers the topic's schemas.
    """

    def __init__(self, *, schema: str, why: str) -> None:
        super().__init__(f"{schema}: {why}")
        self.schema = schema
        self.why = why


class InvalidSchema(TermijnError):
    """A schema file cannot be used; nothing was loaded.

    The operator mends the file that it names.
    """

    def __init__(self, *, file: str, why: str) -> None:
        super().__init__(f"{file}: {why}")
        self.file = file
        self.why = why


class RegistryUnavailable(TermijnError):
    """The schema registry did not answer as it should. It says nothing about the message.

    The role stops where it is; the operator brings the registry back and starts it again.
    """

    def __init__(self, *, request: str, why: str) -> None:
        super().__init__(f"schema registry: {request}: {why}")
        self.request = request
        self.why = why


class IncompatibleSchema(TermijnError):
    """The schema registry does not take a version: readers of what is registered could not read it.

    The operator looks with `termijn schemas check` what is registered, and mends the version, or takes
    away what somebody else registered there.
    """

    def __init__(self, *, request: str, why: str) -> None:
        super().__init__(f"schema registry: {request}: refused: {why}")
        self.request = request
        self.why = why
