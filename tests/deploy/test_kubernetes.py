"""The manifests: made from one place, valid by the published schemas, and true to what the code promises and needs."""

import copy
import json

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kafka import rights
from deploy.kubernetes import generate, objects
from gateway.app import LEAVE_PATIENCE, VENUES
from gateway.kafka.topics import wanted_configs
from gateway.settings.file import load_settings
from gateway.settings.tree import Settings
from schemas.topics import Topics
from tests.deploy import manifests

KUBERNETES = manifests.DEPLOY / "kubernetes"
ALL_ON = {"strimzi": {"enabled": True}, "monitoring": {"enabled": True}}


def values(**changes):
    made = manifests.default_values()
    for table, own in changes.items():
        made[table] = made[table] | own if isinstance(own, dict) else own
    return made


def made_by_kustomize():
    """The objects of base and components, and the ConfigMap as Kustomize makes it of its file."""
    found = [one for file in sorted(KUBERNETES.glob("*/*.yaml")) for one in manifests.objects(file.read_text())]
    return [one for one in found if one["kind"] not in manifests.KEPT]


def stateful_set():
    [found] = [one for one in made_by_kustomize() if one["kind"] == "StatefulSet"]
    return found


def pod():
    return stateful_set()["spec"]["template"]["spec"]


def container():
    return pod()["containers"][0]


@pytest.mark.parametrize("name", generate.files())
def test_the_files_are_what_is_made_from_the_objects_now(name):
    assert (manifests.DEPLOY / name).read_text("utf-8") == generate.files()[name], "run `make schemas`"


def by_name(found):
    return [pytest.param(one, id=f"{one['kind']}/{one['metadata']['name']}") for one in found]


@pytest.mark.parametrize("document", by_name(made_by_kustomize()))
def test_every_object_is_valid_by_its_published_schema(document):
    manifests.judge(document)


def test_a_field_that_is_misspelt_is_found():
    wrong = copy.deepcopy(stateful_set())
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        manifests.judge(wrong)
    for kind, place in (("KafkaUser", "authorisation"), ("KafkaTopic", "replica"), ("ServiceMonitor", "endpoint")):
        [first, *_] = [one for one in made_by_kustomize() if one["kind"] == kind]
        with pytest.raises(jsonschema.ValidationError):
            manifests.judge({**first, "spec": {**first["spec"], place: 1}})


def test_the_chart_makes_the_objects_of_the_base():
    made = {(one["kind"], one["metadata"]["name"]): one for one in manifests.rendered(values(**ALL_ON))}
    config = made.pop(("ConfigMap", objects.NAME))
    assert config["data"]["gateway.toml"] == objects.TOML
    checksum = made["StatefulSet", objects.NAME]["spec"]["template"]["metadata"].pop("annotations")
    assert len(checksum["checksum/config"]) == 64
    based = [one for one in made_by_kustomize() if one["kind"] not in {"ScaledObject", "ExternalSecret"}]
    assert made == {(one["kind"], one["metadata"]["name"]): one for one in based}


def test_values_are_looked_up_where_they_belong_and_give_valid_objects():
    wanted = values(
        replicas=3,
        image="registry/leverage-gateway@sha256:ab",
        nodeSelector={"egress": "desk"},
        venues=[{"ipBlock": {"cidr": "203.0.113.0/24"}}],
        kafka={"cluster": "prod", "bootstrapServers": "prod:9093"},
        config='[kafka]\n# {{ not a template }} "quoted"\n',
        **ALL_ON,
    )
    made = manifests.rendered(wanted)
    for document in made:
        manifests.judge(document)
    [gateway] = [one for one in made if one["kind"] == "StatefulSet"]
    assert gateway["spec"]["replicas"] == 3
    assert gateway["spec"]["template"]["spec"]["nodeSelector"] == {"egress": "desk"}
    [config] = [one for one in made if one["kind"] == "ConfigMap"]
    assert config["data"]["gateway.toml"] == wanted["config"]
    assert {one["metadata"]["labels"]["strimzi.io/cluster"] for one in made if one["kind"] == "KafkaTopic"} == {"prod"}


def test_what_is_off_by_default_is_not_made():
    kinds = {one["kind"] for one in manifests.rendered(values())}
    assert kinds == {"StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap"}


