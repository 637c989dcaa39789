from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters.manifests import Manifests
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core.ports import Event
from multus_py.models.objects import ObjectRef, Pod

if TYPE_CHECKING:
    from pathlib import Path

POD = """
kind: Pod
apiVersion: v1
metadata:
  name: web
  namespace: shop
  uid: uid-web
  annotations: {k8s.v1.cni.cncf.io/networks: "net", number: 5}
"""
DEFINITION = """
kind: NetworkAttachmentDefinition
apiVersion: k8s.cni.cncf.io/v1
metadata:
  name: net
  annotations: {k8s.v1.cni.cncf.io/resourceName: vendor/nic}
spec: {config: '{"type": "bridge"}'}
"""
FIRST_GENERATION = """
kind: Network
apiVersion: kubernetes-network.cni.cncf.io/v1
metadata: {name: old}
plugin: flannel
args: '[{"delegate": {"isDefaultGateway": true}}]'
"""


def manifests(directory: Path, *contents: str, status: str = "") -> Manifests:
    """Write contents into one file each, and return the cluster that they make."""
    paths = [directory / f"{number}.yaml" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return Manifests(map(str, paths), status_directory=status)


def names(cluster: Manifests) -> list[str]:
    return [str(pod.ref) for pod in cluster.pods()]


# -- objects


def test_pods_and_definitions_are_found_by_their_names(tmp_path: Path) -> None:
    cluster = manifests(tmp_path, POD, DEFINITION, FIRST_GENERATION)
    pod = cluster.get_pod(ObjectRef("shop", "web"))
    assert (pod.uid, pod.annotations) == ("uid-web", {"k8s.v1.cni.cncf.io/networks": "net"})
    definition = cluster.get_network(ObjectRef("default", "net"))
    assert (definition.config, definition.resource_name) == ('{"type": "bridge"}', "vendor/nic")
    assert cluster.networks() == [definition]
    old = cluster.get_first_generation_network(ObjectRef("default", "old"))
    assert json.loads(old.config)["type"] == "flannel"
    assert cluster.first_generation_networks() == [old]


def test_what_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    cluster = manifests(tmp_path, POD, DEFINITION, FIRST_GENERATION)
    for ask, name in (
        (cluster.get_pod, "shop/net"),
        (cluster.get_pod, "default/web"),
        (cluster.get_network, "shop/net"),
        (cluster.get_network, "default/old"),
        (cluster.get_first_generation_network, "default/net"),
    ):
        with pytest.raises(NotFoundError, match=f"no manifest has a .* {name}"):
            ask(ObjectRef(*name.split("/")))


def test_a_kind_of_another_group_is_something_else(tmp_path: Path) -> None:
    other = DEFINITION.replace("k8s.cni.cncf.io/v1", "example.org/v1")
    assert manifests(tmp_path, other).networks() == []


def test_there_are_no_devices_without_a_kubelet(tmp_path: Path) -> None:
    assert manifests(tmp_path).devices(Pod(ObjectRef("shop", "web"), "", {})) == {}


@pytest.mark.parametrize(
    ("kind", "replicas", "found"),
    [
        ("Deployment", "replicas: 2", ["default/web-0", "default/web-1"]),
        ("StatefulSet", "", ["default/web-0"]),
        ("ReplicaSet", "replicas: 0", []),
        ("DaemonSet", "", ["default/web-0"]),
        ("Job", "", ["default/web-0"]),
        ("CronJob", "", []),
        ("Service", "", []),
    ],
)
def test_workloads_have_pods(tmp_path: Path, kind: str, replicas: str, found: list[str]) -> None:
    workload = f"""
kind: {kind}
apiVersion: apps/v1
metadata: {{name: web}}
spec:
  {replicas}
  template: {{metadata: {{annotations: {{key: value}}}}}}
"""
    pods = manifests(tmp_path, workload).pods()
    assert [str(pod.ref) for pod in pods] == found
    assert all(pod.annotations == {"key": "value"} for pod in pods)


@pytest.mark.parametrize("template", ['"x"', "[5]", "5"])
def test_a_template_that_is_none_is_named(tmp_path: Path, template: str) -> None:
    workload = f"{{kind: StatefulSet, metadata: {{name: web}}, spec: {{template: {template}}}}}"
    with pytest.raises(CniError, match=r"spec\.template is a \w+, not an object") as caught:
        manifests(tmp_path, workload).pods()
    assert caught.value.where == (str(tmp_path / "0.yaml"), "StatefulSet default/web")


def test_a_pod_without_uid_gets_one_that_stays(tmp_path: Path) -> None:
    content = POD.replace("uid: uid-web", "") + "---" + POD.replace("uid-web", "''") + "---" + POD
    content = content.replace("web", "db", 1)
    first, second, third = manifests(tmp_path, content).pods()
    assert first.uid
    assert second.uid not in {"", first.uid}
    assert third.uid == "uid-web"
    assert [pod.uid for pod in manifests(tmp_path, content).pods()] == [
        pod.uid for pod in (first, second, third)
    ]


# -- files


def test_the_manifests_of_a_directory_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b.yml", "a.json", "c.yaml", "d.txt", "README.md"):
        (tmp_path / name).write_text(POD.replace("web", name[0]))
    (tmp_path / "a.json").write_text(json.dumps({"kind": "Pod", "metadata": {"name": "a"}}))
    assert names(Manifests([str(tmp_path)])) == ["default/a", "shop/b", "shop/c"]


def test_a_file_may_hold_several_objects_and_lists_of_them(tmp_path: Path) -> None:
    inner = {"kind": "Pod", "metadata": {"name": "b"}}
    several = {"kind": "PodList", "items": [inner, {"kind": "List", "items": [inner]}]}
    content = f"---\n{POD}\n---\n---\n{json.dumps(several)}\n"
    assert names(manifests(tmp_path, content)) == ["shop/web", "default/b", "default/b"]


def test_files_are_read_when_they_are_first_needed(tmp_path: Path) -> None:
    cluster = Manifests([str(tmp_path / "later.yaml")])
    (tmp_path / "later.yaml").write_text(POD)
    assert names(cluster) == ["shop/web"]
    (tmp_path / "later.yaml").unlink()
    assert names(cluster) == ["shop/web"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "it is not YAML"),
        ("\x00", "it is not YAML"),
        ("2024-99-99", "it is not YAML"),
        ("!!python/object:os.system {}", "it is not YAML"),
        ("text", "no Kubernetes object"),
        ("- kind: Pod", "no Kubernetes object"),
        ("apiVersion: v1", "no Kubernetes object"),
        ("kind: 5", "no Kubernetes object"),
        ("{kind: List, items: [5]}", "no Kubernetes object"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path: Path, content: str, cause: str) -> None:
    with pytest.raises(CniError, match=cause) as caught:
        manifests(tmp_path, content).pods()
    assert caught.value.code == Code.INVALID_CONFIGURATION
    assert str(tmp_path / "0.yaml") in caught.value.where


def test_a_definition_that_is_wrong_is_named_with_its_file(tmp_path: Path) -> None:
    cluster = manifests(tmp_path, POD, DEFINITION.replace('\'{"type": "bridge"}\'', "{}"))
    for ask in (cluster.networks, cluster.definitions):
        with pytest.raises(CniError, match=r"spec\.config is an object") as caught:
            ask()
        assert caught.value.where == (str(tmp_path / "1.yaml"), "network default/net")


def test_definitions_of_both_kinds_come_with_their_files(tmp_path: Path) -> None:
    found = manifests(tmp_path, FIRST_GENERATION, POD, DEFINITION).definitions()
    assert [(path, item.ref.name) for path, item in found] == [
        (str(tmp_path / "0.yaml"), "old"),
        (str(tmp_path / "2.yaml"), "net"),
    ]


def test_files_may_have_been_read_by_somebody_else(tmp_path: Path) -> None:
    contents = {"a": POD.encode(), "b": b"a: ["}
    assert names(Manifests(["a"], read=contents.__getitem__)) == ["shop/web"]
    with pytest.raises(CniError, match=r"it is not YAML: .* at line 1, column 5") as caught:
        Manifests(contents, read=contents.__getitem__).pods()
    assert caught.value.where == ("b",)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CniError, match="No such file or directory") as caught:
        Manifests([str(tmp_path / "missing.yaml")]).networks()
    assert caught.value.where == (str(tmp_path / "missing.yaml"),)


