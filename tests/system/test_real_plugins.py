"""The plugins of the CNI project in real namespaces: what is attached, and what is left."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.version import SUPPORTED
from tests import nodes
from tests.system.runtime import PLUGIN, Runtime, a_cluster, definition, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.nodes import Netns

REAL = next(path for path in ("/opt/cni/bin", "/usr/lib/cni") if os.path.exists(f"{path}/macvlan"))
VERSIONS = [version for version in SUPPORTED if version != "1.1.0"]  # Debian 12's know up to 1.0.0
PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}


class Real(Runtime):
    """A node with a network namespace of its own, with the real plugins, and one for a pod."""

    host: Netns
    pod: Netns

    def addresses(self) -> list[str]:
        """Return the addresses that host-local has given away."""
        return sorted(
            path.name
            for path in (self.directory / "ipam").rglob("*")
            if path.is_file() and path.name[0].isdigit()
        )

    def links(self, netns: Netns) -> dict[str, list[str]]:
        """Return the links of a namespace with their addresses, without the loopback."""
        rows = json.loads(netns.ip("-json", "address", "show"))
        return {
            row["ifname"]: [
                f"{address['local']}/{address['prefixlen']}"
                for address in row["addr_info"]
                if address["scope"] == "global"
            ]
            for row in rows
            if row["ifname"] != "lo"
        }

    def firewall(self) -> str:
        """Return the rules that plugins made on the node."""
        rules = nodes.run("ip", "netns", "exec", self.host.name, "iptables-save")
        return "\n".join(line for line in rules.splitlines() if "CNI-DN" in line)

    def ipam(self, subnet: str, **more: Any) -> dict[str, Any]:
        directory = str(self.directory / "ipam")
        return {"type": "host-local", "subnet": subnet, "dataDir": directory, **more}

    def bridge(self, device: str, subnet: str, **more: Any) -> dict[str, Any]:
        members = {"bridge": device, "isGateway": True, "ipam": self.ipam(subnet), **more}
        return {"cniVersion": "1.0.0", "type": "bridge", **members}

    def nothing_left(self) -> bool:
        """Tell whether pod, node, books and firewall are as before; bridges stay by design."""
        stays = {"cbr0", "second0", "uplink", "uplink-peer"}
        return (
            self.links(self.pod) == {}
            and set(self.links(self.host)) <= stays
            and self.addresses() == []
            and self.files() == {}
            and self.firewall() == ""
        )


@pytest.fixture
def real(tmp_path: Path, netns: Netns) -> Iterator[Real]:
    """Return a node with an uplink for macvlan, and a pod's namespace."""
    with nodes.network_namespace() as host:
        host.add_link("uplink")
        runtime = Real(tmp_path, netns.path)
        runtime.host, runtime.pod = host, netns
        runtime.program = ("ip", "netns", "exec", host.name, *PLUGIN)
        runtime.environment = {"CNI_PATH": REAL}
        runtime.config = {
            "delegates": [runtime.bridge("cbr0", "10.61.0.0/24", name="primary")],
            "binDir": REAL,
        }
        yield runtime


def with_pod(real: Real, networks: Any, **definitions: dict[str, Any]) -> None:
    """Add a pod to the node's cluster, and the definitions it names."""
    annotation = networks if isinstance(networks, str) else json.dumps(networks)
    real.config |= a_cluster(
        real.directory,
        manifest("web", networks=annotation),
        *(definition(name, config) for name, config in definitions.items()),
    )


def added(real: Real) -> Any:
    answer = real.request("ADD")
    assert answer.status == 0, answer.stdout + answer.stderr
    return answer.document