def test_the_schema_of_values_takes_the_defaults_and_no_misspelt_or_wrong_one():
    schema = json.loads((manifests.DEPLOY / "helm" / "values.schema.json").read_text())
    jsonschema.validate(values(), schema)
    for wrong in ({"replica": 2}, {"replicas": "2"}, {"replicas": -1}, {"image": ""}, {"kafka": {"clusters": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values(**wrong) if "kafka" not in wrong else values() | wrong, schema)


def test_the_settings_are_right_with_the_secrets_where_they_are_mounted(tmp_path):
    mounted = {
        mount["name"]: tmp_path / mount["mountPath"].removeprefix(f"{objects.FOLDER}/")
        for mount in container()["volumeMounts"]
    }
    for name in ("desk-1.okx.api_key", "desk-1.okx.api_secret", "desk-1.okx.passphrase"):
        write(mounted["accounts"] / name, "k" * 16)
    write(mounted["kafka"] / "password", "secret")
    (tmp_path / "gateway.toml").write_text(objects.TOML.replace('ssl_cafile = "kafka-ca/ca.crt"\n', ""))
    environ = {entry["name"]: entry.get("value", "leverage-gateway-0") for entry in container()["env"]}
    limits = {name: [limit.name for limit in venue.limits] for name, venue in VENUES.items()}
    settings = load_settings(tmp_path / "gateway.toml", environ, limit_names=limits)
    assert settings.http.listen == f"0.0.0.0:{container()['ports'][0]['containerPort']}"
    assert settings.kafka.group_instance_id == "leverage-gateway-0"
    assert settings.kafka.sasl_username == rights.users()[0].name
    assert settings.kafka.group_id == rights.GROUP


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_drain_has_time_before_it_is_killed():
    settings = Settings()
    longest = settings.pipeline.drain_timeout + settings.kafka.request_timeout_ms / 1000 + LEAVE_PATIENCE
    assert pod()["terminationGracePeriodSeconds"] >= longest + 10


def test_a_pod_that_restarts_is_back_before_its_partitions_go_to_others():
    """A static member that leaves in order keeps its place for a session; the start may take so long."""
    probe = container()["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= Settings().kafka.session_timeout_ms / 1000


def test_nothing_runs_as_root_writes_to_its_root_or_finds_a_secret_in_its_environment():
    assert pod()["securityContext"]["runAsNonRoot"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    assert container()["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not pod()["automountServiceAccountToken"]
    assert not pod()["enableServiceLinks"]  # a Service `gateway` would make GATEWAY_… variables, which stop the start
    secrets = [volume["secret"] for volume in pod()["volumes"] if "secret" in volume]
    assert [secret["defaultMode"] for secret in secrets] == [0o440] * 3
    assert not any("secretKeyRef" in json.dumps(entry) for entry in container()["env"])


def test_strimzi_makes_the_topics_and_users_that_the_code_wants():
    made = [one for one in made_by_kustomize() if one["kind"] == "KafkaTopic"]
    for role, topic in ((role, getattr(Topics(), role)) for role in Topics.__struct_fields__):
        [spec] = [one["spec"] for one in made if one["spec"]["topicName"] == topic]
        assert {name: str(value) for name, value in spec["config"].items()} == wanted_configs(role, spec["replicas"])
        assert spec["partitions"] == (1 if role == "policy" else Settings().kafka.partitions)
    users = {
        one["metadata"]["name"]: one["spec"]["authorization"]["acls"]
        for one in made_by_kustomize()
        if one["kind"] == "KafkaUser"
    }
    assert users == {user.name: [right.strimzi() for right in user.rights] for user in rights.users()}


def test_overlays_patch_what_the_base_has():
    for overlay in sorted((KUBERNETES / "overlays").glob("*/kustomization.yaml")):
        wanted = yaml.safe_load(overlay.read_text())
        for folder in (*wanted["resources"], *wanted["components"]):
            assert (overlay.parent / folder / "kustomization.yaml").is_file()
        assert {replicas["name"] for replicas in wanted["replicas"]} == {objects.NAME}
        assert {image["name"] for image in wanted["images"]} == {container()["image"].split(":")[0]}
        for patch in wanted.get("patches", ()):
            assert patch["target"] == {"kind": "StatefulSet", "name": objects.NAME}


def test_no_more_replicas_are_ever_made_than_there_are_partitions():
    [scaled] = [one for one in made_by_kustomize() if one["kind"] == "ScaledObject"]
    assert scaled["spec"]["maxReplicaCount"] <= Settings().kafka.partitions
    assert scaled["spec"]["cooldownPeriod"] >= 600
