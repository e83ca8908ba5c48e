"""A policy with encryption is refused where a key would be lost too early, too late or permanently."""

from __future__ import annotations

from typing import Any

import pytest

from services.policy.loader import InvalidPolicy, load
from services.policy.validation_encryption import is_within
from tests.unit.crypto.stage import document, policy, policy_of

ORDER = "orders.order-placed"


def policy_problems(written: dict[str, Any]) -> str:
    """Return the problems that the loader reports."""
    with pytest.raises(InvalidPolicy) as cause:
        policy_of(written)
    return str(cause.value)


def test_the_shipped_policy_encrypts_nothing() -> None:
    """It is opted into."""
    shipped = load()
    assert {system.holds for system in shipped.systems.values()} == {"data"}
    assert not any(event.encrypted for event in shipped.events.values())


def test_the_stages_policy_is_sound() -> None:
    """Two groups of an order's fields, and one field in both."""
    encrypted = policy().events[ORDER].encrypted
    assert encrypted["payment.transaction_id"] == ("bus", "bus-books")


@pytest.mark.parametrize(
    ("path", "systems", "why"),
    [
        ("consumer_id", ["bus"], "consumer_id is a decision field and must stay readable"),
        ("consumer_id[]", ["bus"], "consumer_id is a decision field and must stay readable"),
        ("remarks", [], "names no system that holds its key"),
        ("remarks", ["orders"], "'orders' is not a system that holds keys"),
        ("remarks", ["nowhere"], "'nowhere' is not a system that holds keys"),
        ("lines[0].product", ["bus"], "'lines[0].product' is not a field such as lines[].product"),
        ("payment.method", ["bus"], "payment.method is encrypted"),
    ],
)
def test_a_field_that_cannot_be_encrypted_is_named(path: str, systems: list[str], why: str) -> None:
    """The error has its line and key."""
    written = document()
    written["events"][ORDER]["encrypted"][path] = systems
    assert why in policy_problems(written)


def test_a_deciding_field_inside_an_encrypted_one_is_found() -> None:
    """The whole would not be readable either."""
    assert is_within("payment", "payment.iban")
    assert is_within("lines", "lines[].product")
    assert not is_within("pay", "payment.iban")
    written = document(encrypted={"payment": ["bus"], "amount": ["bus-books"]}, plain=[])
    written["events"][ORDER]["fields"]["payment.method"] = {"required": False}
    assert "payment.method is a decision field and must stay readable" in policy_problems(written)


def test_a_system_whose_key_no_holding_ends_is_refused() -> None:
    """Its key would never be destroyed."""
    written = document()
    written["events"][ORDER]["holdings"][1]["systems"] = ["accounting"]
    assert "no holding is in bus-books, so its key would never be destroyed" in policy_problems(
        written
    )


def test_a_system_that_would_hold_no_key_is_refused() -> None:
    """Each of its commands would find nothing."""
    written = document()
    encrypted = written["events"][ORDER]["encrypted"]
    written["events"][ORDER]["encrypted"] = {
        path: ["bus"] for path, systems in encrypted.items() if "bus" in systems
    }
    assert "has no field whose key bus-books could hold" in policy_problems(written)


def test_a_log_is_not_pseudonymised() -> None:
    """Twenty years of it would tie everything to the person."""
    written = document()
    written["events"][ORDER]["holdings"][2] = {
        **written["events"][ORDER]["holdings"][2],
        "systems": ["research", "bus"],
    }
    assert "R4 pseudonymises, and encrypted fields of the log cannot be" in policy_problems(written)


def test_data_of_others_in_an_event_has_no_key_of_its_own() -> None:
    """A ticket's consumers are not its customer."""
    written = document()
    ticket = written["events"]["helpdesk.ticket-opened"]
    for holding in ticket["holdings"]:
        if holding.get("subject"):
            holding["systems"] = [*holding["systems"], "bus"]
    ticket["encrypted"] = {"question": ["bus"]}
    assert "keys are the event's own subject's" in policy_problems(written)


def test_what_a_person_says_is_not_encrypted() -> None:
    """Termijn reads it."""
    written = document()
    written["events"]["privacy.objection-raised"]["encrypted"] = {"reason": ["bus"]}
    assert (
        "an event with an act cannot be encrypted, since Termijn itself reads it"
        in policy_problems(written)
    )


def test_keys_are_in_a_system_of_our_own() -> None:
    """A controller's word, or one that is only attested, would not prove that a key is gone."""
    for change in ({"role": "controller"}, {"reread": "attested"}):
        written = document()
        written["systems"]["bus"] = {**written["systems"]["bus"], **change}
        assert "a system that holds keys needs role `own` and reread `system`" in policy_problems(
            written
        )


def test_a_value_does_not_decide_which_system_has_the_key() -> None:
    """Whether an event has a key must not depend on its content."""
    written = document()
    written["events"][ORDER]["fields"]["placed_through"] = {"required": False}
    written["events"][ORDER]["holdings"][0]["systems_when"] = {"placed_through": {"app": ["bus"]}}
    assert "a system that holds keys must be in `systems`" in policy_problems(written)
