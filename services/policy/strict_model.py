"""The base of everything that is read from a YAML file: a policy and an agent's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class StrictModel:
    """A part of a YAML file in which an unknown key is an error; its docstrings go into the JSON Schema."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "extra": "forbid",
        "use_attribute_docstrings": True,
    }
