"""deploy/compose.yaml is valid by the Compose Specification, and agrees with the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.app.cli.lazy_group import list_subcommands
from services.app.cli.main import termijn
from services.app.settings_loader import FILE, list_settings
from services.operations.monitoring.files import CONTAINED
from services.operations.ports import PORTS
from tests.unit.manifests.needed import ROOT, cached

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
TERMIJN_SERVICES = {
    name: service for name, service in SERVICES.items() if service["image"].startswith("termijn:")
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """The Compose Specification's own schema, from compose-go v2.16.2."""
    schema = cached("compose-spec", "v2.16.2", "compose-spec.json")
    return Draft202012Validator(json.loads(schema.read_text("utf-8")))


def test_the_compose_file_is_valid(validator: Draft202012Validator) -> None:
    assert [error.json_path for error in validator.iter_errors(COMPOSE)] == []


def test_an_invalid_service_is_refused(validator: Draft202012Validator) -> None:
    """Proof that the validator does check."""
    broken = {**COMPOSE, "services": {**SERVICES, "tagger": {"imagge": "termijn"}}}
    assert not validator.is_valid(broken)


def test_every_role_is_a_service_with_a_health_check_at_its_port() -> None:
    """A role or a port that exists only in the code is found here."""
    assert set(CONTAINED) == set(PORTS) - {"agent"}
    for role in CONTAINED:
        assert SERVICES[role]["command"] == [role]
        assert f"http://127.0.0.1:{PORTS[role]}/readyz" in SERVICES[role]["healthcheck"]["test"][-1]


def test_every_command_in_the_compose_file_exists() -> None:
    assert TERMIJN_SERVICES
    for service in TERMIJN_SERVICES.values():
        command: Any = termijn
        for word in service["command"]:
            subcommands = dict(list_subcommands(command))
            assert word in subcommands
            command = subcommands[word]


def test_every_variable_in_the_compose_file_is_a_setting() -> None:
    """A setting that is renamed in the code only is found this way."""
    variables = {setting.variable for setting in list_settings({})} | {FILE}
    for service in TERMIJN_SERVICES.values():
        assert set(service["environment"]) <= variables


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_containers_of_termijn_have_no_more_rights_than_they_need() -> None:
    """Only state is written, no capability is kept, and none can be gained."""
    for service in TERMIJN_SERVICES.values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_foreign_image_has_a_full_version_and_a_digest() -> None:
    """A tag can be pushed again; a digest is always the same image."""
    images = {service["image"] for service in SERVICES.values()}
    others = {image for image in images if not image.startswith("termijn:")}
    assert len(others) == 5
    for image in others:
        assert re.search(r":v?\d+\.[\d.]*\d@sha256:[0-9a-f]{64}$", image), image


def test_every_mounted_file_exists_and_every_secret_is_ignored_by_git() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = [mount.partition(":")[0] for mount in mounts if mount.startswith("./")]
    assert [file for file in files if not (DEPLOY / file).exists()] == []
    assert files
    secrets = [Path(value["file"]).parent.as_posix() for value in COMPOSE["secrets"].values()]
    assert set(secrets) == {"compose/secrets"}
    assert "deploy/compose/secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_prometheus_reads_the_mounted_configuration(tmp_path: Path, promtool: Path) -> None:
    """promtool loads the configuration and its rules as they are in the container."""
    for file in ("compose/prometheus.yml", "prometheus/alerts.yml", "prometheus/recordings.yml"):
        shutil.copy(DEPLOY / file, tmp_path)
    checked = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
