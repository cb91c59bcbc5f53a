"""From a job and its target to manifests: valid by the published schemas, safe by default, merged as people wish."""

import json
import re
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream_server.jobs.kubernetes import naming
from runstream_server.jobs.kubernetes.manifests import (
    Blueprint,
    job_manifest,
    pod_template,
    secret_manifest,
    service_manifest,
)
from runstream_server.jobs.kubernetes.model import PodNeeds
from runstream_server.jobs.model import KubernetesNamespace, Place
from runstream_server.names import RunName
from tests.kubernetes_schemas import check

RUN = RunName("research", "hello_1722470400_abcd")
INSTALLATION = uuid.UUID(int=7).hex
DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

run_ids = st.from_regex(r"\w[\w.:+@=\-]{0,255}", fullmatch=True)
quantities = st.sampled_from(["1", "500m", "4Gi", "16G"])
resources = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), quantities)


ONE_NODE = PodNeeds()


def blueprint(needs: PodNeeds = ONE_NODE, attempt: int = 1, run: RunName = RUN, **of_namespace: Any) -> Blueprint:
    return Blueprint(
        installation=INSTALLATION,
        name=naming.job_name(INSTALLATION, run, attempt),
        run=run,
        experiment="Große Läufe",
        attempt=attempt,
        lease=3,
        namespace=KubernetesNamespace(**{"namespace": "ml", "default_image": "ml/train:1"} | of_namespace),
        place=Place("", "ml"),
        needs=needs,
        image="",
        address="runstream:7878",
    )


def main_container(plan: Blueprint) -> dict[str, Any]:
    containers = pod_template(plan)["spec"]["containers"]
    return next(each for each in containers if each["name"] == "main")


FULL = json.dumps(
    {
        "metadata": {"labels": {"team": "vision"}, "annotations": {"sidecar.istio.io/inject": "false"}},
        "spec": {
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "imagePullSecrets": [{"name": "registry"}],
            "affinity": {"nodeAffinity": {}},
            "containers": [
                {
                    "name": "main",
                    "env": [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "HOME", "value": "/home/me"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
                },
                {"name": "sidecar", "image": "sidecar:1"},
            ],
        },
    }
)


@settings(max_examples=25)
@given(
    run_id=run_ids,
    nodes=st.integers(1, 1_000),
    gpus=st.integers(0, 8),
    requests=resources,
    limits=resources,
    queue=st.sampled_from(["", "team-a"]),
    account=st.sampled_from(["", "trainer"]),
    template=st.sampled_from(["", "{}", FULL]),
    shm=st.sampled_from([0, 2 << 30]),
)
def test_every_manifest_is_valid_by_the_published_schemas(
    run_id: str, nodes: int, gpus: int, queue: str, account: str, template: str, shm: int, **amounts: dict[str, str]
) -> None:
    plan = blueprint(
        PodNeeds("img:1", node_count=nodes, gpus=gpus, shm_bytes=shm, labels={"pool": "a"}),
        run=RunName("research", run_id),
        resource_requests=amounts["requests"],
        resource_limits=amounts["limits"],
        queue=queue,
        service_account=account,
        pod_template_json=template,
    )
    service = service_manifest(plan, "uid-1")

    for manifest in (job_manifest(plan), secret_manifest(plan, "uid-1"), *([service] if service else [])):
        check(manifest)
        assert all(LABEL.fullmatch(value) for value in manifest["metadata"]["labels"].values())
    assert (service is None) == (nodes == 1)


@given(run_ids, run_ids, st.integers(1, 100), st.integers(1, 100))
def test_names_fit_into_dns_and_tell_attempts_apart(one: str, other: str, first: int, second: int) -> None:
    names = [naming.job_name(INSTALLATION, RunName("w-1", run), at) for run, at in ((one, first), (other, second))]

    assert all(DNS_LABEL.fullmatch(name) and len(f"{name}-999") <= 63 for name in names)
    assert (names[0] == names[1]) == ((one, first) == (other, second))
    assert names[0] != naming.job_name("another", RunName("w-1", one), first)


@given(st.text(max_size=300), st.text(max_size=300))
def test_labels_say_what_they_can_and_nothing_invalid(one: str, other: str) -> None:
    values = [naming.label_value(text) for text in (one, other)]

    assert all(not value or LABEL.fullmatch(value) for value in values)
    assert (values[0] == values[1]) == (one == other)


def test_pods_are_confined_unless_the_target_says_otherwise() -> None:
    template = pod_template(blueprint())
    opened = blueprint(
        service_account="trainer",
        pod_template_json=json.dumps({"spec": {"securityContext": {"runAsUser": None, "fsGroup": 7}}}),
    )

    pod, container = template["spec"], main_container(blueprint())
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = pod_template(opened)["spec"]
    assert (spec["automountServiceAccountToken"], spec["serviceAccountName"]) == (True, "trainer")
    assert "runAsUser" not in spec["securityContext"]
    assert (spec["securityContext"]["fsGroup"], spec["securityContext"]["runAsNonRoot"]) == (7, True)


def test_a_template_is_merged_by_name_and_cannot_break_what_the_service_relies_on() -> None:
    broken = json.loads(FULL)
    broken["spec"]["restartPolicy"] = "OnFailure"
    broken["metadata"]["labels"][naming.JOB] = "another"
    plan = blueprint(pod_template_json=json.dumps(broken))

    template, container = pod_template(plan), main_container(plan)

    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert (variables["NCCL_DEBUG"], variables["HOME"], variables["RUNSTREAM_IN_CONTAINER"]) == (
        "INFO",
        "/home/me",
        "1",
    )
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/runstream", "/data"]
    assert [each["name"] for each in template["spec"]["containers"]] == ["main", "sidecar"]
    assert template["metadata"]["labels"] == {"team": "vision"} | plan.labels
    assert template["spec"]["restartPolicy"] == "Never"


def test_another_kind_of_volume_takes_the_place_of_the_former_one() -> None:
    claim = {"name": "runstream", "persistentVolumeClaim": {"claimName": "work"}}
    limited = {"name": "runstream", "emptyDir": {"sizeLimit": "10Gi"}}

    def volumes(*over: object) -> object:
        return pod_template(blueprint(pod_template_json=json.dumps({"spec": {"volumes": over}})))["spec"]["volumes"]

    assert volumes(claim) == [claim]
    assert volumes(limited) == [limited]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [({}, "2"), ({"nvidia.com/gpu": "4"}, "4")],
)
def test_gpus_of_the_job_count_when_the_target_says_nothing(limits: dict[str, str], expected: str) -> None:
    plan = blueprint(PodNeeds(gpus=2), resource_limits=limits | {"cpu": "8"}, resource_requests={"cpu": "4"})

    resources = main_container(plan)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == expected
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == ("4", "8")


