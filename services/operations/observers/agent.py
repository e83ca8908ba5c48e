"""The agent's observer: commands that were received and carried out, and the state of the inbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.operations.observers.base import ConsumerObserver


@dataclass(slots=True, kw_only=True)
class AgentObserver(ConsumerObserver):
    """Turns what the agent reports into metrics and log lines; it gets no data on a person."""

    def commands_received(self, judgements: Mapping[str, int]) -> None:
        """Count the commands that arrived, by what became of them."""
        for judgement, commands in judgements.items():
            self.metrics.count("termijn_agent_commands_total", commands, judgement=judgement)

    def command_completed(self, action: str, status: str, after: timedelta) -> None:
        """Count and log an acknowledged command, and the time since its last attempt was issued."""
        self.metrics.count("termijn_agent_answers_total", action=action, status=status)
        seconds = after.total_seconds()
        self.metrics.observe("termijn_agent_answer_seconds", seconds, action=action)
        self.log.debug("answered a command", action=action, status=status)

    def attempt_failed(self, command_id: str, action: str, why: str) -> None:
        """Count and log a failed attempt; the command is retried, or refused after the last attempt."""
        self.metrics.count("termijn_agent_tries_failed_total", action=action)
        self.log.warning(
            "could not carry out a command", command=command_id, action=action, why=why
        )

    def acknowledgements_sent(self, answers: int) -> None:
        """Log how many acknowledgements were sent."""
        self.log.info("sent acknowledgements", acknowledgements=answers)

    def send_failed(self, why: str) -> None:
        """Count and log acknowledgements that could not be sent; they are retried."""
        self.metrics.count("termijn_batches_tried_again_total", role=self.role)
        self.loop.mark_not_ready("cannot send acknowledgements; the log has the cause")
        self.log.warning("could not send acknowledgements", why=why.partition("\n")[0])

    def purged(self, commands: int) -> None:
        """Log how many acknowledged commands were purged from the inbox."""
        if commands:
            self.log.info("purged answered commands", commands=commands)

    def inbox_measured(
        self,
        by_state: Mapping[str, int],
        oldest: datetime | None,
        parked: Mapping[str, int],
        gaps: int,
        now: datetime,
    ) -> None:
        """Note the state of the inbox as a whole."""
        for state in ("waiting", "pending"):
            self.metrics.set("termijn_agent_commands_open", by_state.get(state, 0), state=state)
        age = now - oldest if oldest else timedelta()
        self.metrics.set("termijn_agent_oldest_open_seconds", age.total_seconds())
        self.metrics.set("termijn_gaps", gaps)
        self.metrics.replace_labels(
            "termijn_dead_letters_parked", {(reason,): n for reason, n in parked.items()}
        )
