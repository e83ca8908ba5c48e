"""Observing: what the agent does becomes metrics and logs; no subject gets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.operations.observers.roles import Observer


@dataclass(slots=True, kw_only=True)
class AgentObserver(Observer):
    """Whom the agent's parts tell what they did."""

    def took_in(self, judgements: Mapping[str, int]) -> None:
        """So many commands arrived, by what became of them."""
        for judgement, commands in judgements.items():
            self.metrics.count("termijn_agent_commands_total", commands, judgement=judgement)

    def carried_out(self, action: str, status: str, after: timedelta) -> None:
        """A command has its answer, so long after its last attempt was issued."""
        self.metrics.count("termijn_agent_answers_total", action=action, status=status)
        seconds = after.total_seconds()
        self.metrics.observe("termijn_agent_answer_seconds", seconds, action=action)
        self.log.debug("answered a command", action=action, status=status)

    def tried(self, command_id: str, action: str, why: str) -> None:
        """The system could not be asked; it will be tried again, or given up."""
        self.metrics.count("termijn_agent_tries_failed_total", action=action)
        self.log.warning(
            "could not carry out a command", command=command_id, action=action, why=why
        )

    def delivered(self, answers: int) -> None:
        """So many answers went out."""
        self.log.info("sent answers", answers=answers)

    def unsent(self, why: str) -> None:
        """Answers did not go out; they are sent again."""
        self.metrics.count("termijn_batches_tried_again_total", role=self.role)
        self.loop.hindered("answers do not go out; its log says why")
        self.log.warning("could not send answers", why=why.partition("\n")[0])

    def forgot(self, commands: int) -> None:
        """So many commands are remembered no longer."""
        if commands:
            self.log.info("forgot answered commands", commands=commands)

    def looked_at(
        self,
        counted: Mapping[str, int],
        oldest: datetime | None,
        parked: Mapping[str, int],
        gaps: int,
        now: datetime,
    ) -> None:
        """The inbox was looked at as a whole."""
        for state in ("waiting", "pending"):
            self.metrics.set("termijn_agent_commands_open", counted.get(state, 0), state=state)
        age = now - oldest if oldest else timedelta()
        self.metrics.set("termijn_agent_oldest_open_seconds", age.total_seconds())
        self.metrics.set("termijn_gaps", gaps)
        self.metrics.replace(
            "termijn_dead_letters_parked", {(reason,): n for reason, n in parked.items()}
        )
