"""Which networks a pod is attached to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import add, networks
from multus_py.models.objects import NetworkDefinition, ObjectRef
from tests.core.test_add import a_node, failure
from tests.core.test_generation import an_old_node
from tests.fakes import FakeCluster, Node, chain, single


def talk(node: Node, **changes: Any) -> list[str]:
    add.add(node.session(**changes))
    return node.host.talk


def events(node: Node) -> list[str]:
    assert node.cluster is not None
    return [event.reason for event in node.cluster.events]


# -- the cluster network and default networks


def test_the_cluster_network_is_a_definition_of_the_multus_namespace() -> None:
    node = a_node(clusterNetwork="cluster")
    node.network("kube-system/cluster", single("one", "inner"))
    node.pod()

    assert talk(node) == ["ADD one eth0"]
    assert node.host.stdin(0)["name"] == "inner"


def test_the_multus_namespace_can_be_another_one() -> None:
    node = a_node(clusterNetwork="cluster", multusNamespace="net-admin")
    node.network("net-admin/cluster", single("one"))
    node.network("kube-system/cluster", single("two"))
    node.pod()

    assert talk(node) == ["ADD one eth0"]


def test_a_cluster_network_may_be_a_files_network_by_name_and_nobody_is_warned() -> None:
    node = a_node(clusterNetwork="from-file")
    node.store.configs["/etc/cni/multus/net.d/50-x.conf"] = encoded(single("one", "from-file"))
    node.pod()

    assert talk(node) == ["ADD one eth0"]
    assert "NoNetworkFound" not in events(node)


def test_a_cluster_network_that_is_nowhere_is_named_with_a_warning() -> None:
    node = a_node(clusterNetwork="ghost")
    node.pod()

    error = failure(node.session())

    assert "ghost" in error.message()
    assert events(node) == ["NoNetworkFound"]


def test_an_api_server_in_trouble_does_not_turn_a_definition_into_a_file() -> None:
    node = a_node(clusterNetwork="cluster")
    node.store.configs["/etc/cni/multus/net.d/50-x.conf"] = encoded(single("one", "cluster"))
    pod = node.pod()
    assert node.cluster is not None
    node.cluster.error = CniError(Code.API_FAILURE, "etcd is sad")

    with pytest.raises(CniError, match="etcd is sad") as caught:
        networks.resolve(node.session(), pod)

    assert caught.value.code == Code.API_FAILURE


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/etc/net/10.conf", "one"), ("/etc/net/20.conflist", "two"), ("/etc/net", "one")],
)
def test_a_cluster_network_may_be_a_path(path: str, kind: str) -> None:
    node = a_node(clusterNetwork=path)
    node.store.configs["/etc/net/10.conf"] = encoded(single("one", "first"))
    node.store.configs["/etc/net/20.conflist"] = encoded(chain("second", "two"))
    node.pod()

    assert talk(node) == [f"ADD {kind} eth0"]


def test_with_a_cluster_network_delegates_are_ignored() -> None:
    node = a_node(delegates=[{"nonsense": True}], clusterNetwork="cluster")
    node.network("kube-system/cluster", single("one"))
    node.pod()

    assert talk(node) == ["ADD one eth0"]


def test_a_cluster_network_needs_a_cluster() -> None:
    node = a_node(clusterNetwork="/etc/net/10.conf")
    node.cluster = None

    error = failure(node.session())

    assert "must have either Kubernetes config or delegates" in error.message()


def test_default_networks_come_between_the_cluster_network_and_the_pods_own() -> None:
    node = a_node(clusterNetwork="cluster", defaultNetworks=["side", "/etc/net/10.conf"])
    node.network("kube-system/cluster", single("main"))
    node.network("kube-system/side", single("two"))
    node.store.configs["/etc/net/10.conf"] = encoded(single("three", "filed"))
    node.pod(networks="one")

    assert talk(node) == ["ADD main eth0", "ADD two net1", "ADD three net2", "ADD one net3"]


def test_pods_of_system_namespaces_get_no_default_networks() -> None:
    node = a_node(
        clusterNetwork="cluster", defaultNetworks=["side"], systemNamespaces=["default", "x"]
    )
    node.network("kube-system/cluster", single("main"))
    node.network("kube-system/side", single("two"))
    node.pod()

    assert talk(node) == ["ADD main eth0"]


def test_a_pod_that_is_called_like_a_system_namespace_gets_them() -> None:
    node = a_node(clusterNetwork="cluster", defaultNetworks=["side"])
    node.network("kube-system/cluster", single("main"))
    node.network("kube-system/side", single("two"))
    node.pod("kube-system")

    assert talk(node, pod="kube-system") == ["ADD main eth0", "ADD two net1"]


# -- annotations


def test_the_default_network_annotation_replaces_the_first_network_only() -> None:
    node = a_node(delegates=[single("main", "primary"), single("three", "second")])
    node.network("kube-system/one", single("one"))
    node.pod(default_network="one", networks="two")

    assert talk(node) == ["ADD one eth0", "ADD three net1", "ADD two net2"]


def test_the_default_network_may_be_of_another_namespace() -> None:
    node = a_node()
    node.pod(default_network="default/one")

    assert talk(node) == ["ADD one eth0"]


def test_a_default_network_gets_mac_and_addresses_as_arguments_only() -> None:
    node = a_node()
    node.network("kube-system/one", single("one", capabilities={"mac": True, "ips": True}))
    asked = {"name": "one", "mac": "02:00:00:00:00:01", "ips": ["10.0.0.9/24"]}
    node.pod(default_network=json.dumps([asked]))

    talk(node)

    assert "runtimeConfig" not in node.host.stdin(0)
    assert node.host.args(0)["MAC"] == "02:00:00:00:00:01"
    assert node.host.args(0)["IP"] == "10.0.0.9/24"


@pytest.mark.parametrize("annotation", ["[]", "", "one,two", "a/b/c", "[null]"])
def test_a_default_network_annotation_names_exactly_one_network(annotation: str) -> None:
    node = a_node()
    node.network("kube-system/one", single("one"))
    node.network("kube-system/two", single("two"))
    node.pod(default_network=annotation)

    error = failure(node.session())

    assert error.code == Code.ANNOTATION
    assert "v1.multus-cni.io/default-network" in error.message()
    assert node.host.calls == []


def test_one_network_may_be_asked_for_twice() -> None:
    node = a_node()
    node.pod(networks="one,one")

    assert talk(node) == ["ADD main eth0", "ADD one net1", "ADD one net2"]


def test_a_definition_without_configuration_takes_the_file_of_its_name() -> None:
    node = a_node()
    node.network("default/filed", "")
    node.store.configs["/etc/cni/multus/net.d/x.conf"] = encoded(single("one", "filed", mtu=1400))
    node.pod(networks="filed")

    talk(node)

    assert node.host.stdin(1)["mtu"] == 1400


def test_cni_args_extend_those_of_every_plugin() -> None:
    node = a_node()
    config = chain("pair", "one", {"type": "two", "args": {"cni": {"a": 0, "q": 9}, "x": 1}})
    node.network("default/pair", config)
    node.pod(networks='[{"name": "pair", "cni-args": {"a": 1}}]')

    talk(node)

    assert node.host.stdin(1)["args"] == {"cni": {"a": 1}}
    assert node.host.stdin(2)["args"] == {"cni": {"a": 1, "q": 9}, "x": 1}


@pytest.mark.parametrize("args", [7, {"cni": []}])
def test_cni_args_that_cannot_be_added_are_an_error(args: Any) -> None:
    node = a_node()
    node.network("default/odd", single("one", args=args))
    node.pod(networks='[{"name": "odd", "cni-args": {"a": 1}}]')

    assert failure(node.session()).code == Code.INVALID_CONFIGURATION


# -- isolation


@pytest.mark.parametrize(
    ("isolation", "allowed"),
    [
        ({}, True),
        ({"namespaceIsolation": True}, False),
        ({"namespaceIsolation": True, "globalNamespaces": "other, more"}, True),
        ({"namespaceIsolation": True, "globalNamespaces": "default"}, False),
    ],
)
def test_definitions_of_other_namespaces_can_be_closed(
    isolation: dict[str, Any], *, allowed: bool
) -> None:
    node = a_node(**isolation)
    node.network("other/net", single("one"))
    node.pod(networks="two,other/net")

    if allowed:
        assert talk(node)[-1] == "ADD one net2"
    else:
        error = failure(node.session())
        assert error.code == Code.NETWORK_FORBIDDEN
        assert "other/net" in error.message()
        assert "default" in error.message()
        assert node.host.calls == []


def test_the_namespace_default_is_open_to_all_unless_others_are_listed() -> None:
    node = a_node(namespaceIsolation=True)
    pod = node.pod(networks="default/one")
    assert node.cluster is not None
    inside = type(pod)(ObjectRef("team", "web"), pod.uid, pod.annotations)
    node.cluster.pods[inside.ref] = inside
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=team;K8S_POD_NAME=web"

    assert talk(node, args=args)[-1] == "ADD one net1"
    with pytest.raises(CniError):
        add.add(node.session(args=args, globalNamespaces="shared"))


def test_isolation_holds_for_the_default_network_annotation() -> None:
    node = a_node(namespaceIsolation=True)
    node.network("other/net", single("one"))
    node.network("kube-system/net", single("two"))
    node.pod(default_network="other/net")
    assert failure(node.session()).code == Code.NETWORK_FORBIDDEN

    node.pod(default_network="net")
    assert talk(node) == ["ADD two eth0"]


# -- the auxiliary chain


def an_auxiliary_node(**files: Any) -> Node:
    node = a_node(clusterNetwork="/etc/net/10.conf", auxiliaryCNIChainName="aux", delegates=None)
    node.host.plugins["passthru"] = node.host.plugins["main"]
    node.store.configs["/etc/net/10.conf"] = encoded(single("main", "primary"))
    for name, config in files.items():
        node.store.configs[f"/etc/net/aux/{name}.conf"] = encoded(config)
    node.pod(networks="one")
    return node


def test_the_auxiliary_chain_runs_last_and_on_its_own() -> None:
    node = an_auxiliary_node(a={"type": "two", "sysctl": {"x": "1"}}, b={"type": "three"})

    assert talk(node)[2:] == ["ADD passthru net2", "ADD two net2", "ADD three net2"]
    assert node.host.stdin(3)["sysctl"] == {"x": "1"}
    assert node.host.stdin(3)["name"] == "aux"


def test_an_auxiliary_chain_without_plugins_is_none() -> None:
    assert talk(an_auxiliary_node()) == ["ADD main eth0", "ADD one net1"]


def test_an_auxiliary_chain_needs_a_path() -> None:
    node = a_node(auxiliaryCNIChainName="aux")
    node.pod()

    assert failure(node.session()).code == Code.INVALID_CONFIGURATION


# -- recursion


@pytest.mark.parametrize("kind", ["multus", "multus-py", "multus-shim", "my-multus"])
@pytest.mark.parametrize("config", ["single", "second of a chain", "definition"])
def test_this_plugin_as_its_own_delegate_is_refused_before_anything_runs(
    kind: str, config: str
) -> None:
    node = a_node()
    if config == "definition":
        node.network("default/loop", single(kind))
        node.pod(networks="loop")
        session = node.session(type="my-multus")
    else:
        loop = single(kind, "loop") if config == "single" else chain("loop", "one", kind)
        node.pod()
        session = node.session(type="my-multus", delegates=[loop])

    error = failure(session)

    assert error.code == Code.RECURSION
    assert kind in error.message()
    assert node.host.calls == []


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


# -- many elements


class Counting(FakeCluster):
    """A cluster that counts what it is asked for, and takes its time."""

    def __init__(self, node: Node, seconds: float = 0.0) -> None:
        assert node.cluster is not None
        super().__init__(**vars(node.cluster))
        self.node = node
        self.seconds = seconds
        self.asked: list[ObjectRef] = []

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        self.asked.append(ref)
        self.node.now += self.seconds
        return super().get_network(ref)

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        self.asked.append(ref)
        self.node.now += self.seconds
        return super().get_first_generation_network(ref)


def test_a_definition_is_asked_for_once_however_often_it_is_named() -> None:
    node = a_node(clusterNetwork="one", multusNamespace="default", defaultNetworks=["one"])
    node.pod(networks="one,two,one,one", default_network="one")
    cluster = node.cluster = Counting(node)

    assert len(talk(node)) == 6
    assert [ref.name for ref in cluster.asked] == ["one", "two"]


def test_an_object_of_the_first_generation_is_asked_for_once_too() -> None:
    node = an_old_node()
    node.pod(old_networks=json.dumps([{"name": "flannel-conf"}] * 3 + [{"name": "vlan-conf"}]))
    cluster = node.cluster = Counting(node)

    add.add(node.session())

    assert [ref.name for ref in cluster.asked] == ["flannel-conf", "vlan-conf"]


@pytest.mark.parametrize("key", ["networks", "old_networks"])
def test_looking_up_ends_with_the_time_for_it(key: str) -> None:
    node = a_node() if key == "networks" else an_old_node()
    names = ["one", "two", "three"]
    if key == "old_networks":
        names = ["flannel-conf", "sriov-conf", "vlan-conf"]
    node.pod(**{key: json.dumps([{"name": name} for name in names])})
    cluster = node.cluster = Counting(node, seconds=40)

    assert failure(node.session()).code == Code.TRY_AGAIN_LATER
    assert len(cluster.asked) == 2
    assert node.host.calls == []


@pytest.mark.parametrize(
    "annotation", [",".join(["one"] * 101), json.dumps([{"name": "one"}] * 101)], ids=[",", "JSON"]
)
def test_an_annotation_has_a_hundred_elements_at_most(annotation: str) -> None:
    node = a_node()
    node.pod(networks=annotation)

    error = failure(node.session())

    assert error.code == Code.ANNOTATION
    assert "it has 101 elements (at most 100)" in error.message()


def test_a_hundred_are_allowed() -> None:
    node = a_node()
    node.pod(networks=",".join(["one"] * 100))

    assert len(talk(node)) == 101
