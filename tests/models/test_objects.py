"""Objects of the Kubernetes API, trimmed to what is read of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code
from multus_py.models import objects
from multus_py.models.objects import NetworkDefinition, ObjectRef, Pod
from tests.models.foreign import VALUES, refused, spoiled, tolerated

if TYPE_CHECKING:
    from collections.abc import Callable

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "6a1",
        "annotations": {"k8s.v1.cni.cncf.io/networks": "storage"},
    },
    "spec": {"nodeName": "node1"},
}
DEFINITION = {
    "apiVersion": "k8s.cni.cncf.io/v1",
    "kind": "NetworkAttachmentDefinition",
    "metadata": {
        "name": "storage",
        "namespace": "shop",
        "annotations": {"k8s.v1.cni.cncf.io/resourceName": "example.com/vf"},
    },
    "spec": {"config": '{"type": "macvlan"}'},
}
OLD_NETWORK = {
    "apiVersion": "kubernetes-network.cni.cncf.io/v1",
    "kind": "Network",
    "metadata": {"name": "flannel-conf", "namespace": "shop"},
    "plugin": "flannel",
    "args": '[ { "delegate": { "isDefaultGateway": true } } ]',
}


def changed(value: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return an object with other members; those of its metadata are merged."""
    return value | members | {"metadata": value["metadata"] | members.get("metadata", {})}


def failure(read: Callable[[dict[str, Any]], object], value: dict[str, Any]) -> CniError:
    return refused(read, value)


# -- names


def test_an_object_is_shown_as_namespace_and_name() -> None:
    assert str(ObjectRef("shop", "web")) == "shop/web"


def test_objects_are_ordered_by_namespace_first() -> None:
    refs = [ObjectRef("b", "a"), ObjectRef("a", "c"), ObjectRef("a", "b")]
    assert sorted(refs) == [ObjectRef("a", "b"), ObjectRef("a", "c"), ObjectRef("b", "a")]


@pytest.mark.parametrize("name", ["a", "0", "web-1", "a.b-c.9", "a" * 253])
def test_an_object_may_have_the_name_of_a_domain(name: str) -> None:
    assert objects.is_object_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "A", "a_b", "-a", "a-", ".a", "a.", "a..b", "a.-b", "a/b", "..", "a\n", "ä", "a" * 254],
)
def test_an_object_cannot_have_another_name(name: str) -> None:
    assert not objects.is_object_name(name)


@pytest.mark.parametrize(
    ("ref", "valid"),
    [
        (ObjectRef("shop", "web"), True),
        (ObjectRef("shop", "../web"), False),
        (ObjectRef("..", "web"), False),
        (ObjectRef("", "web"), False),
        (ObjectRef("shop", ""), False),
    ],
)
def test_a_reference_is_valid_if_both_its_names_are(ref: ObjectRef, *, valid: bool) -> None:
    assert ref.valid is valid


def test_annotations_have_the_names_that_users_write() -> None:
    assert objects.NETWORKS == "k8s.v1.cni.cncf.io/networks"
    assert objects.NETWORK_STATUS == "k8s.v1.cni.cncf.io/network-status"
    assert objects.DEFAULT_NETWORK == "v1.multus-cni.io/default-network"
    assert objects.FIRST_GENERATION_NETWORKS == "networks"


# -- pods


def test_a_pod_is_read_with_its_annotations() -> None:
    assert objects.pod(POD) == Pod(
        ref=ObjectRef("shop", "web"),
        uid="6a1",
        annotations={"k8s.v1.cni.cncf.io/networks": "storage"},
    )


@pytest.mark.parametrize("value", [{}, {"metadata": None}, {"metadata": {"annotations": None}}])
def test_a_pod_without_metadata_has_no_name(value: dict[str, Any]) -> None:
    assert objects.pod(value) == Pod(ObjectRef("default", ""), "", {})


