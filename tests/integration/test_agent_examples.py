"""The examples with a hook and a webhook run from their files, as agents on an embedded broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from services.agent import config
from services.agent.examples.webhook.mailer import Mailer, server
from services.kafka.embedded_broker import EmbeddedBroker
from tests.integration.controlling import Controller, free_port, fresh, running, until

EXAMPLES = Path(config.__file__).parent / "examples"


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def test_the_example_hook_erases_letters(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The verification finds nothing left; /metrics counts it, and /readyz includes both loops."""
    letters = tmp_path / "letters"
    letters.mkdir()
    for name in ("O1", "O2"):
        (letters / f"{name}.txt").write_text("Sanne", "utf-8")
    controller = Controller(broker, "letters", tmp_path)
    file = controller.file(EXAMPLES / "hook", broker, command=[sys.executable, "letters.py"])
    with file.open("a", encoding="utf-8") as more:
        more.write(f"metrics_port: {(port := free_port())}\n")
    with running(file, {"LETTERS": str(letters)}):
        controller.send(fresh("erase"), fresh("check", action="verify", verifies="erase", seq=2))
        first, second = controller.answers(2)
        at = f"http://127.0.0.1:{port}"
        metrics = httpx2.get(f"{at}/metrics", trust_env=False).text
        until(lambda: httpx2.get(f"{at}/readyz", trust_env=False).text == "ok\n")
    assert (first["status"], first["counts"]) == ("done", {"letters": 1})
    assert (second["status"], second["counts"]) == ("done", {"letters": 0})
    assert [path.name for path in letters.iterdir()] == ["O2.txt"]
    assert 'termijn_agent_answers_total{action="erase",status="done"} 1.0' in metrics
    assert "customer:C1" not in metrics


def test_the_example_mailer_reports_its_result_later(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """The mailer reports its result through the callback that the file declares."""
    mailer = Mailer(b"secret", slow=True)
    mailer.recipients["O1"] = "sanne@example.org"
    service = server(mailer, 0)
    thread = Thread(target=service.serve_forever)
    thread.start()
    controller = Controller(broker, "mailer", tmp_path)
    port = free_port()
    file = controller.file(
        EXAMPLES / "webhook",
        broker,
        url=f"http://127.0.0.1:{service.server_port}/commands",
        callback={
            "port": port,
            "url": f"http://127.0.0.1:{port}/callbacks",
            "insecure": True,
        },
    )
    try:
        with running(file, {"MAILER_SECRET": "secret"}):
            controller.send(fresh("erase"))
            until(lambda: bool(mailer.waiting))
            [request] = mailer.waiting
            answer = httpx2.post(
                request["callback"]["url"],
                json=mailer.carry_out(request["command"]),
                headers={"authorization": f"Bearer {request['callback']['token']}"},
                trust_env=False,
            )
            [sent_answer] = controller.answers(1)
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
    assert answer.status_code == 200
    assert (sent_answer["status"], sent_answer["counts"]) == ("done", {"recipients": 1})
