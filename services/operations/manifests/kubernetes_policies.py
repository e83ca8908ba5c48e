"""Kubernetes resources around each role: disruption budget, network policy, autoscaling, metrics. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.operations.manifests.kubernetes_roles import (
    BROKERS,
    DATABASE,
    DNS,
    MONITORING,
    REGISTRY,
    SYSTEM,
    RoleManifest,
    labels,
)
from services.operations.manifests.strimzi import CLUSTER
from services.operations.ports import PORTS


def disruption_budget(role: RoleManifest) -> dict[str, Any]:
    """Return the budget: Kubernetes evicts at most one process of a role at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": role.name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(role.name)}},
    }


def deny_all() -> dict[str, Any]:
    """Return the policy that denies every connection that no other policy allows."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "termijn-nothing-else"},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "termijn"}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def network_policy(role: RoleManifest) -> dict[str, Any]:
    """Return the policy of the connections that a role may open, and of who may scrape its metrics."""
    policy = egress_ports(role.name, [REGISTRY, *([DATABASE] if role.database else [])])
    brokers = {"podSelector": {"matchLabels": {"strimzi.io/cluster": CLUSTER}}}
    policy["spec"]["egress"].append({"to": [brokers], "ports": _tcp([BROKERS])})
    policy["spec"]["policyTypes"].append("Ingress")
    ports = _tcp([PORTS[role.name]])
    policy["spec"]["ingress"] = [{"from": [_namespace(MONITORING)], "ports": ports}]
    return policy


def egress_ports(name: str, ports: Sequence[int]) -> dict[str, Any]:
    """Return the policy that allows DNS, and these ports within the namespace.

    Policies add up: an overlay adds one for servers outside the namespace.
    """
    dns = [{"protocol": protocol, "port": DNS} for protocol in ("UDP", "TCP")]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": labels(name)},
            "policyTypes": ["Egress"],
            "egress": [
                {"to": [_namespace(SYSTEM)], "ports": dns},
                {"to": [{"podSelector": {}}], "ports": _tcp(ports)},
            ],
        },
    }


def _tcp(ports: Sequence[int]) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port} for port in sorted(ports)]


def _namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def scaling(role: RoleManifest) -> dict[str, Any]:
    """Return the autoscaler; it reads the open work from Prometheus, since offsets are not in Kafka."""
    query, per_process = role.scaled_by or ("", 1)
    address = f"http://prometheus-operated.{MONITORING}.svc:9090"
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": role.name},
        "spec": {
            "scaleTargetRef": {"name": role.name},
            "minReplicaCount": 2,
            "maxReplicaCount": role.max_replicas,
            "cooldownPeriod": 300,
            "fallback": {"failureThreshold": 3, "replicas": 2},
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {
                        "serverAddress": address,
                        "query": query,
                        "threshold": str(per_process),
                    },
                }
            ],
        },
    }


def pod_monitor() -> dict[str, Any]:
    """Return the scrape configuration of every role, with the job names that the alerts use."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "termijn"},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "termijn"}},
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "path": "/metrics",
                    "interval": "15s",
                    "relabelings": [
                        {
                            "sourceLabels": [
                                "__meta_kubernetes_pod_label_app_kubernetes_io_component"
                            ],
                            "targetLabel": "job",
                            "replacement": "termijn-$1",
                        }
                    ],
                }
            ],
        },
    }
