"""Virtual environments of other engines in `.cache/engines`: made when missing, not in the lock file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import TermijnError

PROJECT = Path(__file__).resolve().parents[3]
DIRECTORY = PROJECT / ".cache" / "engines"
_OURS = ("fastavro==1.13.1", "pyyaml==6.0.3")
"""What the shared function needs, as `requirements.lock` has it."""


class PeerMissing(TermijnError):
    """A peer is not installed and cannot be; its figure is left out.

    To get it, run the benchmark where the package index can be reached.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another framework that does the tagger's job."""

    name: str
    module: str
    """The program, in this package."""
    requirements: tuple[str, ...]
    bar: float
    """How many times more events a CPU second the tagger is to do than the peer does plainly."""

    @property
    def installed(self) -> bool:
        """Return whether its environment exists, with exactly these requirements."""
        stamp = self._home / "requirements.txt"
        return stamp.exists() and stamp.read_text() == self._requirements_text

    def install(self) -> None:
        """Make its environment, unless it exists.

        Raises:
            PeerMissing: the environment cannot be made.
        """
        if self.installed:
            return
        shutil.rmtree(self._home, ignore_errors=True)
        self._home.mkdir(parents=True)
        run([sys.executable, "-m", "venv", str(self._home / "venv")], self.name)
        pip = [*self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, *self.requirements, *_OURS], self.name)
        (self._home / "requirements.txt").write_text(self._requirements_text)

    def command(self, *arguments: str) -> Sequence[str]:
        """Return the command that starts it, with way, broker, group and sink."""
        return [*self._python, "-m", f"{__package__}.{self.module}", *arguments]

    @property
    def _home(self) -> Path:
        return DIRECTORY / self.name

    @property
    def _python(self) -> Sequence[str]:
        return [str(self._home / "venv" / "bin" / "python")]

    @property
    def _requirements_text(self) -> str:
        return "\n".join((*self.requirements, *_OURS))

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment variables with which it finds the shared function."""
        return {"PYTHONPATH": str(PROJECT)}


PEERS = (
    Peer(
        name="faust",
        module="faust_agent",
        requirements=("faust-streaming==0.15.3", "aiokafka[lz4]==0.14.0", "pydantic==2.14.3"),
        bar=20,
    ),
    Peer(name="quix", module="quix_frame", requirements=("quixstreams==3.28.0",), bar=3),
    Peer(
        name="bytewax",
        module="bytewax_flow",
        requirements=(
            "bytewax[kafka]==0.21.0",
            "confluent-kafka==2.16.0",
            "pydantic==2.14.3",
        ),
        bar=3,
    ),
)


def run(command: Sequence[str], name: str) -> None:
    """Do one step of an installation.

    Raises:
        PeerMissing: the step failed; with the last lines of its output.
    """
    completed = subprocess.run(command, check=False, capture_output=True, text=True)
    if completed.returncode:
        last = ((completed.stderr or completed.stdout).strip().splitlines() or ["no reason given"])[
            -1
        ]
        raise PeerMissing(f"{name}: cannot be installed: {last}")
