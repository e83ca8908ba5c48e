"""The observer of the acknowledgements role: acknowledgements, and rejected messages."""

from __future__ import annotations

from collections import Counter
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

    def acknowledged(
        self, applied: Sequence[tuple[Acknowledgement, AcknowledgementResult]]
    ) -> None:
        """Count and log acknowledgements that were applied to their commands."""
        metrics = self.metrics
        alike = Counter((answer.system, answer.status, result) for answer, result in applied)
        for (system, status, result), count in alike.items():
            metrics.count("termijn_acknowledgements_total", count, system=system, status=status)
            if result.reopened:
                metrics.count("termijn_erasures_reopened_total", count, system=system)
            if result.duration is not None:
                seconds = result.duration.total_seconds()
                metrics.observe("termijn_acknowledgement_seconds", seconds, count, system=system)
            if result.verified_after is not None:
                seconds = result.verified_after.total_seconds()
                metrics.observe("termijn_proof_seconds", seconds, count, system=system)
            if result.is_unexpected:
                metrics.count("termijn_acknowledgements_suspicious_total", count, system=system)
        self.log.debug("applied acknowledgements", acknowledgements=len(applied))
        for answer, result in applied:
            if result.reopened:
                self.log.error(
                    "found data that was reported erased",
                    system=answer.system,
                    command=str(answer.command_id),
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
