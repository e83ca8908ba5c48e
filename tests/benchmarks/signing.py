"""The cost of a signature on one core: signing and verifying a message, against Ed25519 alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import process_time

from services.crypto.key_directory import KeyDirectory
from services.crypto.signing import signed_bytes
from tests.benchmarks.deleter_driver import current_time
from tests.benchmarks.environment import Stage
from tests.benchmarks.figures import Figure

_QUICK = 2_000
_FULL = 50_000
_TOPIC = "retention.commands.crm.v1"
_KEY = b"customer:C1"
_VALUE = bytes(600)
"""As long as a command that names two records."""


def signing(stage: Stage) -> Iterator[Figure]:
    """Measure messages that one core signs and verifies a second, keys in files as in production."""
    count = stage.size(_QUICK, _FULL)
    keys = KeyDirectory(path=stage.directory / "signing")
    [key] = keys.create()
    assert key.private_key is not None
    assert key.public_key is not None
    private, public = key.private_key, key.public_key
    signer, verifier, now = keys.signer(), keys.verifier(), current_time()
    message = signed_bytes(_TOPIC, _KEY, _VALUE)
    signature = private.sign(message)
    headers = signer.sign(_TOPIC, _KEY, _VALUE, now)
    for name, termijn_part, bare in (
        (
            "signing.sign",
            lambda: signer.sign(_TOPIC, _KEY, _VALUE, now),
            lambda: private.sign(message),
        ),
        (
            "signing.verify",
            lambda: verifier.verify(_TOPIC, _KEY, _VALUE, headers, now),
            lambda: public.verify(signature, message),
        ),
    ):
        yield Figure(
            name=name,
            value=_measure_rate(termijn_part, count, stage.runs),
            unit="messages a CPU second; against Ed25519 alone",
            baseline=_measure_rate(bare, count, stage.runs),
            runs=stage.runs,
        )


def _measure_rate(work: Callable[[], object], count: int, runs: int) -> float:
    spent = []
    for _ in range(runs):
        started = process_time()
        for _ in range(count):
            work()
        spent.append(process_time() - started)
    return count / median(spent)
