"""Kafka over TLS, with a user for each process and the rules from which Strimzi's users are made."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe

import pytest
import yaml

from schemas.topics import acknowledgement_topic, command_topic
from services.agent import config
from services.kafka.access import AclEntry, deployment_access
from services.kafka.client import KafkaClient
from services.kafka.errors import DeliveryFailed, KafkaAccessDenied
from services.kafka.producer import OutgoingMessage
from services.kafka.security import Security
from services.policy.loader import load
from tests.e2e.running import Running, business_event, write_events
from tests.servers.authority import Authority
from tests.servers.processes import free_ports
from tests.servers.secured import SecuredBroker

HOOK = Path(config.__file__).parent / "examples" / "hook"
ROLES = ("tagger", "recorder", "deleter", "acknowledgements", "rights", "watch")
AGENT = "termijn-agent-orders"
ORDER = {"customer_id": "C1", "amount": "12.50", "payment": {"method": "ideal"}}


class Secured(Running):
    """A deployment in which every process reaches the bus as a user of its own."""

    def __init__(self, directory: Path, broker: SecuredBroker, ledger_url: str) -> None:
        super().__init__(
            directory,
            broker.clients,
            ledger_url,
            KAFKA_SECURITY_PROTOCOL="SASL_SSL",
            KAFKA_SSL_CA_FILE=str(broker.ca_file),
            KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
        )
        self.broker = broker
        users = {f"termijn-{name}" for name in (*ROLES, "publisher", "operator")} | {AGENT}
        self.users = [user for user in deployment_access(load(), "termijn") if user.user in users]
        self.passwords = {user.user: token_urlsafe() for user in self.users}
        for role in ROLES:
            self.own[role] = self.login(f"termijn-{role}")

    def login(self, user: str, password: str | None = None) -> dict[str, str]:
        """Return the settings of a user, whose password is in a file."""
        file = self.directory / f"{user}.password"
        file.write_text(self.passwords[user] if password is None else password, "utf-8")
        return {"KAFKA_SASL_USERNAME": user, "KAFKA_SASL_PASSWORD_FILE": str(file)}

    def runs_as(self, user: str, password: str | None = None) -> None:
        """Set the user as which commands are run from now on."""
        self.own["run"] = self.login(user, password)

    def security(self, user: str) -> Security:
        """Return how a user connects to the bus."""
        return Security(
            protocol="SASL_SSL",
            ca_file=self.broker.ca_file,
            mechanism="SCRAM-SHA-512",
            username=user,
            password=self.passwords[user],
        )


@pytest.fixture(scope="module")
def secured(
    secured_broker: SecuredBroker,
    postgres: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Secured]:
    """Users with their rules, the topics that the operator made, and no role yet."""
    secured = Secured(tmp_path_factory.mktemp("secured"), secured_broker, postgres())
    for user in secured.users:
        secured_broker.has_user(user.user, secured.passwords[user.user])
        secured_broker.allows(user.user, user.acl_entries)
    secured.runs_as("termijn-operator")
    for arguments in (("ledger", "migrate"), ("topics", "apply"), ("keys", "make")):
        completed = secured.run(*arguments)
        assert completed.returncode == 0, completed.stderr
    yield secured
    secured.end_all()


def agent_of_orders(secured: Secured, letters: Path) -> str:
    """The configuration of the agent beside the order platform, whose keys are trusted."""
    keys = secured.data / "keys"
    for arguments in (("make", "orders"), ("trust", "orders", str(keys / "orders.jwks"))):
        completed = secured.run("keys", *arguments)
        assert completed.returncode == 0, completed.stderr
    shutil.copytree(HOOK, secured.directory / "agent")
    document = yaml.safe_load((HOOK / "agent.yaml").read_text("utf-8"))
    document |= {"system": "orders", "keys": str(keys)}
    document["bus"] = {
        "bootstrap_servers": secured.bootstrap,
        "security_protocol": "SASL_SSL",
        "ca_file": str(secured.broker.ca_file),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": AGENT,
        "sasl_password": {"file": secured.login(AGENT)["KAFKA_SASL_PASSWORD_FILE"]},
    }
    document["adapter"]["hook"]["command"][0] = sys.executable
    path = secured.directory / "agent" / "agent.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    letters.mkdir()
    (letters / "O1.txt").write_text("CANARY O1", "utf-8")
    return str(path)


def watched(port: int) -> int | None:
    """Return how many acknowledgements of the order platform the watch has seen."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/systems/orders", timeout=60
        ) as answer:
            a_second: float = json.loads(answer.read())["systems"]["orders"]["answers_per_second"]
    except (urllib.error.URLError, ConnectionError, KeyError):
        return None
    return round(a_second * 300)


def test_an_order_is_erased_and_proven_by_users_with_the_least_rights(secured: Secured) -> None:
    """The order of 2020 passes every role and an agent, and the watch sees both acknowledgements."""
    letters = secured.directory / "letters"
    path = agent_of_orders(secured, letters)
    secured.own["agent"] = {"LETTERS": str(letters)}
    [secured.ports["watch"]] = free_ports(1)
    secured.start(*ROLES)
    secured.start("agent", options=("--config", path))
    secured.runs_as("termijn-publisher")
    order = business_event(
        "order-1",
        "orders.order-placed",
        "2020-03-15T13:00:00Z",
        **ORDER,
        order_id="O1",
        consumer_id="K1",
    )
    completed = secured.run("publish", str(write_events(secured.directory / "e.jsonl", [order])))
    assert completed.returncode == 0, completed.stderr
    secured.until("it waits, since it is old", lambda: secured.count("backfill") == 1)
    [(group,)] = secured.query("SELECT backfill FROM backfill")
    assert secured.run("backfill", "release", group).returncode == 0
    secured.until(
        "the erasure is proven, and watched",
        lambda: (
            secured.count("command", "system = 'orders' AND state = 'erased'") == 1
            and watched(secured.ports["watch"]) == 2
        ),
    )
    assert list(letters.iterdir()) == []
    assert all(process.poll() is None for process in secured.processes.values())
    output = "".join(secured.log(name) for name in secured.processes)
    assert not [password for password in secured.passwords.values() if password in output]
    secured.end_all()


