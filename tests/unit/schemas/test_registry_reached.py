"""A registry that asks who is there, behind a certificate of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import create_server, socket
from threading import Event, Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from schemas.errors import RegistryUnavailable
from schemas.registry import Registry
from schemas.registry_client import open_client
from services.agent import config
from services.app import settings_loader
from services.app.setting_field import InvalidSetting
from services.app.wiring import agent, resources

LOGIN = "termijn:secret"
TOPIC = "orders.order-placed.v1"


class Answering(BaseHTTPRequestHandler):
    """Answers with a compatibility level to a request with the login, and with 401 to all others."""

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(LOGIN.encode()).decode()
        is_authorized = self.headers["Authorization"] == expected
        body = b'{"compatibilityLevel": "FULL_TRANSITIVE"}' if is_authorized else b"{}"
        self.send_response(200 if is_authorized else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing to stderr."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed one with its key, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "registry.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + builder.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def url(certificate: Path) -> Iterator[str]:
    """Return the address at which it listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def level(**environment: str) -> str:
    """Return the compatibility level that the registry of these settings answers."""
    with resources.open_resources(settings_loader.load(environment)) as opened:
        registry = opened.registry()
        assert registry is not None
        return registry.get_compatibility(TOPIC)


def test_login_and_certificates_are_files(url: str, certificate: Path, tmp_path: Path) -> None:
    """The login's file may end with a line break."""
    login = tmp_path / "login"
    login.write_text(LOGIN + "\n", "utf-8")
    settings = {"SCHEMA_REGISTRY_LOGIN": str(login), "SCHEMA_REGISTRY_CA": str(certificate)}
    assert level(SCHEMA_REGISTRY_URL=url, **settings) == "FULL_TRANSITIVE"


def test_an_agent_reaches_the_registry_too(url: str, certificate: Path, tmp_path: Path) -> None:
    """Its configuration names the variables of the login."""
    document = {
        "system": "crm",
        "bus": {
            "bootstrap_servers": "127.0.0.1:1",
            "schema_registry_url": url,
            "schema_registry_login": {"env": "LOGIN"},
            "schema_registry_ca": str(certificate),
        },
        "keys": "keys",
        "inbox": {"url": "sqlite:///inbox.sqlite", "key_file": "inbox.key"},
        "adapter": {"hook": {"command": ["true"]}},
    }
    file = tmp_path / "agent.yaml"
    file.write_text(json.dumps(document), "utf-8")
    with agent.agent(config.load(file, {"LOGIN": LOGIN})) as opened:
        registry = opened.registry()
        assert registry is not None
        assert registry.get_compatibility(TOPIC) == "FULL_TRANSITIVE"


def test_a_registry_refuses_a_request_without_a_login(url: str, certificate: Path) -> None:
    """The refusal is reported as such, and not as a missing schema."""
    with pytest.raises(RegistryUnavailable, match="401"):
        level(SCHEMA_REGISTRY_URL=url, SCHEMA_REGISTRY_CA=str(certificate))


def test_an_untrusted_certificate_of_the_registry_is_refused(url: str) -> None:
    """The password is not sent to an unknown server."""
    with pytest.raises(RegistryUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        level(SCHEMA_REGISTRY_URL=url)


def test_an_unreadable_login_file_is_reported(tmp_path: Path) -> None:
    """The error names its setting, before anything is opened."""
    with pytest.raises(InvalidSetting, match="absent"):
        level(
            SCHEMA_REGISTRY_URL="http://127.0.0.1:1",
            SCHEMA_REGISTRY_LOGIN=str(tmp_path / "absent"),
        )


def test_a_login_without_a_password_is_reported(tmp_path: Path) -> None:
    """The error does not show its content."""
    login = tmp_path / "login"
    login.write_text("hidden", "utf-8")
    with pytest.raises(InvalidSetting) as refused:
        level(SCHEMA_REGISTRY_URL="http://127.0.0.1:1", SCHEMA_REGISTRY_LOGIN=str(login))
    assert "hidden" not in str(refused.value)


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(
    params=[b"", HEADERS + b"X-Long: ", HEADERS + b"Content-Length: 1000000\r\n\r\n"],
    ids=["is silent", "drips headers", "drips a body"],
)
def slow(request: pytest.FixtureRequest) -> Iterator[str]:
    """A registry that accepts and never completes: a byte every tenth of a second, or none."""
    over = Event()

    def answer(caller: socket) -> None:
        with closing(caller), suppress(OSError):
            caller.sendall(request.param)
            while not over.wait(0.1):
                caller.sendall(b" " if request.param else b"")

    def accept() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listening.accept()
                Thread(target=answer, args=(caller,), daemon=True).start()

    with create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        listening.shutdown(2)
    thread.join()


def test_a_registry_that_never_completes_its_answer_is_given_up(slow: str) -> None:
    """One line names the registry; the login is not in it."""
    registry = Registry(open_client(slow, LOGIN, None, seconds=1.0))
    with pytest.raises(RegistryUnavailable) as given_up:
        registry.get_compatibility(TOPIC)
    assert str(given_up.value) == (
        f"schema registry: compatibility of {TOPIC}-value: {slow}: did not respond completely within 1 s"
    )


def test_an_unreachable_registry_is_named() -> None:
    """A reader of a role's log does not have its settings."""
    with create_server(("127.0.0.1", 0)) as listening:
        gone = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(RegistryUnavailable) as refused:
        Registry(open_client(gone, LOGIN, None)).get_schema(1)
    assert str(refused.value).startswith(f"schema registry: schema 1: {gone}: ")
    assert "secret" not in str(refused.value)


def test_the_registry_is_reached_from_an_event_loop(url: str, certificate: Path) -> None:
    """The watch has its own."""

    async def ask() -> str:
        return Registry(open_client(url, LOGIN, certificate)).get_compatibility(TOPIC)

    assert asyncio.run(ask()) == "FULL_TRANSITIVE"
