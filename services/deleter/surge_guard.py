"""The surge guard: the deleters stop when far more is due of a rule in a system than was forecast.

A claim counts what it is about to do, in its own transaction. A claim with a surge is rolled back, and the
deleters are paused until a named person lets them go on. A wrong policy, a wrong clock or a wrong publisher
must not be able to erase a company.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, update

from services.deleter import surge
from services.deleter.paused_systems import SCOPE
from services.deleter.record_planning import PlannedObligation
from services.deleter.surge import MIN_OBLIGATIONS, Surge
from services.ledger import forecasts, policy_versions, tables
from services.ledger.forecasts import Flow, OpenSurge, Release, load_open_surges
from services.policy.actions import VERIFIED
from services.policy.comparison import compare_policies
from services.policy.model import Policy
from services.policy.obligation import Obligation
from services.policy.reasons import BY_PERSON
from services.storage import pause
from services.storage.bulk import insert

_OPERATOR = "termijn"
_MAX_NAMED = 5
"""A stop names no more flows and changes of the policy than this."""


class SurgeFound(Exception):
    """A claim would be a surge; its transaction has to be rolled back, and the deleters stopped."""

    def __init__(self, surges: Sequence[Surge], found_at: datetime) -> None:
        super().__init__(f"surge of {len(surges)} rules")
        self.surges = surges
        self.found_at = found_at


class Exemptions:
    """What an operator has released after a surge: what was due then, under the policy of then."""

    def __init__(self, releases: Mapping[Flow, Release], policy_number: int) -> None:
        self._through = {
            flow: release.through
            for flow, release in releases.items()
            if release.policy_number == policy_number
        }

    @classmethod
    def load(cls, connection: Connection) -> Exemptions:
        """Return those of the ledger."""
        releases = forecasts.load_releases(connection)
        if not releases:
            return cls({}, 0)
        return cls(releases, forecasts.active_policy_number(connection))

    def covers(self, flow: Flow, due: datetime) -> bool:
        """Return whether what was due of the flow at that instant, UTC, was released."""
        through = self._through.get(flow)
        return through is not None and due <= through


def flows_of(obligation: Obligation) -> list[Flow]:
    """Return the flows that an obligation counts for; none if it destroys nothing."""
    if obligation.action not in VERIFIED:
        return []
    return [Flow(rule, obligation.system) for rule in obligation.rules]


def check_claim(
    connection: Connection,
    planned: Collection[PlannedObligation],
    factor: float,
    now: datetime,
) -> bool:
    """Count the obligations of a claim, after its commands are written; `factor` 0 means no guard.

    Returns whether the guard could compare them: False if there are many, and no forecast.

    Raises:
        SurgeFound: they are a surge.
    """
    if not factor:
        return True
    exemptions = Exemptions.load(connection)
    counts: Counter[Flow] = Counter()
    by_person: set[tuple[Flow, str]] = set()
    for item in planned:
        for flow in flows_of(item.obligation):
            if exemptions.covers(flow, item.obligation.due):
                continue
            if item.obligation.reason in BY_PERSON:
                by_person.add((flow, item.subject))
            else:
                counts[flow] += 1
    # A person's own decision counts once, however many records it is about.
    counts.update(flow for flow, _ in by_person)
    if not counts:
        return True
    totals = forecasts.add_claimed(connection, now.date(), counts)
    many = [flow for flow, total in totals.items() if total >= MIN_OBLIGATIONS]
    if not many:
        return True
    histories = forecasts.load_history(connection, many, now)
    found = [
        surge.find_surge(flow, totals[flow], history, factor, now)
        for flow, history in histories.items()
    ]
    if surges := [item for item in found if item]:
        raise SurgeFound(sorted(surges, key=lambda item: item.flow), now)
    return all(history.daily for history in histories.values())


def stop(connection: Connection, cause: SurgeFound, policy: Policy, now: datetime) -> bool:
    """Pause the deleters because of a surge, and store it; return whether that was necessary.

    It is not if an operator has released every such flow since the surge was found.
    """
    releases = forecasts.load_releases(connection)
    surges = [
        item
        for item in cause.surges
        if (release := releases.get(item.flow)) is None or release.through < cause.found_at
    ]
    if not surges:
        return False
    number = forecasts.active_policy_number(connection)
    opened = {(row.rule, row.system) for row in load_open_surges(connection)}
    rows = [
        {
            "rule": item.flow.rule,
            "system": item.flow.system,
            "claimed": item.claimed,
            "expected": item.expectation.obligations,
            "forecast_at": item.expectation.forecast_at,
            "found_at": cause.found_at,
            "policy_number": number,
            "released_at": None,
            "operator": None,
        }
        for item in surges
        if item.flow not in opened
    ]
    insert(connection, tables.surge, rows)
    reason = _describe(connection, surges, policy)
    pause.set_pause_state(connection, SCOPE, "paused", operator=_OPERATOR, reason=reason, now=now)
    return True


def release(connection: Connection, operator: str, now: datetime) -> Sequence[OpenSurge]:
    """Let every open surge go on: what is due of it by `now`, UTC, is not counted any more."""
    released = load_open_surges(connection)
    column = tables.surge.c
    connection.execute(
        update(tables.surge)
        .where(column.number.in_([row.number for row in released]))
        .values(released_at=now, operator=operator)
    )
    return released


def _describe(connection: Connection, surges: Sequence[Surge], policy: Policy) -> str:
    """Return which rules surge in which systems, and what the policy has changed about them since."""
    parts = [
        f"rule {item.flow.rule} in {item.flow.system}: at least {item.claimed} due today,"
        f" {item.expectation.obligations} forecast on {item.expectation.forecast_at:%Y-%m-%d}"
        for item in surges[:_MAX_NAMED]
    ]
    if len(surges) > _MAX_NAMED:
        parts.append(f"and {len(surges) - _MAX_NAMED} more")
    oldest = min(item.expectation.forecast_at for item in surges)
    changes = _policy_changes(connection, {item.flow.rule for item in surges}, policy, oldest)
    return f"a surge: {'; '.join(parts)}; {changes}"


def _policy_changes(
    connection: Connection, rules: Collection[str], policy: Policy, since: datetime
) -> str:
    versions = policy_versions.list_versions(connection)
    newer = [version for version in versions if version.activated_at > since]
    if not newer:
        return "the policy is the same since then"
    active = newer[0]
    text = f"policy {active} is active since {active.activated_at:%Y-%m-%d %H:%M} UTC"
    if active.operator:
        text += f" by {active.operator}"
    before = next((version for version in versions if version.activated_at <= since), newer[-1])
    if before.number == active.number:
        return text
    try:
        changes = compare_policies(before.load(), policy)
    except (policy_versions.PolicyTextMissing, policy_versions.PolicyTextUnreadable):
        return text
    of_rules = [c for c in changes if c.section == "rules" and c.name in rules] or changes
    words = "; ".join(change.in_words() for change in of_rules[:_MAX_NAMED])
    return f"{text}, with other keys than {before}: {words}" if words else text
