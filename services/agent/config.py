"""Loads the agent's YAML file and checks it as a whole; each problem has its file, line and key.

Secrets are not in it: it names an environment variable or a file that holds each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import URL, make_url

from services.agent.adapters.sql.config import ColumnChange, RestrictionFlag
from services.agent.config_model import AgentConfig, SecretRef, kafka_security
from services.agent.config_validation import validate_config, validate_url
from services.kafka.security import Security
from services.policy.yaml_file import document_schema, read_yaml_text, validate_yaml
from services.policy.yaml_source import DocumentPath, InvalidFile, SourceLines, validation_path


class InvalidConfiguration(InvalidFile):
    """The agent's file cannot be used; nothing was started.

    The team corrects the lines that it names.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A checked file, with the directory and the environment that its references need."""

    configuration: AgentConfig
    base: Path
    """The file's directory, to which paths in it are relative."""
    environment: Mapping[str, str] = field(repr=False)
    lines: SourceLines = field(repr=False)

    def path(self, setting: str) -> Path:
        """Return a path of the file; a relative one is relative to the file's directory."""
        return self.base / setting

    def database_url(self, setting: str | SecretRef, *path: str | int) -> URL:
        """Return the URL of a database; an SQLite file is relative to the agent's file.

        Raises:
            InvalidConfiguration: as for `text`, or the URL cannot be used.
        """
        text = self.text(setting, *path)
        if problems := list(validate_url(path, text, secret=isinstance(setting, SecretRef))):
            raise self.invalid(problems)
        url = make_url(text)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(database=str(self.base / str(url.database)))
        return url

    def text(self, setting: str | SecretRef, *path: str | int) -> str:
        """Return a setting, or the secret that it refers to.

        Raises:
            InvalidConfiguration: there is no such variable or file, or it is empty.
        """
        if isinstance(setting, str):
            return setting
        if setting.env is not None:
            secret = self.environment.get(setting.env)
            if not secret or not secret.strip():
                raise self.invalid([((*path, "env"), f"{setting.env} is not set")])
            return secret
        try:
            text = self.path(setting.file or "").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as cause:
            problem = f"cannot be read: {type(cause).__name__}"
            raise self.invalid([((*path, "file"), problem)]) from cause
        if not text:
            raise self.invalid([((*path, "file"), "is empty")])
        return text

    def security(self) -> Security:
        """Return how Kafka is reached, with the password that the file refers to.

        Raises:
            InvalidConfiguration: as for `text`, or a file that it names cannot be read.
        """
        bus = self.configuration.bus
        password = self.text(bus.sasl_password, "bus", "sasl_password") if bus.sasl_password else ""
        security = kafka_security(bus, password, self.base)
        files = {
            name: getattr(security, name) for name in ("ca_file", "certificate_file", "key_file")
        }
        for name, file in files.items():
            try:
                _ = file and file.read_bytes()
            except OSError as cause:
                problem = f"cannot be read: {type(cause).__name__}"
                raise self.invalid([(("bus", name), problem)]) from cause
        return security

    def invalid(self, problems: Iterable[tuple[DocumentPath, str]]) -> InvalidConfiguration:
        """Return the error with these problems, each with its line."""
        return InvalidConfiguration(
            tuple(self.lines.problem_at(path, problem) for path, problem in problems)
        )


_ADAPTER = TypeAdapter(AgentConfig)
_UNION_MEMBERS = frozenset(
    kind.__name__ for kind in (str, SecretRef, ColumnChange, RestrictionFlag)
)
"""The names that pydantic puts into the place of a problem: they are not keys of the file."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an agent's file."""
    return document_schema(_ADAPTER)


def load(path: Path, environment: Mapping[str, str]) -> LoadedConfig:
    """Load and check an agent's file.

    Raises:
        InvalidConfiguration: with every problem that was found.
    """
    text = read_yaml_text(path, InvalidConfiguration)
    configuration, lines = validate_yaml(_ADAPTER, text, str(path), InvalidConfiguration, _place)
    loaded = LoadedConfig(
        configuration=configuration,
        base=path.resolve().parent,
        environment=environment,
        lines=lines,
    )
    if problems := list(validate_config(configuration)):
        raise loaded.invalid(problems)
    return loaded


def _place(loc: tuple[int | str, ...]) -> DocumentPath:
    """Return the path of a problem in the file, without the alternative that pydantic tried there."""
    return tuple(
        part
        for part in validation_path(loc)
        if str(part) not in _UNION_MEMBERS and not str(part).startswith("literal[")
    )
