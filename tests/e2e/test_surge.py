"""A policy whose seven years became seven days stops the deleter, on real Kafka and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.cloudevents import format_rfc3339
from services.policy import loader
from tests.e2e.running import ROLES, Running, business_event, write_events

SHIPPED = (Path(loader.__file__).parent / loader.DEFAULT_POLICY).read_text("utf-8")
ONE_YEAR = (
    "    title: Feedback on and experience of the website\n    kind: at_most\n    term: P1Y\n"
)
VERSION = 'version: "2021-05-19.7"'
SENT = "attempt > 0 AND action = 'erase'"
MANY = 1_500


def keeping_feedback(term: str, version: str) -> str:
    """The shipped policy with another term for feedback."""
    assert ONE_YEAR in SHIPPED
    assert VERSION in SHIPPED
    text = SHIPPED.replace(VERSION, f"version: {version}")
    return text.replace(ONE_YEAR, ONE_YEAR.replace("P1Y", term))


def feedback(number: int, given: datetime) -> dict[str, object]:
    return business_event(
        f"f{number}",
        "website.feedback-given",
        format_rfc3339(given),
        feedback_id=str(number),
        visitor_id=str(number),
    )


def test_seven_years_that_became_seven_days_stop_the_deleter(running: Running) -> None:
    """What the operator accepted was shown before the import: then nothing ended at once."""
    policy = running.directory / "policy.yaml"
    policy.write_text(keeping_feedback("P7Y", "long"), "utf-8")
    running.setting("TERMIJN_POLICY", str(policy))
    running.start(*ROLES)
    last_month = datetime.now(UTC).replace(microsecond=0) - timedelta(days=30)
    first = write_events(running.directory / "1.jsonl", [feedback(0, datetime.now(UTC))])
    assert running.history(first).returncode == 0
    running.until("a forecast is made", lambda: running.count("forecast", "kind = 'daily'") == 1)

    policy.write_text(keeping_feedback("P7D", "short"), "utf-8")
    activate = ("policy", "activate", "--reason", "a test")
    shown = running.run(*activate)
    assert "rule D5: term is P7D, was P7Y" in shown.stdout
    assert "at once" not in shown.stdout
    old = write_events(
        running.directory / "2.jsonl", [feedback(1 + n, last_month) for n in range(MANY)]
    )
    assert running.history(old).returncode == 0
    assert running.count("command") == 0
    digest = shown.stderr.strip().rpartition("--accept ")[2]
    activated = running.run(*activate, "--accept", digest)
    assert activated.stdout == "active: optimum-pos short\n", activated.stderr

    running.until(
        "the deleter has stopped", lambda: running.count("control", "state = 'paused'") == 1
    )
    assert running.count("command", SENT) < 1_000
    [(reason,)] = running.query("SELECT reason FROM control")
    assert "rule D5 in website: at least 15" in reason
    assert reason.endswith("rule D5: term is P7D, was P7Y")
    resumed = running.run("resume", "deleter", "--reason", "it is right")
    assert resumed.stdout.startswith("goes on: rule D5 in website, at least 15")
    running.until("the rest is out", lambda: running.count("command", SENT) == MANY)
    assert running.count("surge") == 1
