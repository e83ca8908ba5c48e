"""Running roles change over to another active policy, on real Kafka and PostgreSQL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from services.policy import loader
from tests.e2e.running import ROLES, Running, business_event, write_events

SHIPPED = (Path(loader.__file__).parent / loader.DEFAULT_POLICY).read_text("utf-8")
NEWS = "  news: {title: News, dpv: dpv:ServiceProvision, source: a newer statement}\n"


@pytest.fixture
def policy(running: Running) -> Path:
    """The file that is configured for every process."""
    file = running.directory / "policy.yaml"
    file.write_text(SHIPPED, "utf-8")
    running.setting("TERMIJN_POLICY", str(file))
    return file


def activate(running: Running) -> subprocess.CompletedProcess[str]:
    """Activate the configured policy, and accept its differences."""
    command = ("policy", "activate", "--reason", "a test")
    shown = running.run(*command)
    digest = shown.stderr.strip().rpartition("--accept ")[2]
    assert shown.returncode == 1, shown.stdout
    return running.run(*command, "--accept", digest)


def test_running_roles_change_over_to_another_policy(running: Running, policy: Path) -> None:
    """No process ends, and nothing that the new policy allows is parked by a tagger under the old one."""
    running.start(*ROLES)
    order = business_event(
        "order-1",
        "orders.order-placed",
        "2026-03-15T13:00:00Z",
        customer_id="C1",
        amount="12.50",
        payment={"method": "ideal"},
        order_id="O1",
        consumer_id="K1",
    )
    assert running.history(write_events(running.directory / "1.jsonl", [order])).returncode == 0
    running.until("all have started", lambda: all(running.has_started(role, 1) for role in ROLES))
    processes = dict(running.processes)

    changed = SHIPPED.replace('version: "2021-05-19.7"', "version: next")
    assert changed != SHIPPED
    policy.write_text(changed.replace("purposes:\n", f"purposes:\n{NEWS}", 1), "utf-8")
    activated = activate(running)
    assert activated.stdout == "active: optimum-pos next\n", activated.stderr
    consent = business_event(
        "consent-1",
        "privacy.consent-given",
        "2026-03-16T13:00:00Z",
        subject="consumer:K1",
        purpose="news",
    )
    file = write_events(running.directory / "2.jsonl", [consent])
    assert running.history(file).returncode == 0
    running.until("the consent is recorded", lambda: running.count("act") == 1)
    running.until(
        "every role has changed over", lambda: all(running.has_started(role, 2) for role in ROLES)
    )
    assert running.count("dead_letter") == 0
    assert all(process.poll() is None for process in processes.values())
    assert running.processes == processes


def test_a_role_runs_with_the_active_policy_whatever_is_configured(
    running: Running, policy: Path
) -> None:
    """The file counts in an empty ledger, and to activate it."""
    running.start("recorder")
    running.until("it has started", lambda: running.has_started("recorder", 1))
    policy.write_text("not: a policy", "utf-8")
    running.start("deleter", "tagger")
    running.until("it has started", lambda: running.has_started("tagger", 1))
    running.until("it has started", lambda: running.has_started("deleter", 1))
    assert '"policy": "2021-05-19.7"' in running.log("deleter")
    assert running.run_json("status")[0]["value"] == "optimum-pos 2021-05-19.7"
