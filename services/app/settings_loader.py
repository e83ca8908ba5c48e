"""Read the settings from the environment and a TOML file; nothing else reads the environment.

The environment wins over the file that `TERMIJN_SETTINGS` names.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from services.app.setting_field import InvalidSetting, shown_url
from services.app.settings import GROUPS, Settings

FILE = "TERMIJN_SETTINGS"
_MAX_VALUE_CHARS = 64  # characters of a value in an error
_CREDENTIALS = re.compile(r"//[^/\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingView:
    """One setting as `termijn settings` lists it, without the value of a secret."""

    variable: str
    key: str
    value: str
    source: str
    meaning: str


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Load the settings of this process.

    Raises:
        InvalidSetting: a value is of the wrong type, or the file has an unknown key.
    """
    values, _ = _collect(os.environ if environment is None else environment)
    return Settings(**{name: group(**values[name]) for name, group in GROUPS.items()})


def list_settings(environment: Mapping[str, str] | None = None) -> Iterator[SettingView]:
    """List every setting with its value, where the value came from, and what the setting means.

    Raises:
        InvalidSetting: as `load`.
    """
    values, sources = _collect(os.environ if environment is None else environment)
    for name, group in GROUPS.items():
        for setting in fields(group):
            value = values[name].get(setting.name, setting.default)
            hidden = setting.metadata["secret"] and value
            yield SettingView(
                variable=setting.metadata["variable"],
                key=f"{name}.{setting.name}",
                value="(set)" if hidden else _CREDENTIALS.sub("//(hidden)@", _display(value)),
                source=sources.get((name, setting.name), "default"),
                meaning=setting.metadata["meaning"],
            )


def environment() -> dict[str, str]:
    """Return a copy of this process's environment, to extend for child processes."""
    return dict(os.environ)


def _collect(
    environment: Mapping[str, str],
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], str]]:
    file = environment.get(FILE)
    document = _load_toml(Path(file)) if file else {}
    values: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    sources: dict[tuple[str, str], str] = {}
    for name, group in GROUPS.items():
        section = document.pop(name, {})
        if not isinstance(section, dict):
            raise InvalidSetting(str(file), name, "must be a section")
        for setting in fields(group):
            variable = setting.metadata["variable"]
            if setting.name in section and not setting.metadata["in_file"]:
                problem = (
                    f"cannot be set in a file; set {variable} in the environment, or name a file"
                )
                raise InvalidSetting(str(file), f"{name}.{setting.name}", problem)
            if setting.name in section:
                raw = section.pop(setting.name)
                values[name][setting.name] = _parse_value(
                    setting, raw, str(file), f"{name}.{setting.name}"
                )
                sources[name, setting.name] = str(file)
            if environment.get(variable):
                raw = environment[variable]
                values[name][setting.name] = _parse_value(setting, raw, "environment", variable)
                sources[name, setting.name] = variable
        for key in section:
            raise InvalidSetting(
                str(file), f"{name}.{key}", "is not a setting; `termijn settings` lists them all"
            )
    for key in document:
        raise InvalidSetting(
            str(file), key, f"is not a section; the sections are {', '.join(GROUPS)}"
        )
    return values, sources


def _load_toml(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as cause:
        line = raw.count(b"\n", 0, cause.start) + 1
        problem = f"line {line} is not UTF-8; write the file in UTF-8"
        raise InvalidSetting(str(path), "file", problem) from cause
    except RecursionError as cause:
        raise InvalidSetting(str(path), "file", "is nested too deeply") from cause
    except (OSError, ValueError) as cause:  # ValueError: not TOML, or a name with a NUL
        problem = getattr(cause, "strerror", None) or str(cause)
        raise InvalidSetting(str(path), "file", f"cannot be read: {problem}") from cause


def _parse_value(setting: Field[Any], raw: Any, place: str, key: str) -> Any:
    text = ":".join(map(str, raw)) if isinstance(raw, list) else str(raw)
    try:
        return setting.metadata["parse"](text)
    except ValueError as cause:
        if setting.metadata["secret"] or setting.metadata["parse"] is shown_url:
            raise InvalidSetting(place, key, f"{cause} (the value is not shown)") from cause
        excerpt = text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"
        raise InvalidSetting(place, key, f"{cause}, got {excerpt!r}") from cause


def _display(value: Any) -> str:
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return "" if value is None else str(value)
