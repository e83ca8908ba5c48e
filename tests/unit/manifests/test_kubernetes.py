"""deploy/kubernetes, built by Kustomize, is valid by Kubernetes' schemas and agrees with the code."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.app.settings_loader import list_settings
from services.ledger.grants import GRANTS
from services.operations.manifests.kubernetes_roles import ROLES
from services.operations.metric_catalogue import CATALOGUE
from services.operations.ports import PORTS
from tests.unit.manifests.crds import strict
from tests.unit.manifests.needed import ROOT, cached

DEPLOY = ROOT / "deploy"
EXAMPLE = DEPLOY / "kubernetes" / "overlays" / "example"
KUBERNETES = "1.37"
CRDS = "keda-v2.17.2-operator-v0.85.0"
CUSTOM = {
    "ScaledObject": ("scaledobjects.yaml", "v1alpha1"),
    "PodMonitor": ("podmonitors.yaml", "v1"),
}


@pytest.fixture(scope="module")
def built() -> list[dict[str, Any]]:
    """Return what `kubectl apply --kustomize` would send: the example, built by Kustomize 5.8.1."""
    kustomize = cached("kustomize", "v5.8.1", "kustomize")
    completed = subprocess.run(
        [kustomize, "build", EXAMPLE], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    return list(yaml.safe_load_all(completed.stdout))


def of_kind(built: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Return the documents of a kind, by name."""
    return {
        document["metadata"]["name"]: document for document in built if document["kind"] == kind
    }


def container(document: dict[str, Any]) -> dict[str, Any]:
    """The one container of a Deployment or a Job."""
    [the_container] = document["spec"]["template"]["spec"]["containers"]
    return dict(the_container)


def test_every_manifest_is_valid(built: list[dict[str, Any]]) -> None:
    """kubernetes-validate has Kubernetes' schemas, and refuses unknown fields; the rest has its CRD."""
    for document in built:
        if document["kind"] in CUSTOM:
            file, version = CUSTOM[document["kind"]]
            errors = strict(cached("crds", CRDS, file), version).iter_errors(document)
            assert [error.json_path for error in errors] == []
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert len(built) > 25


@pytest.mark.parametrize(
    "spoil",
    [{"replicaz": 2}, {"replicas": "two"}],
    ids=["an unknown field", "a value of another kind"],
)
def test_an_invalid_manifest_is_refused(built: list[dict[str, Any]], spoil: dict[str, Any]) -> None:
    """Proof that the validator does check."""
    deleter = of_kind(built, "Deployment")["deleter"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**deleter, "spec": {**deleter["spec"], **spoil}}, KUBERNETES, strict=True
        )


def test_every_role_has_a_deployment_with_its_port(built: list[dict[str, Any]]) -> None:
    """A role or a port that exists only in the code is found here."""
    deployments = of_kind(built, "Deployment")
    assert set(deployments) == set(PORTS) - {"agent"} == {role.name for role in ROLES}
    assert set(of_kind(built, "PodDisruptionBudget")) == set(deployments)
    assert set(of_kind(built, "NetworkPolicy")) == {
        *deployments,
        "migrate",
        "termijn-nothing-else",
    }
    for name, deployment in deployments.items():
        its_container = container(deployment)
        assert its_container["args"] == [name]
        assert its_container["ports"] == [{"name": "metrics", "containerPort": PORTS[name]}]
        assert its_container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert its_container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_network_policies_allow_only_named_places_and_ports(built: list[dict[str, Any]]) -> None:
    """DNS in the cluster; brokers, ledger and registry in the namespace."""
    names = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    brokers = {"podSelector": {"matchLabels": {"strimzi.io/cluster": "kafka"}}}
    neighbours: dict[str, Any] = {"podSelector": {}}
    places = {53: names, 9093: brokers, 5432: neighbours, 8080: neighbours}
    reached: dict[str, set[int]] = {}
    for name, document in of_kind(built, "NetworkPolicy").items():
        reached[name] = set()
        for rule in document["spec"].get("egress", ()):
            ports = {port["port"] for port in rule["ports"]}
            assert [places[port] for port in ports] == rule["to"] * len(ports), name
            reached[name] |= ports
    with_ledger = ("tagger", "recorder", "deleter", "acknowledgements", "rights")
    assert reached == {
        **{role: {53, 5432, 8080, 9093} for role in with_ledger},
        "watch": {53, 8080, 9093},
        "migrate": {53, 5432},
        "termijn-nothing-else": set(),
    }


