"""The samples in other languages, built as their publishers would, once for each state of their sources."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from tests.servers.processes import executable

Language = Literal["java", "node"]

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "deploy" / "samples"
_HOME = ROOT / ".cache" / "samples"
_MADE = ("target", "node_modules")
_PACKAGES: Mapping[Language, Mapping[str, str]] = {
    "java": {"java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless", "mvn": "maven"},
    "node": {"node": "nodejs", "npm": "npm"},
}
_BUILD: Mapping[Language, Sequence[str]] = {
    "java": ("mvn", "-q", "-B", "package"),
    "node": ("npm", "ci", "--prefer-offline", "--silent"),
}
PUBLISH: Mapping[Language, Sequence[str]] = {
    "java": ("java", "-cp", "target/termijn-sample.jar:target/lib/*", "example.PublishFeedback"),
    "node": ("node", "publish-feedback.js"),
}


def built(language: Language) -> Path:
    """The directory of a sample that can be run.

    Raises:
        ServerMissing: what builds it is not installed.
    """
    for program, package in _PACKAGES[language].items():
        executable(program, package=package)
    source, home = SOURCES / language, _HOME / language
    files = sorted(
        file
        for file in source.rglob("*")
        if file.is_file() and not set(file.relative_to(source).parts) & set(_MADE)
    )
    state = sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = home / "sources.sha256"
    if not stamp.exists() or stamp.read_text("utf-8") != state:
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(source, home, ignore=shutil.ignore_patterns(*_MADE))
        completed = subprocess.run(
            _BUILD[language], cwd=home, capture_output=True, text=True, check=False
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        stamp.write_text(state, "utf-8")
    return home
