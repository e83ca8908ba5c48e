"""Acknowledgements of the agent: disclosed data is sent encrypted, or not at all."""

from __future__ import annotations

from datetime import timedelta

from services.agent.adapters.base import CommandTask
from services.agent.rate_limit import LimitedRetries, TokenBucket
from services.agent.result import DisclosedRecord, Result
from services.crypto import jwe
from tests.unit.agent.environment import T0, AgentEnvironment, FakeAdapter, command, command_id

DISCLOSED = Result(
    status="done",
    counts={"orders": 1},
    records=(
        DisclosedRecord(type="orders.order-placed", id="e-O1", time=None, data={"to": "Sanne"}),
    ),
)


def complete(task: CommandTask) -> Result:
    return DISCLOSED


def test_a_disclosure_is_decrypted_only_with_the_key_of_its_request() -> None:
    """It names the command and the system that it belongs to."""
    key = jwe.new_key()
    environment = AgentEnvironment(adapter=FakeAdapter(complete))
    public = jwe.to_public(key)
    assert environment.execute_all(command(action="disclose", disclose_to=public)) == ["done"]
    [answer] = environment.answers()
    assert b"Sanne" not in environment.observer.sent_[0].value
    assert jwe.decrypt(answer["disclosure"], key, command_id("c1")) == {
        "command_id": command_id("c1"),
        "system": "crm",
        "records": [
            {"type": "orders.order-placed", "id": "e-O1", "time": None, "data": {"to": "Sanne"}}
        ],
    }


def test_without_a_key_nothing_is_disclosed() -> None:
    """A command with an invalid key discloses nothing either."""
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter(complete)))
    assert environment.execute_all(command(action="disclose")) == ["failed"]
    assert adapter.done == []
    assert environment.execute_all(command("c2", seq=2, action="disclose", disclose_to="{}")) == [
        "failed"
    ]
    assert environment.answers()[1]["disclosure"] is None


def test_a_disclosure_that_is_too_large_for_kafka_is_reported_as_failed() -> None:
    """Otherwise the agent would try to send it without end."""
    key = jwe.to_public(jwe.new_key())
    environment = AgentEnvironment(adapter=FakeAdapter(complete), largest=300)
    assert environment.execute_all(command(action="disclose", disclose_to=key)) == ["failed"]
    assert "at most 300 fit" in str(environment.answers()[0]["detail"])


def test_corrections_are_decrypted_with_any_key_of_the_system() -> None:
    """A replaced key may still have been used; no other system's key decrypts them."""
    old, new = jwe.new_key(), jwe.new_key()
    environment = AgentEnvironment(adapter=(adapter := FakeAdapter()), keys=(new, old))
    text = jwe.encrypt({"name": "S. de Vries"}, jwe.to_public(old), command_id("c1"))
    assert environment.execute_all(command(action="rectify", corrections=text)) == ["done"]
    assert adapter.tasks[0].corrections == {"name": "S. de Vries"}
    elsewhere = command("c2", seq=2, action="rectify", corrections=text)
    assert environment.execute_all(elsewhere) == ["failed"]
    assert environment.execute_all(command("c3", seq=3, action="rectify")) == ["failed"]
    assert len(adapter.done) == 1


def test_a_clock_that_is_set_back_adds_no_tokens() -> None:
    """Tokens are added only for time that has passed."""
    bucket = TokenBucket(per_second=1, burst=1)
    assert bucket.take(T0)
    assert not bucket.take(T0 - timedelta(hours=1))
    assert not bucket.take(T0 - timedelta(hours=1) + timedelta(seconds=0.5))
    assert bucket.take(T0 - timedelta(hours=1) + timedelta(seconds=1))


def test_pauses_between_attempts_double_up_to_the_cap() -> None:
    """One, two, four, five seconds; then the controller repeats the command."""
    retries = LimitedRetries(max_attempts=5, base=timedelta(seconds=1), cap=timedelta(seconds=5))
    waits = [retries.delay_after(tries) for tries in (1, 2, 3, 4, 5)]
    assert [wait and wait.total_seconds() for wait in waits] == [1, 2, 4, 5, None]


def test_counts_that_are_too_large_for_kafka_are_reported_as_failed() -> None:
    """A hook that counts 60,000 names gets this answer, and later ones are sent."""
    counts = {f"table-{number:06}-{'x' * 20}": 1 for number in range(60_000)}
    environment = AgentEnvironment(
        adapter=FakeAdapter(lambda task: Result(status="done", counts=counts))
    )
    assert environment.execute_all(command()) == ["failed"]
    assert "at most 900000 fit" in str(environment.answers()[0]["detail"])


def test_an_answer_that_kafka_never_accepts_delays_no_other() -> None:
    """`failed` is reported in its place; the others are sent, each once."""
    large = {f"t{number}": 1 for number in range(900)}

    def play(task: CommandTask) -> Result:
        return Result(status="done", counts=large if task.command.seq == 2 else {"orders": 1})

    environment = AgentEnvironment(adapter=FakeAdapter(play))
    environment.observer.most = 2_000
    commands = [command(f"c{n}", seq=n, subject=f"customer:C{n}") for n in range(1, 6)]
    environment.execute_all(*commands)
    environment.sender.send()
    statuses = {answer["command_id"]: answer["status"] for answer in environment.answers()}
    assert statuses == {command_id(f"c{n}"): "failed" if n == 2 else "done" for n in range(1, 6)}
    assert len(environment.answers()) == 5
    assert environment.inbox.outgoing(10) == []


def test_an_answer_that_kafka_accepts_in_no_form_is_given_up_and_reported() -> None:
    """Not even `failed` is accepted: the controller repeats the command, and it is carried out again."""
    environment = AgentEnvironment(adapter=FakeAdapter())
    environment.observer.most = 10
    environment.execute_all(command())
    environment.sender.send()
    assert environment.inbox.outgoing(10) == []
    assert {note[0] for note in environment.observer.reports} == {"erase", "unsent"}
    assert command_id("c1") in str(environment.observer.reports[-1])
    environment.observer.most = 2_000
    assert environment.execute_all(command(attempt=2, issued_at=T0 + timedelta(minutes=1))) == [
        "done"
    ]


def test_what_was_read_again_is_told_with_the_number_of_records() -> None:
    adapter = FakeAdapter(lambda _: Result(status="done", counts={"o": 2}, checked={"o": 0}))
    environment = AgentEnvironment(adapter=adapter)
    assert environment.execute_all(command(action="erase")) == ["done"]
    assert environment.answers()[0]["checked"] == {"records": 1, "found": {"o": 0}}


def test_a_reading_that_does_not_fit_is_left_out() -> None:
    """The erasure is acknowledged all the same, and its verification follows."""
    tables = {f"{number:030}": 0 for number in range(20)}
    adapter = FakeAdapter(lambda _: Result(status="done", counts={"o": 2}, checked=tables))
    environment = AgentEnvironment(adapter=adapter, largest=400)
    assert environment.execute_all(command(action="erase")) == ["done"]
    assert environment.answers()[0]["checked"] is None