def test_a_publisher_cannot_command(secured: Secured) -> None:
    """Not even unsigned commands, which agents would park, reach the bus."""
    bus = KafkaClient(secured.bootstrap, security=secured.security("termijn-publisher"))
    message = OutgoingMessage(topic=command_topic("crm").name, key=b"customer:C1", value=b"erase")
    with pytest.raises(DeliveryFailed, match="uthorization failed"):
        bus.open_producer().send([message])


def test_a_client_certificate_identifies_the_user(secured: Secured, tmp_path: Path) -> None:
    """The user is the certificate's name; another authority's certificate is refused with the setting."""
    broker, name = secured.broker, "CN=termijn-agent-crm"
    [use] = [user for user in deployment_access(load(), "termijn") if f"CN={user.user}" == name]
    broker.allows(name, use.acl_entries)
    message = OutgoingMessage(
        topic=acknowledgement_topic("crm").name, key=b"customer:C1", value=b"-"
    )
    forbidden = OutgoingMessage(topic=command_topic("crm").name, key=b"customer:C1", value=b"-")

    def reached(authority: Authority) -> KafkaClient:
        certificate, key = authority.issue(use.user).written(tmp_path, "me")
        security = Security(
            protocol="SSL", ca_file=broker.ca_file, certificate_file=certificate, key_file=key
        )
        return KafkaClient(broker.certified, security=security)

    sender = reached(broker.authority).open_producer()
    [placed] = sender.send([message])
    assert placed.topic == message.topic
    with pytest.raises(DeliveryFailed, match="uthorization failed"):
        sender.send([forbidden])
    with pytest.raises(KafkaAccessDenied, match="KAFKA_SSL_CERTIFICATE_FILE"):
        reached(Authority(datetime.now(UTC)))


def test_a_wrong_password_is_one_line_that_names_its_setting(secured: Secured) -> None:
    """A role with a wrong password ends at once, and does not log the password."""
    secured.runs_as("termijn-publisher", "mistaken")
    completed = secured.run("publish", str(write_events(secured.directory / "none.jsonl", [])))
    assert completed.returncode == 1
    assert completed.stderr == (
        "termijn: connect to Kafka: the brokers refuse user 'termijn-publisher' (SCRAM-SHA-512);"
        " check KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD_FILE\n"
    )


def test_a_role_without_its_acls_names_the_topic_that_it_lacks(secured: Secured) -> None:
    """The role ends, and creates nothing."""
    secured.own["recorder"] = secured.login("termijn-publisher")
    secured.start("recorder")
    process = secured.processes.pop("recorder")
    assert process.wait(30) == 1
    assert secured.log("recorder").splitlines()[-1] == (
        "termijn: find topic retention.dead-letters.v1: it does not exist or is not visible,"
        " and this user may not create it"
    )


def planted(secured: Secured) -> list[dict[str, str]]:
    """Return the faults that the doctor finds on the bus."""
    completed = secured.run("doctor", "--json", "--problems")
    results = [json.loads(line) for line in completed.stdout.splitlines()]
    checks_made = ("settings", "tls", "certificates", "broker", "credentials", "topics", "acls")
    return [
        result
        for result in results
        if result["check"] in checks_made and result["state"] == "error"
    ]


def test_the_doctor_finds_no_fault_with_the_acls_that_termijn_writes(secured: Secured) -> None:
    """The operator may read all rules; users of systems that do not run here are only warnings."""
    secured.runs_as("termijn-operator")
    assert planted(secured) == []


def test_the_doctor_names_a_missing_right(secured: Secured) -> None:
    """The operator and the role itself report the missing right, and with the rule the fault clears."""
    rights = [
        AclEntry(kind="group", name="termijn-recorder", operation="Read"),
        AclEntry(kind="topic", name="retention.tagged.v1", operation="Read"),
    ]
    lacks = [
        ("acls", "group termijn-recorder", "termijn-recorder may not Read"),
        ("acls", "topic retention.tagged.v1", "termijn-recorder may not Read"),
    ]
    secured.broker.allows_no_more("termijn-recorder", rights)
    try:
        for user in ("termijn-operator", "termijn-recorder"):
            secured.runs_as(user)
            results = [
                (check["check"], check["target"], check["result"]) for check in planted(secured)
            ]
            assert results == lacks
    finally:
        secured.broker.allows("termijn-recorder", rights)
    assert planted(secured) == []


def test_the_doctor_names_wrong_credentials_and_what_is_missing(secured: Secured) -> None:
    """Each is one fault that names the setting."""
    secured.runs_as("termijn-operator", "mistaken")
    [refused] = planted(secured)
    assert (refused["check"], refused["result"]) == (
        "credentials",
        "the brokers refuse user 'termijn-operator' (SCRAM-SHA-512)",
    )
    assert refused["fix"] == "fix KAFKA_SASL_USERNAME or KAFKA_SASL_PASSWORD_FILE"
    secured.own["run"] = {"KAFKA_SASL_USERNAME": "termijn-operator"}
    [missing] = planted(secured)
    assert (missing["check"], missing["result"]) == (
        "settings",
        "kafka: KAFKA_SASL_PASSWORD_FILE: is not set, and SASL_SSL needs it",
    )