def test_bridge_macvlan_and_ptp_with_a_chain_of_portmap_and_tuning(real: Real) -> None:
    with_pod(
        real,
        [
            {"name": "storage", "mac": "02:00:00:00:00:07"},
            {"name": "point", "interface": "p2p0"},
            {"name": "published", "portMappings": [PORT]},
        ],
        storage={
            "cniVersion": "1.0.0",
            "type": "macvlan",
            "master": "uplink",
            "capabilities": {"mac": True},
            "ipam": {"type": "static", "addresses": [{"address": "10.62.0.9/24"}]},
        },
        point={"cniVersion": "0.4.0", "type": "ptp", "ipam": real.ipam("10.63.0.0/24")},
        published={
            "cniVersion": "1.0.0",
            "name": "published",
            "disableCheck": True,  # portmap 1.1.1 misses IPv6 rules that nobody asked for
            "plugins": [
                real.bridge("second0", "10.64.0.0/24"),
                {"type": "portmap", "capabilities": {"portMappings": True}},
                {"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}},
            ],
        },
    )

    added(real)

    assert real.links(real.pod) == {
        "eth0": ["10.61.0.2/24"],
        "net1": ["10.62.0.9/24"],
        "p2p0": ["10.63.0.2/24"],
        "net3": ["10.64.0.2/24"],
    }
    assert "02:00:00:00:00:07" in real.pod.ip("link", "show", "net1")
    assert "8080" in real.firewall()
    sysctl = ("cat", "/proc/sys/net/ipv4/conf/net3/arp_filter")
    assert nodes.run("ip", "netns", "exec", real.pod.name, *sysctl).strip() == "1"
    checked = real.request("CHECK")
    assert checked.status == 0, checked.stdout

    assert real.request("DEL").status == 0
    assert real.nothing_left()


@pytest.mark.parametrize("version", VERSIONS)
def test_plugins_are_spoken_to_in_every_version(real: Real, version: str) -> None:
    primary = real.bridge("cbr0", "10.61.0.0/24", name="primary") | {"cniVersion": version}
    second = real.bridge("second0", "10.64.0.0/24") | {"cniVersion": version}
    with_pod(real, "second", second=second)
    real.config |= {"delegates": [primary], "cniVersion": version}

    result = added(real)

    assert result["cniVersion"] == version
    assert "10.61.0.2/24" in json.dumps(result)
    assert set(real.links(real.pod)) == {"eth0", "net1"}
    assert real.request("DEL").status == 0
    assert real.nothing_left()


def test_the_default_route_moves(real: Real) -> None:
    with_pod(
        real,
        [{"name": "uplink", "default-route": ["10.62.0.1"]}],
        uplink={
            "cniVersion": "1.0.0",
            "type": "macvlan",
            "master": "uplink",
            "ipam": {"type": "static", "addresses": [{"address": "10.62.0.9/24"}]},
        },
    )
    primary = real.bridge("cbr0", "10.61.0.0/24", name="primary", isDefaultGateway=True)
    real.config["delegates"] = [primary]

    added(real)

    assert real.pod.default_routes(4) == ["via 10.62.0.1 dev net1"]
    assert "10.61.0.0/24 dev eth0" in real.pod.ip("route")
    checked = real.request("CHECK")
    assert checked.status == 0, checked.stdout
    assert real.request("DEL").status == 0
    assert real.nothing_left()


def test_a_gateway_outside_of_the_network_undoes_everything(real: Real) -> None:
    second = real.bridge("second0", "10.64.0.0/24")
    with_pod(real, [{"name": "second", "default-route": ["192.0.2.1"]}], second=second)

    answer = real.request("ADD")

    assert answer.status == 1
    assert "192.0.2.1" in answer.document["msg"]
    assert real.links(real.pod) == {}
    assert real.addresses() == []
    assert real.request("DEL").status == 0
    assert real.nothing_left()


def test_a_network_that_fails_takes_the_others_with_it(real: Real) -> None:
    with_pod(
        real,
        "second,broken",
        second=real.bridge("second0", "10.64.0.0/24"),
        broken={"cniVersion": "1.0.0", "type": "macvlan", "master": "nowhere", "ipam": {}},
    )

    answer = real.request("ADD")

    assert answer.status == 1
    assert "network default/broken, interface net2, plugin macvlan" in answer.document["msg"]
    assert (real.links(real.pod), real.addresses()) == ({}, [])
    # macvlan refuses a DEL as well without its parent; the pod is let go after some tries
    assert [real.request("DEL").status for _ in range(5)] == [1, 1, 1, 1, 0]
    assert real.nothing_left()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_between_real_plugins_leaves_nothing_behind_del(real: Real, moment: str) -> None:
    real.install("killer")
    real.environment["CNI_PATH"] = f"{real.bin_dir}:{REAL}"
    real.behave(killer={"ADD": {"kill": moment}})
    with_pod(
        real,
        "second,killer,third",
        second=real.bridge("second0", "10.64.0.0/24"),
        killer={"cniVersion": "1.0.0", "type": "killer"},
        third=real.bridge("second0", "10.64.0.0/24"),
    )

    assert real.request("ADD").status == -9
    assert len(real.addresses()) == 2
    assert real.request("DEL").status == 0

    assert real.nothing_left()
    assert real.entries() == []


def test_a_pod_whose_namespace_is_gone_gives_its_addresses_back(real: Real) -> None:
    with_pod(real, "second", second=real.bridge("second0", "10.64.0.0/24"))
    added(real)
    assert len(real.addresses()) == 2

    assert real.request("DEL", environment={"CNI_NETNS": ""}).status == 0

    assert (real.addresses(), real.files()) == ([], {})


def test_a_stale_container_is_collected(real: Real) -> None:
    with_pod(real, "second", second=real.bridge("second0", "10.64.0.0/24"))
    added(real)
    with nodes.network_namespace() as other:
        answer = real.request("ADD", container_id="other", environment={"CNI_NETNS": other.path})
        assert answer.status == 0, answer.stdout
        listed = [{"containerID": "other", "ifname": "eth0"}]
        keys: dict[str, Any] = {"cni.dev/valid-attachments": listed}

        collected = real.request("GC", **keys)

        assert collected.status == 0, collected.stdout
        assert real.links(real.pod) == {}
        assert set(real.links(other)) == {"eth0", "net1"}
        assert len(real.addresses()) == 2
        assert {name for name in real.files() if "other" not in name} == set()


def test_a_device_that_another_container_took_over_is_not_deleted(real: Real) -> None:
    """An interface that was there before is somebody else's, whatever its name."""
    real.pod.add_link("net1", "10.99.0.1/24")
    with_pod(real, "second", second=real.bridge("second0", "10.64.0.0/24"))

    answer = real.request("ADD")

    assert (answer.status, answer.document["code"]) == (1, 113)
    assert real.links(real.pod) == {"net1": ["10.99.0.1/24"], "net1-peer": []}
