"""The base class of all of Termijn's errors, and the errors of events, messages and schemas."""

from __future__ import annotations


class TermijnError(Exception):
    """An error that Termijn expects; its text is one clear line for the operator."""


class PlacedError(TermijnError):
    """An error at a place, such as a file, a topic or a request; its text is `place: what is wrong`."""

    def __init__(self, place: object, why: str) -> None:
        super().__init__(f"{place}: {why}")
        self.place = place
        self.why = why


class MalformedEvent(TermijnError):
    """A message or a line of a file is not a CloudEvent; `key` names the attribute with the problem.

    On Kafka it is parked as a dead letter. The team that publishes it fixes it.
    """

    def __init__(self, *, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


class DecodingFailed(TermijnError):
    """The bytes of a message do not fit its topic's schema, and never will.

    It is parked as a dead letter. The operator fixes the publisher, or adds the schema version that it
    writes, and replays it.
    """

    def __init__(self, *, why: str, topic: str | None = None) -> None:
        super().__init__(f"{topic}: {why}" if topic else why)
        self.why = why
        self.topic = topic


class EncodingFailed(TermijnError):
    """A value does not fit its schema; `key` is the path of the field. Nothing was sent.

    The team that publishes it fixes the value.
    """

    def __init__(self, *, schema: str, key: str, why: str) -> None:
        super().__init__(f"{schema}: {key}: {why}")
        self.schema = schema
        self.key = key
        self.why = why


class UnknownSchema(PlacedError):
    """There is no schema of this name, or the schema registry does not have it.

    The operator adds `<event type>.<version>.avsc`, or registers the topic's schemas.
    """


class InvalidSchema(PlacedError):
    """A schema file cannot be used; nothing was loaded.

    The operator fixes the file that the error names.
    """


class RegistryUnavailable(TermijnError):
    """The schema registry did not answer as it should; the message itself may be valid.

    The role stops where it is. The operator repairs the registry and starts the role again.
    """

    def __init__(self, *, request: str, why: str) -> None:
        super().__init__(f"schema registry: {request}: {why}")
        self.request = request
        self.why = why


class IncompatibleSchema(TermijnError):
    """The schema registry refuses a version, since it and a registered version could not read each other.

    The operator lists what is registered with `termijn schemas check`, and fixes the version, or removes
    the version that another team registered there.
    """

    def __init__(self, *, request: str, why: str) -> None:
        super().__init__(f"schema registry: {request}: refused: {why}")
        self.request = request
        self.why = why
