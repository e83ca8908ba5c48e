"""The tagger's job in Kafka Streams: its jars by Maven, its one class compiled on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from services.policy.model import Policy
from tests.benchmarks.engines.environments import DIRECTORY, PROJECT, PeerMissing, run

NAME = "streams"
TYPE = "website.feedback-given"
"""The one event type of which it knows the policy."""
_HERE = Path(__file__).parent
_HOME = DIRECTORY / NAME
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def install() -> None:
    """Download the jars and compile, unless this was done before.

    Raises:
        PeerMissing: a JDK or Maven is missing, or the jars cannot be downloaded.
    """
    sources = (_HERE / "pom.xml", _HERE / "Tagger.java")
    wanted = sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = _HOME / "sources.sha256"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            raise PeerMissing(f"{NAME}: {program} is not installed")
    shutil.rmtree(_HOME, ignore_errors=True)
    jars = f"-DoutputDirectory={_HOME / 'jars'}"
    run(["mvn", "-q", "-B", "-f", str(sources[0]), _COPY, "-DincludeScope=runtime", jars], NAME)
    classes = str(_HOME / "classes")
    run(["javac", "-cp", f"{_HOME / 'jars'}/*", "-d", classes, str(sources[1])], NAME)
    stamp.write_text(wanted)


def command(policy: Policy, state: Path, *arguments: str) -> Sequence[str]:
    """Return the command that starts it, with broker, group and sink."""
    schemas = PROJECT / "schemas"
    return [
        "java",
        "-cp",
        f"{_HOME / 'jars'}/*:{_HOME / 'classes'}",
        "Tagger",
        *arguments,
        str(state),
        str(schemas / "business" / f"{TYPE}.1.avsc"),
        str(schemas / "retention" / "tagged.1.avsc"),
        policy.policy,
        policy.version,
    ]