def test_every_variable_in_the_manifests_is_a_setting(built: list[dict[str, Any]]) -> None:
    """A setting that is renamed in the code only is found this way."""
    variables = {setting.variable for setting in list_settings({})}
    for document in [*of_kind(built, "Deployment").values(), *of_kind(built, "Job").values()]:
        assert {variable["name"] for variable in container(document)["env"]} <= variables
    [settings] = of_kind(built, "ConfigMap").values()
    assert settings["data"].keys() <= variables


def test_only_roles_that_need_the_key_of_requests_have_it(built: list[dict[str, Any]]) -> None:
    """Tagger, recorder and acknowledgements start without it."""
    with_key, mounted_requests = set(), set()
    for name, document in of_kind(built, "Deployment").items():
        volumes = {v["name"]: v for v in document["spec"]["template"]["spec"]["volumes"]}
        for source in volumes["keys"]["projected"]["sources"]:
            if "requests.key" in {
                item["path"] for item in source.get("secret", {}).get("items", ())
            }:
                with_key.add(name)
        variables = {v["name"]: v.get("value") for v in container(document)["env"]}
        if variables.get("TERMIJN_REQUEST_KEY_FILE") == "/etc/termijn/keys/requests.key":
            mounted_requests.add(name)
    assert with_key == mounted_requests == {"deleter", "rights"}


def test_users_and_secrets_have_the_names_of_strimzi(built: list[dict[str, Any]]) -> None:
    """Each role is the user that deploy/kafka/users.yaml makes, with the secret of its name."""
    users = yaml.safe_load_all((DEPLOY / "kafka" / "users.yaml").read_text("utf-8"))
    names = {user["metadata"]["name"] for user in users}
    for document in of_kind(built, "Deployment").values():
        env = {v["name"]: v.get("value") for v in container(document)["env"]}
        volumes = {v["name"]: v for v in document["spec"]["template"]["spec"]["volumes"]}
        assert env["KAFKA_SASL_USERNAME"] in names
        assert volumes["kafka-user"]["secret"]["secretName"] == env["KAFKA_SASL_USERNAME"]


def test_only_roles_that_sign_have_private_keys(built: list[dict[str, Any]]) -> None:
    """The deleter alone has the key by which a system erases."""
    for name, document in of_kind(built, "Deployment").items():
        volumes = {v["name"]: v for v in document["spec"]["template"]["spec"]["volumes"]}
        items = volumes["keys"]["projected"]["sources"][0]["secret"]["items"]
        assert ("deleter.private.jwks" in {item["key"] for item in items}) == (name == "deleter")


def test_each_role_reaches_the_ledger_by_a_login_of_its_own(built: list[dict[str, Any]]) -> None:
    """Only the migration uses the owner's login."""
    secrets = {}
    for document in [*of_kind(built, "Deployment").values(), *of_kind(built, "Job").values()]:
        env = {v["name"]: v for v in container(document)["env"]}
        if url := env.get("TERMIJN_LEDGER_URL"):
            secrets[document["metadata"]["name"]] = url["valueFrom"]["secretKeyRef"]["name"]
    [migration] = of_kind(built, "Job")
    roles = [str(role) for role in GRANTS if role != "operators"]
    assert secrets == {
        **{role: f"termijn-ledger-{role}" for role in roles},
        migration: "termijn-ledger",
    }


def test_no_container_runs_as_root_or_may_become_root(built: list[dict[str, Any]]) -> None:
    """The `restricted` standard of Kubernetes requires this."""
    for document in [*of_kind(built, "Deployment").values(), *of_kind(built, "Job").values()]:
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container(document)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }


def test_a_scaled_deployment_has_no_replica_count(built: list[dict[str, Any]]) -> None:
    """It would reset the scaler's count at each change."""
    deployments = of_kind(built, "Deployment")
    scaled = of_kind(built, "ScaledObject")
    assert set(scaled) == {"tagger", "recorder", "deleter", "acknowledgements"}
    for name, deployment in deployments.items():
        assert ("replicas" in deployment["spec"]) == (name not in scaled)


def test_the_queries_of_scalers_use_known_metrics(promtool: Path, tmp_path: Path) -> None:
    """Each query is valid, and its metrics are in the catalogue."""
    queries = {role.name: role.scaled_by[0] for role in ROLES if role.scaled_by}
    rules = [{"record": f"scaled:{name}", "expr": query} for name, query in queries.items()]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "scaled", "rules": rules}]}), "utf-8")
    completed = subprocess.run([promtool, "check", "rules", file], capture_output=True, check=False)
    assert completed.returncode == 0
    names = {metric.name for metric in CATALOGUE}
    assert all(any(name in query for name in names) for query in queries.values())
