"""Devices: those that the kubelet allocates to a pod reach the networks that ask for them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import dradriver
from tests.cluster.deviceplugin import DevicePlugin
from tests.cluster.guests import refusal
from tests.cluster.nads import ASKED
from tests.cluster.pods import pod, wait_running
from tests.cluster.reach import Guest
from tests.cluster.stays import defined, running
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
OFFERED = {"example.com/left": ("left0", "left1"), "example.com/right": ("right0", "right1")}
"""Links by the resource that they are."""
CLAIMED = ("claimed0", "claimed1")
"""Links that are had by resource claims."""
LINK = """\
#!/bin/sh
# Moves a link into a pod: the one whose name is the device's ID.
/bin/sed 's/"pciBusID"/"ignored"/; s/"deviceID"/"device"/' | /opt/cni/bin/host-device
"""


@pytest.fixture(scope="module")
def furnished(deployed: Cluster) -> Iterator[Cluster]:
    """The cluster with links on a node, networks of them, and a plugin that moves them."""
    node = deployed.nodes[0]
    for link in links():
        node.run("ip", "link", "add", link, "type", "veth", "peer", "name", f"{link}-peer")
    plugin = node.own("/opt/cni/bin") / "link"
    plugin.write_text(LINK)
    plugin.chmod(0o755)
    definitions = [network(resource) for resource in OFFERED]
    deployed.kubectl.apply(*definitions)
    yield deployed
    names = [one["metadata"]["name"] for one in definitions]
    deployed.kubectl("delete", "network-attachment-definition", *names)
    plugin.unlink()
    for link in links():
        node.run("ip", "link", "delete", link)


@pytest.fixture(scope="module")
def plugins(furnished: Cluster) -> Iterator[dict[str, DevicePlugin]]:
    """The device plugins, by resource."""
    made = {resource: DevicePlugin(resource, devices) for resource, devices in OFFERED.items()}
    with ExitStack() as stack:
        for one in made.values():
            stack.enter_context(one.serving(furnished, furnished.nodes[0]))
        yield made


@pytest.fixture
def addresses(furnished: Cluster) -> Iterator[dict[str, str]]:
    """The addresses of the devices; these are back on the node afterwards."""
    node = furnished.nodes[0]
    before = macs(node)
    yield before
    until(lambda: macs(node) == before, "the links to be back")


def test_each_network_gets_a_device_of_its_own_resource(
    furnished: Cluster, plugins: dict[str, DevicePlugin], addresses: dict[str, str]
) -> None:
    wanted = {"example.com/left": 1, "example.com/right": 1}
    with running(furnished, asking("pair", "right,left", wanted)):
        (left,), (right,) = (plugins[resource].allocated[-1] for resource in OFFERED)
        assert interfaces(furnished, "pair") == {"net1": addresses[right], "net2": addresses[left]}


def test_devices_of_one_resource_go_to_networks_in_order(
    furnished: Cluster, plugins: dict[str, DevicePlugin], addresses: dict[str, str]
) -> None:
    with running(furnished, asking("both", "left,left", {"example.com/left": 2})):
        assert plugins["example.com/left"].allocated[-1] == ["left0", "left1"]
        wanted = {"net1": addresses["left0"], "net2": addresses["left1"]}
        assert interfaces(furnished, "both") == wanted


@pytest.mark.usefixtures("plugins", "addresses")
def test_a_pod_with_fewer_devices_than_networks_is_told_of_which(furnished: Cluster) -> None:
    with defined(furnished, asking("greedy", "left,left", {"example.com/left": 1})):
        said = refusal(furnished, "greedy")
        assert "the pod has 1 device(s) of example.com/left, and its networks use all" in said
        furnished.kubectl("annotate", "--overwrite", "pod", "greedy", f"{ASKED}=left")
        wait_running(furnished.kubectl, ["greedy"])
        assert list(interfaces(furnished, "greedy")) == ["net1"]


@pytest.mark.usefixtures("plugins")
def test_a_pod_waits_for_a_device_that_another_one_has(
    furnished: Cluster, addresses: dict[str, str]
) -> None:
    first, second = (
        asking(name, "right,right", {"example.com/right": 2}) for name in ("first", "second")
    )
    with ExitStack() as later:
        with running(furnished, first):
            later.enter_context(defined(furnished, second))
            until(
                lambda: "Insufficient example.com/right" in described(furnished, "second"),
                "the pod to be told what there is not",
            )
        wait_running(furnished.kubectl, ["second"])
        wanted = {"net1": addresses["right0"], "net2": addresses["right1"]}
        assert interfaces(furnished, "second") == wanted


def test_the_device_of_a_claim_reaches_the_network_that_names_the_claim(
    furnished: Cluster, addresses: dict[str, str]
) -> None:
    claiming = asking("claiming", "uplink", {})
    claiming["spec"]["resourceClaims"] = [{"name": "link", "resourceClaimName": "uplink"}]
    claiming["spec"]["containers"][0]["resources"] = {"claims": [{"name": "link"}]}
    with (
        dradriver.Driver(furnished, furnished.nodes[0], CLAIMED).serving(),
        running(furnished, network("uplink"), claim("uplink"), claiming),
    ):
        device = Guest(furnished, "claiming").exec("sh", "-c", "echo $LINK").strip()
        assert interfaces(furnished, "claiming") == {"net1": addresses[device]}


def links() -> list[str]:
    """Return all links that are devices."""
    return [*(link for devices in OFFERED.values() for link in devices), *CLAIMED]


def network(resource: str) -> dict[str, Any]:
    """Return a network of the devices of a resource; it is called as that is, without a domain."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {
            "name": resource.rpartition("/")[2],
            "annotations": {RESOURCE_NAME: resource},
        },
        "spec": {"config": json.dumps({"cniVersion": "1.0.0", "type": "link"})},
    }


def claim(name: str) -> dict[str, Any]:
    """Return a claim of one device of the driver."""
    request = {"name": "one", "exactly": {"deviceClassName": dradriver.NAME}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": {"devices": {"requests": [request]}},
    }


def asking(name: str, networks: str, devices: Mapping[str, int]) -> dict[str, Any]:
    """Return a pod that asks for networks and devices."""
    made = pod(name, annotations={ASKED: networks})
    limits = {resource: str(count) for resource, count in devices.items()}
    made["spec"]["containers"][0]["resources"] = {"limits": limits}
    return made


def described(cluster: Cluster, name: str) -> str:
    return cluster.kubectl("describe", "pod", name)


def macs(node: Node) -> dict[str, str]:
    """Return the addresses of the devices that are on the node and not in a pod."""
    found = json.loads(node.run("ip", "-json", "link", "show", "type", "veth"))
    return {one["ifname"]: one["address"] for one in found if one["ifname"] in links()}


def interfaces(cluster: Cluster, name: str) -> dict[str, str]:
    """Return the addresses of the links of a pod, after checking the network-status."""
    guest = Guest(cluster, name)
    told = {one["interface"]: one["mac"] for one in guest.status()[1:]}
    for link, mac in told.items():
        assert f"link/ether {mac}" in guest.exec("ip", "link", "show", "dev", link)
    return told
