"""The observer of the acknowledgements role: acknowledgements, and rejected messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.deleter.acknowledgement import Acknowledgement
from services.deleter.settlement import AcknowledgementResult
from services.operations.observers.base import ConsumerObserver


@dataclass(slots=True, kw_only=True)
class AcknowledgementsObserver(ConsumerObserver):
    """Turns what the acknowledgements role reports into metrics and log lines."""

    COUNTED_BY_SYSTEM: ClassVar[tuple[str, ...]] = (
        "termijn_acknowledgement_seconds",
        "termijn_acknowledgements_suspicious_total",
        "termijn_erasures_reopened_total",
        "termijn_proof_seconds",
    )

    def acknowledged(self, answer: Acknowledgement, settled: AcknowledgementResult) -> None:
        """Count and log an acknowledgement that was applied to its command."""
        system, metrics = answer.system, self.metrics
        metrics.count("termijn_acknowledgements_total", system=system, status=answer.status)
        if settled.reopened:
            metrics.count("termijn_erasures_reopened_total", system=system)
            self.log.error(
                "found data that was reported erased",
                system=system,
                command=str(answer.command_id),
            )
        if settled.duration is not None:
            seconds = settled.duration.total_seconds()
            metrics.observe("termijn_acknowledgement_seconds", seconds, system=system)
        if settled.verified_after is not None:
            seconds = settled.verified_after.total_seconds()
            metrics.observe("termijn_proof_seconds", seconds, system=system)
        if settled.is_unexpected:
            metrics.count("termijn_acknowledgements_suspicious_total", system=system)
        self.log.debug(
            "applied an acknowledgement",
            system=system,
            command=str(answer.command_id),
            status=answer.status,
            state=settled.state,
        )

    def signature_rejected(self, system: str, reason: str) -> None:
        """Count and log a message on a system's topic without a valid signature of the system."""
        self.metrics.count("termijn_unverifiable_total", system=system, reason=reason)
        self.log.error("rejected an unverifiable acknowledgement", system=system, reason=reason)

    def systems_without_keys(self, systems: Callable[[], Sequence[str]]) -> None:
        """Log and count the systems without a valid key: their acknowledgements are rejected."""
        self.metrics.set_function("termijn_systems_without_keys", lambda: len(systems()))
        for system in systems():
            self.log.warning("found no valid key for a system", system=system)