def test_annotations_that_are_no_texts_are_left_out() -> None:
    metadata = {"annotations": {"count": 5, "nothing": None, "kept": ""}}
    assert objects.pod({"metadata": metadata}).annotations == {"kept": ""}


@pytest.mark.parametrize(
    ("annotations", "static"),
    [
        ({}, False),
        ({"kubernetes.io/config.source": "api"}, False),
        ({"kubernetes.io/config.source": "file"}, True),
        ({"kubernetes.io/config.source": "http"}, True),
    ],
)
def test_a_pod_is_static_unless_it_comes_from_the_api(
    annotations: dict[str, str], *, static: bool
) -> None:
    assert Pod(ObjectRef("shop", "web"), "6a1", annotations).static is static


# -- definitions


def test_a_definition_is_read_with_its_configuration_and_resource() -> None:
    assert objects.network_definition(DEFINITION) == NetworkDefinition(
        ref=ObjectRef("shop", "storage"),
        config='{"type": "macvlan"}',
        resource_name="example.com/vf",
    )


@pytest.mark.parametrize("spec", [None, {}, {"config": ""}, {"config": None}])
def test_a_definition_may_leave_its_configuration_to_a_file(spec: object) -> None:
    assert objects.network_definition(changed(DEFINITION, spec=spec)).config == ""


def test_a_definition_without_annotations_needs_no_device() -> None:
    value = changed(DEFINITION, metadata={"annotations": None})
    assert objects.network_definition(value).resource_name == ""


@pytest.mark.parametrize(
    ("written", "kind"), [({"type": "macvlan"}, "an object"), (5, "a number"), ([], "a list")]
)
def test_a_configuration_is_a_text(written: object, kind: str) -> None:
    error = failure(objects.network_definition, changed(DEFINITION, spec={"config": written}))
    assert error.code == Code.INVALID_CONFIGURATION
    assert error.cause == f"spec.config is {kind}, not a text"
    assert error.hint == "correct the object"


# -- networks of the first generation


def old_config(**members: Any) -> Any:
    return json.loads(objects.first_generation_network(changed(OLD_NETWORK, **members)).config)


def test_a_network_of_the_first_generation_becomes_a_definition() -> None:
    definition = objects.first_generation_network(OLD_NETWORK)
    assert (definition.ref, definition.resource_name) == (ObjectRef("shop", "flannel-conf"), "")
    assert json.loads(definition.config) == {
        "name": "flannel-conf",
        "type": "flannel",
        "delegate": {"isDefaultGateway": True},
    }


@pytest.mark.parametrize("args", [None, "", "[]", "[{}]"])
def test_a_plugin_may_need_no_args(args: str | None) -> None:
    assert old_config(args=args) == {"name": "flannel-conf", "type": "flannel"}


def test_all_objects_of_args_are_merged_and_the_last_wins() -> None:
    args = '[{"vlan": 1, "if0": "p1", "name": "north"}, {"vlan": 2}]'
    assert old_config(args=args) == {"name": "north", "type": "flannel", "vlan": 2, "if0": "p1"}


def test_a_network_without_a_name_has_an_empty_one() -> None:
    assert old_config(metadata={"name": None})["name"] == ""


def test_the_plugin_decides_the_type_whatever_args_say() -> None:
    assert old_config(args='[{"type": "bridge"}]')["type"] == "flannel"


@pytest.mark.parametrize("plugin", [None, "", 5, ["flannel"]])
def test_a_network_of_the_first_generation_names_a_plugin(plugin: object) -> None:
    error = failure(objects.first_generation_network, changed(OLD_NETWORK, plugin=plugin))
    assert (error.code, error.cause) == (Code.INVALID_CONFIGURATION, "plugin is not set")
    assert error.hint == "name the type of a plugin"