def test_nodes_know_their_number_and_where_the_first_one_is() -> None:
    several = main_container(blueprint(PodNeeds(node_count=2)))
    variables = {each["name"]: each for each in several["env"]}
    name = blueprint().name

    assert variables["RUNSTREAM_NODE_COUNT"]["value"] == "2"
    assert "job-completion-index" in variables["RUNSTREAM_NODE_INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert variables["RUNSTREAM_MASTER_ADDR"]["value"] == f"{name}-0.{name}"
    assert "RUNSTREAM_MASTER_ADDR" not in {each["name"] for each in main_container(blueprint())["env"]}


def test_what_the_cluster_decides_alone_is_left_to_nobody_else() -> None:
    plan = blueprint(
        PodNeeds(termination_grace=timedelta(seconds=90)), queue="team-a", keep_finished=timedelta(hours=2)
    )
    job = job_manifest(plan)

    assert (job["spec"]["backoffLimit"], job["spec"]["completionMode"]) == (0, "Indexed")
    assert job["spec"]["ttlSecondsAfterFinished"] == 7_200
    assert (job["spec"]["suspend"], job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]) == (True, "team-a")
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 150
    assert "suspend" not in job_manifest(blueprint())["spec"]


def test_the_image_is_that_of_the_environment_then_the_target_then_the_service() -> None:
    plan = replace(blueprint(default_image=""), image="service:1")
    images = [main_container(each)["image"] for each in (blueprint(PodNeeds("env:1")), blueprint(), plan)]

    assert images == ["env:1", "ml/train:1", "service:1"]


def test_pods_are_told_of_the_gateway_where_they_reach_it_on_another_way_than_everybody() -> None:
    plans = (blueprint(), replace(blueprint(), gateway_url="http://gateway.ml:7879"))

    told = [[each for each in main_container(plan)["env"] if each["name"] == "RUNSTREAM_GATEWAY_URL"] for plan in plans]

    assert told == [[], [{"name": "RUNSTREAM_GATEWAY_URL", "value": "http://gateway.ml:7879"}]]


def test_the_token_and_the_authorities_of_a_job_are_in_its_secret_alone() -> None:
    plan = replace(blueprint(), address="grpcs://runs.ml:7878", run_token="rsr_secret", authorities="PEM")
    job, secret = job_manifest(plan), secret_manifest(plan, "uid-1")
    container = main_container(plan)
    (token,) = [each for each in container["env"] if each["name"] == "RUNSTREAM_TOKEN"]
    (file,) = [each["value"] for each in container["env"] if each["name"] == "RUNSTREAM_CA_FILE"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "authorities"]
    (volume,) = [each for each in job["spec"]["template"]["spec"]["volumes"] if each["name"] == "authorities"]

    check(job)
    check(secret)
    assert secret["stringData"] == {
        "RUNSTREAM_ADDRESS": "grpcs://runs.ml:7878",
        "RUNSTREAM_TOKEN": "rsr_secret",
        "authorities.pem": "PEM",
    }
    assert token["valueFrom"]["secretKeyRef"]["name"] == volume["secret"]["secretName"] == plan.name
    assert file == f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}"
    assert "rsr_secret" not in json.dumps(job)
    assert "rsr_secret" not in repr(plan)


def test_without_tokens_pods_get_the_address_only() -> None:
    plan = blueprint()

    assert set(secret_manifest(plan, "uid-1")["stringData"]) == {"RUNSTREAM_ADDRESS"}
    assert not {"RUNSTREAM_TOKEN", "RUNSTREAM_CA_FILE"} & {each["name"] for each in main_container(plan)["env"]}
