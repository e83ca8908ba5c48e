"""Kubernetes manifests: a Deployment for each role and its resources, as files for Kustomize. Pure.

Kafka runs under Strimzi in the same namespace; its operator creates a secret for each user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from services.operations.manifests.kubernetes_policies import (
    deny_all,
    disruption_budget,
    egress_ports,
    network_policy,
    pod_monitor,
    scaling,
)
from services.operations.manifests.kubernetes_roles import (
    BROKERS,
    DATABASE,
    DEAD_LETTERS,
    REQUESTS,
    ROLES,
    RoleManifest,
    labels,
)
from services.operations.manifests.strimzi import CLUSTER
from services.operations.ports import PORTS

BASE: Final = Path("kubernetes") / "base"
SCALING: Final = Path("kubernetes") / "components" / "autoscaling"
WATCHING: Final = Path("kubernetes") / "components" / "monitoring"
IMAGE: Final = "termijn"
LEDGER: Final = "termijn-ledger"
"""The secret with the ledger URL of its owner, who migrates it; a role's is `termijn-ledger-ROLE`."""
_HEADER = "# Written by `termijn deploy write`.\n"
_USER = 10001
_DATA = "/var/lib/termijn"
_KEYS = "/etc/termijn/keys"
_MAX_BATCH_SECONDS = 60


def files(version: str, group: str, systems: Iterable[str]) -> Mapping[Path, str]:
    """Return the text of every file, by its path below the directory that they are written to."""
    system_names, scaled = sorted(systems), [role for role in ROLES if role.scaled_by]
    resources = {
        f"{role.name}.yaml": [
            _deployment(role, version, group, system_names),
            disruption_budget(role),
            network_policy(role),
        ]
        for role in ROLES
    }
    resources["migrate.yaml"] = [_migration(version), egress_ports("migrate", [DATABASE])]
    resources["common.yaml"] = [_account(), deny_all()]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "labels": [{"pairs": {"app.kubernetes.io/part-of": "termijn"}}],
        "resources": sorted(resources),
    }
    return {
        BASE / "kustomization.yaml": _text([kustomization]),
        **{BASE / name: _text(documents) for name, documents in resources.items()},
        **_component(
            SCALING, "scaling.yaml", [scaling(role) for role in scaled], _omit_replicas(scaled)
        ),
        **_component(WATCHING, "pods.yaml", [pod_monitor()]),
    }


def _component(
    directory: Path,
    name: str,
    documents: Sequence[Mapping[str, Any]],
    patches: Sequence[Mapping[str, Any]] = (),
) -> Mapping[Path, str]:
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "resources": [name],
        **({"patches": list(patches)} if patches else {}),
    }
    return {
        directory / "kustomization.yaml": _text([kustomization]),
        directory / name: _text(documents),
    }


def _omit_replicas(roles: Iterable[RoleManifest]) -> list[dict[str, Any]]:
    """Return patches that remove `replicas`, so that applying manifests does not undo the autoscaler."""
    remove = yaml.safe_dump([{"op": "remove", "path": "/spec/replicas"}], sort_keys=False)
    return [
        {"target": {"kind": "Deployment", "name": role.name}, "patch": str(remove)}
        for role in roles
    ]


def _text(documents: Iterable[Mapping[str, Any]]) -> str:
    all_documents = list(documents)
    text = yaml.safe_dump_all(
        all_documents, sort_keys=False, explicit_start=len(all_documents) > 1, width=110
    )
    return _HEADER + str(text)


