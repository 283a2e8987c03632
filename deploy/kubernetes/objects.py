"""The gateway on Kubernetes, as objects: what `generate` writes for Kustomize and for the Helm chart alike.

What a deployment decides is asked for by a path, with its default and its meaning; everything else is fixed here, and
deploy/kubernetes/README.md says why.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from deploy.kafka.rights import users
from gateway.kafka.topics import wanted_configs
from schemas.topics import Topics

HERE = Path(__file__).parent
NAME = "leverage-gateway"
PORT = 8080
USER = 65532  # nobody's, as distroless images have it
GRACE = 45  # seconds; more than a drain takes: pipeline.drain_timeout, one request, and leaving the group
FOLDER = "/etc/leverage-gateway"
TOML = (HERE / "base" / "gateway.toml").read_text("utf-8")
REPLICAS = 3  # of each topic
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"]
LABELS = {"app.kubernetes.io/name": NAME}

Object = dict[str, Any]
Value = Callable[[str, Any, str], Any]  # path, default, meaning


def gateway(value: Value) -> Iterator[Object]:
    """The gateway itself: its pods, what finds them, and what guards them."""
    yield _object("apps/v1", "StatefulSet", _stateful_set(value))
    ports = [{"name": "http", "port": PORT, "targetPort": "http"}]
    yield _object("v1", "Service", {"clusterIP": "None", "selector": LABELS, "ports": ports})
    yield _object("policy/v1", "PodDisruptionBudget", {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}})
    yield _object("networking.k8s.io/v1", "NetworkPolicy", _network_policy(value))
    further = value("egress", [], "Further ways out, as rules of a network policy: Redis, a token endpoint inside.")
    spec = {"podSelector": {"matchLabels": LABELS}, "policyTypes": ["Egress"], "egress": further}
    yield _object("networking.k8s.io/v1", "NetworkPolicy", spec, f"{NAME}-further")


def _object(api: str, kind: str, spec: Object, name: str = NAME, labels: Object | None = None) -> Object:
    metadata = {"name": name, "labels": {**LABELS, **(labels or {})}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def _stateful_set(value: Value) -> Object:
    replicas = value("replicas", 2, "How many; fixed, as more of them have no more of a venue's budget.")
    return {
        "replicas": replicas,
        "serviceName": NAME,
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "minReadySeconds": 10,
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": _pod(value)},
    }


def _pod(value: Value) -> Object:
    return {
        "terminationGracePeriodSeconds": GRACE,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            _spread("topology.kubernetes.io/zone"),
            _spread("kubernetes.io/hostname"),
        ],
        "nodeSelector": value("nodeSelector", {}, "Nodes whose egress address the venues know."),
        "containers": [_container(value)],
        "volumes": [
            {"name": "config", "configMap": {"name": NAME}},
            _secret("accounts", value("accountsSecret", f"{NAME}-accounts", "The Secret of the accounts' keys.")),
            _secret("kafka", value("kafka.userSecret", NAME, "The Secret with `password`, as Strimzi makes it.")),
            _secret(
                "kafka-ca",
                value("kafka.caSecret", "kafka-cluster-ca-cert", "The Secret with `ca.crt` of the brokers' authority."),
            ),
        ],
    }


def _spread(key: str) -> Object:
    selector = {"matchLabels": LABELS}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}


def _secret(name: str, secret: Any) -> Object:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}


def _container(value: Value) -> Object:
    resources = {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    mounts = {"accounts": "accounts", "kafka": "kafka", "kafka-ca": "kafka-ca"}
    return {
        "name": "gateway",
        "image": value("image", "leverage-gateway:0.1.0", "The image, by tag or better by digest."),
        "args": ["run", "--config", f"{FOLDER}/gateway.toml"],
        "env": [
            {"name": "GATEWAY_KAFKA__GROUP_INSTANCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {
                "name": "GATEWAY_KAFKA__BOOTSTRAP_SERVERS",
                "value": value("kafka.bootstrapServers", "kafka-kafka-bootstrap:9093", "`host:port` of the brokers."),
            },
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe("/livez", periodSeconds=2, failureThreshold=30),
        "livenessProbe": _probe("/livez", periodSeconds=10, failureThreshold=6),
        "readinessProbe": _probe("/readyz", periodSeconds=5, failureThreshold=2),
        "resources": value("resources", resources, "No limit on the processor: throttling makes every account late."),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": f"{FOLDER}/gateway.toml", "subPath": "gateway.toml", "readOnly": True},
            *({"name": name, "mountPath": f"{FOLDER}/{at}", "readOnly": True} for name, at in mounts.items()),
        ],
    }


def _probe(path: str, **times: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 3, **times}


def _network_policy(value: Value) -> Object:
    prometheus = value(
        "monitoring.namespace", "monitoring", "Whence Prometheus scrapes; no other namespace reaches the pods."
    )
    brokers = value("kafka.cluster", "kafka", "The name of Strimzi's Kafka.")
    world = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}]
    venues = value("venues", world, "Where HTTPS may go: the venues' addresses, or those of your egress gateway.")
    dns = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return {
        "podSelector": {"matchLabels": LABELS},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": prometheus}}}],
                "ports": [{"protocol": "TCP", "port": "http"}],
            }
        ],
        "egress": [
            {
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
                "ports": dns,
            },
            {
                "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"strimzi.io/cluster": brokers}}}],
                "ports": [{"protocol": "TCP", "port": 9093}],
            },
            {"to": venues, "ports": [{"protocol": "TCP", "port": 443}]},
        ],
    }


def strimzi(value: Value) -> Iterator[Object]:
    """Topics and users for Strimzi's operators (`kafka.strimzi.io/v1`)."""
    cluster = {"strimzi.io/cluster": value("kafka.cluster", "kafka", "The name of Strimzi's Kafka.")}
    partitions = value("kafka.partitions", 12, "Of each topic but the policy's; never grow them, make new topics.")
    names: dict[str, str] = msgspec.structs.asdict(Topics())
    for role, topic in names.items():
        spec = {
            "topicName": topic,
            "partitions": 1 if role == "policy" else partitions,
            "replicas": REPLICAS,
            "config": {name: _number(config) for name, config in wanted_configs(role, REPLICAS).items()},
        }
        yield _object("kafka.strimzi.io/v1", "KafkaTopic", spec, topic, cluster)
    for user in users():
        acls = [right.strimzi() for right in user.rights]
        spec = {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
        }
        yield _object("kafka.strimzi.io/v1", "KafkaUser", spec, user.name, cluster)


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def monitoring(value: Value) -> Iterator[Object]:
    """What the Prometheus operator reads."""
    every = value("monitoring.interval", "15s", "Between two scrapes.")
    endpoint = {"port": "http", "path": "/metrics", "interval": every}
    spec = {"selector": {"matchLabels": LABELS}, "endpoints": [endpoint]}
    yield _object("monitoring.coreos.com/v1", "ServiceMonitor", spec)
    rules = yaml.safe_load((HERE.parent / "prometheus" / "rules.yml").read_text("utf-8"))
    yield _object("monitoring.coreos.com/v1", "PrometheusRule", rules)
