"""Walk-throughs of multi-network pods that people publish, typed as they stand there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster import images, whereabouts
from tests.cluster.deployment import PROJECT
from tests.cluster.nads import ASKED
from tests.cluster.pods import is_ready, pod, wait_running
from tests.cluster.reach import Guest
from tests.cluster.stays import created, running
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

TYPED = Path(__file__).with_name("walkthrough")
EXAMPLES = PROJECT / "examples"
LINKS = ("ens5", "ens33", "enp0s5", "eth1")
"""What walk-throughs call the link of a node."""
SERVER = "trap 'exit 0' TERM; httpd -f -h / -p {port} & wait"
"""Serves the files of a container, until it is asked to end."""


@pytest.fixture(scope="module")
def site(deployed: Cluster) -> Iterator[Cluster]:
    """The cluster with the links and images that walk-throughs name, and with whereabouts."""
    servers = {"http-test": "8080", "nginx": "80"}
    for name, port in servers.items():
        archive = deployed.directory / f"{name}.tar"
        image = f"docker.io/library/{name}:latest"
        images.write_with_busybox(
            archive, image, {}, command=["sh", "-c", SERVER.format(port=port)]
        )
    for node in deployed.nodes:
        node.import_image(deployed.directory / "busybox.tar", "docker.io/library/alpine:latest")
        for name in servers:
            node.import_image(deployed.directory / f"{name}.tar")
        for link in LINKS:
            node.run("ip", "link", "property", "add", "dev", "eth0", "altname", link)
    whereabouts.deploy(deployed)
    yield deployed
    for node in deployed.nodes:
        for link in LINKS:
            node.run("ip", "link", "property", "del", "dev", "eth0", "altname", link)


@pytest.fixture
def macvlan(site: Cluster) -> Iterator[Cluster]:
    """The cluster with a network that whereabouts has the addresses of."""
    with created(site, TYPED / "macvlan-whereabouts.yaml"):
        yield site


def test_definitions_are_listed(macvlan: Cluster) -> None:
    listed = macvlan.kubectl("get", "network-attachment-definitions").splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "macvlan-conf"]
    assert listed[0].split() == ["NAME", "AGE"]


def test_pods_reach_each_other_over_net1(macvlan: Cluster) -> None:
    """On one node, and on two: addresses are of the whole cluster."""
    places = {f"{node.name}-{letter}": node for node in macvlan.nodes for letter in "ab"}
    with running(macvlan, *(asking(name, "macvlan-conf", node) for name, node in places.items())):
        here, *others = (Guest(macvlan, name) for name in places)
        assert here.links() == ["lo", "eth0", "net1"]
        own, *addresses = (guest.address("net1") for guest in (here, *others))
        assert {own, *addresses} == {f"10.211.55.{number}" for number in range(21, 25)}
        assert all(here.reaches(address, "net1") for address in addresses)


@pytest.mark.parametrize(
    ("asked", "links"),
    [
        ("foo,macvlan-conf", ["net1", "net2"]),
        ("macvlan-conf,macvlan-conf", ["net1", "net2"]),
        ("macvlan-conf@north", ["north"]),
    ],
)
def test_networks_are_named_as_people_type_them(
    macvlan: Cluster, asked: str, links: list[str]
) -> None:
    (foo,) = yaml.safe_load_all((TYPED / "macvlan-whereabouts.yaml").read_text())
    foo["metadata"]["name"] = "foo"
    with running(macvlan, foo, asking("samplepod", asked)):
        guest = Guest(macvlan, "samplepod")
        assert guest.links() == ["lo", "eth0", *links]
        names = [f"default/{name.partition('@')[0]}" for name in asked.split(",")]
        assert [one["name"] for one in guest.status()] == ["primary", *names]
        assert len({guest.address(link) for link in links}) == len(links)


def test_nodes_have_the_configuration_of_a_definition_without_spec(site: Cluster) -> None:
    for node in site.nodes:
        directory = node.own("/etc/cni/multus/net.d")
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(TYPED / "macvlan2.conf", directory)
    with (
        created(site, TYPED / "without-spec.yaml"),
        running(site, asking("samplepod", "macvlan-conf-2")),
    ):
        assert Guest(site, "samplepod").address("net1").startswith("10.211.55.")
    for node in site.nodes:
        (node.own("/etc/cni/multus/net.d") / "macvlan2.conf").unlink()


def test_a_deployment_serves_on_all_its_networks(macvlan: Cluster) -> None:
    """Through net1 from one replica to the other; the Service has the primary addresses."""
    with created(macvlan, TYPED / "http-server.yaml"):
        rollout = ("rollout", "status", "deployment/http-server-deployment", "--timeout=60s")
        macvlan.kubectl(*rollout)
        pods = macvlan.pods("--selector=app=http-server")
        one, other = (Guest(macvlan, found["metadata"]["name"]) for found in pods)
        for guest, peer in ((one, other), (other, one)):
            served = guest.fetch(peer.address("net1"), 8080, "/etc/hostname")
            assert served.strip() == peer.name
        primary = sorted((found["status"]["podIP"], 8080) for found in pods)
        until(lambda: endpoints(macvlan, "http-server") == primary, "endpoints of the service")
        (port,) = macvlan.kubectl_json("get", "service", "http-server")["spec"]["ports"]
        assert port["nodePort"] == 30036


def test_describe_shows_every_interface(site: Cluster) -> None:
    """A definition with addresses of one node, a default route and CNI 0.3.0."""
    with created(site, TYPED / "macvlan-host-local.yaml"):
        wait_running(site.kubectl, ["sample-pod"])
        guest = Guest(site, "sample-pod")
        assert guest.links() == ["lo", "eth0", "net1"]
        address = guest.address("net1")
        assert 200 <= int(address.removeprefix("192.168.1.")) <= 216
        told = site.kubectl("describe", "pod", "sample-pod").split("network-status:")[1]
        for shown in ('"interface": "eth0"', '"default": true', '"name": "default/macvlan-conf"'):
            assert shown in told
        assert f"Add net1 [{address}/24] from default/macvlan-conf" in told


@pytest.mark.parametrize(
    "example", sorted(path.stem for path in EXAMPLES.glob("*.yaml") if path.stem != "demo")
)
def test_our_own_examples_are_no_worse(site: Cluster, example: str) -> None:
    path = EXAMPLES / f"{example}.yaml"
    with created(site, path):
        for found in started(site, path):
            guest = Guest(site, found["metadata"]["name"], found["metadata"]["namespace"])
            links = [entry["interface"] for entry in guest.status()]
            assert guest.links() == ["lo", *links]
            assert len(links) > 1
            assert all(guest.address(link) for link in links)


def asking(name: str, networks: str, node: Node | None = None) -> dict[str, Any]:
    """Return a pod that asks for networks, wherever or on a node."""
    return pod(name, node=node.name if node else None, annotations={ASKED: networks})


def started(cluster: Cluster, path: Path) -> list[dict[str, Any]]:
    """Wait until the pods that a file leads to run; return them."""
    asked = [
        one for one in yaml.safe_load_all(path.read_text()) if one["kind"] in {"Pod", "Deployment"}
    ]
    (namespace,) = {one["metadata"].get("namespace", "default") for one in asked}
    wanted = sum(one.get("spec", {}).get("replicas", 1) for one in asked)
    inside = f"--namespace={namespace}"

    def ready() -> list[dict[str, Any]] | None:
        pods = cluster.pods(inside)
        return pods if len(pods) == wanted and all(map(is_ready, pods)) else None

    return until(ready, f"pods of {path}", lambda: cluster.kubectl(inside, "get", "events"))


def endpoints(cluster: Cluster, service: str) -> list[tuple[str, int]]:
    """Return the addresses and ports behind a service, in order."""
    selection = f"--selector=kubernetes.io/service-name={service}"
    slices = cluster.kubectl_json("get", "endpointslices", selection)["items"]
    return sorted(
        (address, port["port"])
        for one in slices
        for endpoint in one["endpoints"]
        for port in one["ports"]
        for address in endpoint["addresses"]
    )