# -- what would be written to a cluster


def test_status_and_events_go_into_files(tmp_path: Path) -> None:
    cluster = manifests(tmp_path, POD, status=str(tmp_path / "status"))
    (pod,) = cluster.pods()
    for status in ("[1]", "[2]"):
        cluster.publish_status(pod, status)
    for message in ("first", "second"):
        cluster.emit(pod, Event("Normal", "AddedInterface", message))
    cluster.close()
    assert (tmp_path / "status/shop.web.status.json").read_text() == "[2]"
    lines = (tmp_path / "status/shop.web.events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"type": "Normal", "reason": "AddedInterface", "message": "first"},
        {"type": "Normal", "reason": "AddedInterface", "message": "second"},
    ]


def test_a_status_is_changed_from_what_it_is_now(tmp_path: Path) -> None:
    cluster = manifests(tmp_path, POD, status=str(tmp_path / "status"))
    (pod,) = cluster.pods()
    for _ in range(2):
        cluster.edit_status(pod, lambda text: text + "+")
    assert (tmp_path / "status/shop.web.status.json").read_text() == "++"


def test_without_a_directory_nothing_is_written(tmp_path: Path) -> None:
    cluster = manifests(tmp_path, POD)
    (pod,) = cluster.pods()
    cluster.publish_status(pod, "[]")
    cluster.emit(pod, Event("Normal", "AddedInterface", "first"))
    assert [path.name for path in tmp_path.iterdir()] == ["0.yaml"]


def test_a_status_that_cannot_be_written_is_an_error_and_an_event_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = manifests(tmp_path, POD, status=str(tmp_path / "0.yaml"))
    (pod,) = cluster.pods()
    with pytest.raises(CniError, match=r"cannot write shop\.web\.status\.json") as caught:
        cluster.publish_status(pod, "[]")
    assert caught.value.code == Code.IO_FAILURE
    cluster.emit(pod, Event("Normal", "AddedInterface", "first"))
    assert "event 'first' is lost" in caplog.text
