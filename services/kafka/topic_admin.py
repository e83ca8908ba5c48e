"""Topic administration: reads and changes topics' settings by Kafka's admin interface."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from services.kafka.errors import KafkaUnavailable
from services.kafka.topic_checks import SETTINGS, TopicState

_CALL_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicAdmin:
    """Reads and changes topics' settings; the embedded broker does not support this."""

    admin: AdminClient

    def describe_topics(self, names: Collection[str]) -> Mapping[str, TopicState]:
        """Return partitions and settings of those topics that exist.

        Raises:
            KafkaUnavailable: the brokers did not respond, or deny the request.
        """
        listed = _call("list topics", lambda: self.admin.list_topics(timeout=_CALL_SECONDS)).topics
        existing = [name for name in names if name in listed]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in existing]
        futures = (
            self.admin.describe_configs(resources, request_timeout=_CALL_SECONDS)
            if resources
            else {}
        )
        states = {}
        for resource, future in futures.items():
            entries = _wait_for(f"read the settings of {resource.name}", future)
            states[resource.name] = TopicState(
                partitions=len(listed[resource.name].partitions),
                settings={name: str(entries[name].value) for name in SETTINGS if name in entries},
            )
        return states

    def set_config(self, name: str, settings: Mapping[str, str]) -> None:
        """Change these settings of a topic; its others stay.

        Raises:
            KafkaUnavailable: the brokers did not accept them.
        """
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        changed = self.admin.incremental_alter_configs([resource], request_timeout=_CALL_SECONDS)
        _wait_for(f"change {name}", changed[resource])


def _wait_for(action: str, future: Future[Any]) -> Any:
    return _call(action, lambda: future.result(_CALL_SECONDS))


def _call(action: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except TimeoutError as cause:
        raise KafkaUnavailable(action, "no response in time") from cause
    except KafkaException as cause:
        raise KafkaUnavailable(action, str(cause.args[0])) from cause