def _deployment(
    role: RoleManifest, version: str, group: str, systems: Sequence[str]
) -> dict[str, Any]:
    user = f"{group}-{role.name}"
    probe = {"periodSeconds": 10, "timeoutSeconds": 5}
    container = {
        **_container(version, [role.name]),
        "env": [
            {"name": "TERMIJN_LOG", "value": "json"},
            {"name": "TERMIJN_KEYS", "value": _KEYS},
            {"name": "TERMIJN_KEY_FILE", "value": f"{_KEYS}/{DEAD_LETTERS}"},
            *(
                [{"name": "TERMIJN_REQUEST_KEY_FILE", "value": f"{_KEYS}/{REQUESTS}"}]
                if REQUESTS in role.keys
                else []
            ),
            {"name": "TERMIJN_KAFKA_GROUP", "value": group},
            {
                "name": "KAFKA_BOOTSTRAP_SERVERS",
                "value": f"{CLUSTER}-kafka-bootstrap:{BROKERS}",
            },
            {"name": "KAFKA_SECURITY_PROTOCOL", "value": "SASL_SSL"},
            {"name": "KAFKA_SSL_CA_FILE", "value": "/etc/kafka/ca/ca.crt"},
            {"name": "KAFKA_SASL_MECHANISM", "value": "SCRAM-SHA-512"},
            {"name": "KAFKA_SASL_USERNAME", "value": user},
            {"name": "KAFKA_SASL_PASSWORD_FILE", "value": "/etc/kafka/user/password"},
            *([_ledger_url(f"{LEDGER}-{role.name}")] if role.database else []),
        ],
        "envFrom": [{"configMapRef": {"name": "termijn-settings", "optional": True}}],
        "ports": [{"name": "metrics", "containerPort": PORTS[role.name]}],
        "startupProbe": {**_http_get("/livez"), "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**_http_get("/livez"), **probe, "failureThreshold": 3},
        "readinessProbe": {**_http_get("/readyz"), **probe, "failureThreshold": 3},
        "resources": {
            "requests": {"cpu": "250m", "memory": "256Mi"},
            "limits": {"memory": "512Mi"},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "keys", "mountPath": _KEYS, "readOnly": True},
            {"name": "kafka-ca", "mountPath": "/etc/kafka/ca", "readOnly": True},
            {"name": "kafka-user", "mountPath": "/etc/kafka/user", "readOnly": True},
        ],
    }
    pod = {
        **_pod(),
        "terminationGracePeriodSeconds": _MAX_BATCH_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels(role.name)},
            }
        ],
        "containers": [container],
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "keys", "projected": _keys(role, systems)},
            {
                "name": "kafka-ca",
                "secret": {
                    "secretName": f"{CLUSTER}-cluster-ca-cert",
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                },
            },
            {
                "name": "kafka-user",
                "secret": {
                    "secretName": user,
                    "items": [{"key": "password", "path": "password"}],
                    "defaultMode": 0o440,
                },
            },
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": role.name, "labels": labels(role.name)},
        "spec": {
            "replicas": 2,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": labels(role.name)},
            "template": {"metadata": {"labels": labels(role.name)}, "spec": pod},
        },
    }


def _migration(version: str) -> dict[str, Any]:
    """Return the Job that migrates the ledger; a Job runs once, so each version's has another name."""
    container = {
        **_container(version, ["ledger", "migrate"]),
        "env": [_ledger_url(LEDGER)],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"memory": "256Mi"},
        },
        "volumeMounts": [{"name": "data", "mountPath": _DATA}],
    }
    pod = {
        **_pod(),
        "restartPolicy": "OnFailure",
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"migrate-{version.replace('.', '-')}",
            "labels": labels("migrate"),
        },
        "spec": {
            "backoffLimit": 10,
            "ttlSecondsAfterFinished": 86_400,
            "template": {"metadata": {"labels": labels("migrate")}, "spec": pod},
        },
    }


def _container(version: str, command: Sequence[str]) -> dict[str, Any]:
    return {
        "name": "termijn",
        "image": f"{IMAGE}:{version}",
        "args": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _pod() -> dict[str, Any]:
    """Return what every pod has: no root, and no token for the Kubernetes API."""
    return {
        "serviceAccountName": "termijn",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _keys(role: RoleManifest, systems: Sequence[str]) -> dict[str, Any]:
    """Return the volume with a role's keys, and the public keys of the systems that are trusted so far."""
    role_keys = [{"key": name, "path": name} for name in role.keys]
    public = [{"key": f"{system}.jwks", "path": f"systems/{system}.jwks"} for system in systems]
    sources: list[dict[str, Any]] = [{"secret": {"name": "termijn-keys", "items": role_keys}}]
    if role.systems:
        trusted = {"name": "termijn-systems", "items": public, "optional": True}
        sources.append({"configMap": trusted})
    return {"defaultMode": 0o440, "sources": sources}


def _ledger_url(secret_name: str) -> dict[str, Any]:
    secret = {"name": secret_name, "key": "url"}
    return {"name": "TERMIJN_LEDGER_URL", "valueFrom": {"secretKeyRef": secret}}


def _http_get(path: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": "metrics"}}


def _account() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "termijn"},
        "automountServiceAccountToken": False,
    }