@pytest.mark.parametrize(
    ("args", "code", "cause"),
    [
        (5, Code.INVALID_CONFIGURATION, "args is a number, not a text"),
        ([{}], Code.INVALID_CONFIGURATION, "args is a list, not a text"),
        ("{}", Code.INVALID_CONFIGURATION, "args is not a list of objects"),
        ("5", Code.INVALID_CONFIGURATION, "args is not a list of objects"),
        ('{"vlan": 1}', Code.INVALID_CONFIGURATION, "args is not a list of objects"),
        ('[{}, "x"]', Code.INVALID_CONFIGURATION, "args is not a list of objects"),
        ("[{]", Code.DECODING_FAILURE, "args is not JSON"),
    ],
)
def test_args_are_a_text_with_a_list_of_objects(args: object, code: Code, cause: str) -> None:
    error = failure(objects.first_generation_network, changed(OLD_NETWORK, args=args))
    assert error.code == code
    assert error.cause.startswith(cause)


# -- anything else


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([POD, DEFINITION, OLD_NETWORK]).flatmap(spoiled) | VALUES)
def test_any_object_is_read_or_refused(value: object) -> None:
    if isinstance(value, dict):
        tolerated(objects.pod, value)
        tolerated(objects.network_definition, value)
        tolerated(objects.first_generation_network, value)


# -- watched pods


def live(**members: Any) -> objects.LivePod:
    return objects.live_pod(changed(POD, **members))


def test_of_a_watched_pod_is_kept_what_is_read() -> None:
    annotations = {"k8s.v1.cni.cncf.io/networks": "storage", "other": "large"}
    watched = live(
        metadata={"annotations": annotations, "managedFields": [{}]},
        spec={"hostNetwork": True, "containers": [{}]},
        status={"phase": "Running"},
    )
    kept = {"k8s.v1.cni.cncf.io/networks": "storage"}
    assert watched == objects.LivePod(
        pod=Pod(ObjectRef("shop", "web"), "6a1", kept),
        phase="Running",
        host_network=True,
        deleting=False,
    )


@pytest.mark.parametrize("value", [None, [], "x", 7])
def test_a_watched_pod_may_be_odd(value: Any) -> None:
    watched = live(metadata={"annotations": value}, spec=value, status=value)
    assert (watched.phase, watched.host_network, watched.deleting) == ("", False, False)


@pytest.mark.parametrize(
    ("phase", "ended"),
    [("Pending", False), ("Running", False), ("Unknown", False), ("Failed", True), ("", False)],
)
def test_a_pod_has_ended_when_its_containers_have(phase: str, ended: bool) -> None:  # noqa: FBT001
    assert live(status={"phase": phase}).ended == ended


def test_a_watched_pod_is_known_by_its_uid() -> None:
    assert live().is_known_as("6a1")
    assert not live().is_known_as("6a2")


def test_a_static_pod_is_known_by_the_hash_of_its_file() -> None:
    mirror = live(metadata={"annotations": {"kubernetes.io/config.hash": "5f3"}})
    assert mirror.is_known_as("5f3")
    assert mirror.is_known_as("6a1")


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
        ({"status": {"phase": "Succeeded"}}, False),
    ],
)
def test_without_a_uid_a_pod_is_known_until_it_may_be_replaced(
    change: dict[str, Any],
    known: bool,  # noqa: FBT001
) -> None:
    assert live(**change).is_known_as("") == known


@pytest.mark.parametrize(
    ("annotations", "asks"),
    [
        ({}, False),
        ({"other": "x"}, False),
        ({"k8s.v1.cni.cncf.io/networks": ""}, False),
        ({"k8s.v1.cni.cncf.io/networks": "net"}, True),
        ({"v1.multus-cni.io/default-network": "net"}, True),
    ],
)
def test_a_pod_asks_for_networks_by_annotations(
    annotations: dict[str, str],
    asks: bool,  # noqa: FBT001
) -> None:
    assert objects.asks_for_networks(Pod(ObjectRef("shop", "web"), "6a1", annotations)) == asks
