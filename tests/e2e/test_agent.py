"""An agent beside a system obeys the real deleter, and a verification proves each erasure."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import yaml

from services.agent import config
from tests.e2e.running import Running, business_event, write_events

EXAMPLE = Path(config.__file__).parent / "examples" / "hook"


def order(name: str, time: str) -> dict[str, object]:
    return business_event(
        f"order-{name}",
        "orders.order-placed",
        time,
        order_id=name,
        customer_id="C1",
        consumer_id=f"K-{name}",
        amount="12.50",
        payment={"method": "ideal"},
    )


def agent_of_orders(running: Running, letters: Path) -> str:
    """The configuration of the example's agent, for the order platform; its keys are trusted."""
    keys = running.data / "keys"
    for arguments in (("make", "orders"), ("trust", "orders", str(keys / "orders.jwks"))):
        completed = running.run("keys", *arguments)
        assert completed.returncode == 0, completed.stderr
    shutil.copytree(EXAMPLE, running.directory / "agent")
    document = yaml.safe_load((EXAMPLE / "agent.yaml").read_text("utf-8"))
    document["system"] = "orders"
    document["keys"] = str(keys)
    document["bus"]["bootstrap_servers"] = running.bootstrap
    document["adapter"]["hook"]["command"][0] = sys.executable
    path = running.directory / "agent" / "agent.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    letters.mkdir()
    return str(path)


def test_an_order_is_erased_by_an_agent_and_proven(running: Running) -> None:
    """The order of 2020, due since 2022, loses its letter, and the order of 2026 keeps its own."""
    letters = running.directory / "letters"
    running.setting("LETTERS", str(letters))
    running.start("tagger", "recorder", "deleter", "acknowledgements")
    running.until("the deleter has keys", (running.data / "keys" / "deleter.jwks").exists)
    path = agent_of_orders(running, letters)
    for name in ("O1", "O2"):
        (letters / f"{name}.txt").write_text(f"CANARY {name}", "utf-8")
    running.start("agent", options=("--config", path))
    events = [order("O1", "2020-03-15T13:00:00Z"), order("O2", "2026-03-15T13:00:00Z")]
    completed = running.history(write_events(running.directory / "orders.jsonl", events))
    assert completed.returncode == 0, completed.stderr
    running.until(
        "the erasure is proven",
        lambda: running.count("command", "system = 'orders' AND state = 'erased'") == 1,
        90,
    )
    assert sorted(letter.name for letter in letters.iterdir()) == ["O2.txt"]

    (letters / "O1.txt").write_text("CANARY O1", "utf-8")  # the system comes back from a backup
    repeated = running.run(
        *("commands", "resend", "--system", "orders", "--since", "2026-01-01T00:00:00Z"),
        *("--reason", "restored"),
    )
    assert repeated.returncode == 0, repeated.stderr
    running.until(
        "it is erased and proven again",
        lambda: (
            running.query(
                "SELECT state FROM command WHERE system = 'orders' AND action = 'erase' ORDER BY seq"
            )
            == [("reopened",), ("erased",)]
        ),
        90,
    )
    assert sorted(letter.name for letter in letters.iterdir()) == ["O2.txt"]
    assert "CANARY" not in running.log("agent")
    the_evidence_proves_it(running)


def the_evidence_proves_it(running: Running) -> None:
    """Sealed and signed by the running deleter, certificate and export verify it offline."""
    running.until(
        "it is sealed and signed",
        lambda: (
            running.count("evidence_pending") == 0
            and running.query("SELECT max(number) FROM evidence")
            == running.query("SELECT max(number) FROM evidence_head WHERE published_at IS NOT NULL")
        ),
        60,
    )
    export, certificate = running.directory / "log.jsonl", running.directory / "certificate"
    trusted = ("--keys", str(running.data / "keys"))
    for arguments in (
        ("evidence", "export", str(export)),
        ("evidence", "verify", str(export), *trusted),
        ("certificate", "consumer:K-O1", "--to", str(certificate)),
        ("evidence", "verify-certificate", str(certificate / "certificate.json"), *trusted),
    ):
        completed = running.run(*arguments)
        assert completed.returncode == 0, completed.stderr
    text = export.read_text("utf-8")
    assert "K-O1" not in text
    content = json.loads((certificate / "certificate.json").read_text("utf-8"))
    [line] = [line for line in content["erased"] if line["system"] == "orders"]
    assert (line["proof"], line["records"]) == ("read_again", 1)
    assert all(entry["hash"] in text for entry in line["evidence"])
    export.write_text(text.replace('"states":"e"', '"states":"o"', 1), "utf-8")
    assert running.run("evidence", "verify", str(export)).returncode == 1
