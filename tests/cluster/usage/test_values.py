"""Values of the chart that change what pods get: the first generation, and isolated namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster import deployment
from tests.cluster.deployment import PROJECT
from tests.cluster.guests import refusal
from tests.cluster.nads import ASKED, macvlan
from tests.cluster.pods import pod, wait_running
from tests.cluster.reach import Guest
from tests.cluster.stays import created, defined
from tests.deploy.charts import rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

TYPED = Path(__file__).with_name("walkthrough") / "first-generation.yaml"
RESOURCE = PROJECT / "examples/legacy/crd.yaml"
LINKS = ("enp12s0f1", "enp2s0")
FLANNEL = """\
#!/bin/sh
# Stands in for flannel, which is asked for less than bridge has to be told.
asked=$(/bin/cat)
field() {
    printf %s "$asked" | /bin/sed -n 's/.*"'"$1"'": *"\\([^"]*\\)".*/\\1/p'
}
/opt/cni/bin/bridge <<END
{
  "cniVersion": "$(field cniVersion)", "name": "$(field name)", "type": "bridge",
  "bridge": "cbr0", "isDefaultGateway": true,
  "ipam": {"type": "host-local", "subnet": "10.1.15.0/24"}
}
END
"""
SRIOV = """\
#!/bin/sh
# Stands in for sriov: a link of its own instead of a virtual function.
/bin/sed 's/"if0":/"master":/' | /opt/cni/bin/macvlan
"""


@pytest.fixture(scope="module")
def valued(deployed: Cluster) -> Iterator[Cluster]:
    """The cluster with other values for a while, on all nodes at once."""
    values = {
        "legacyNetworks": True,
        "namespaceIsolation": True,
        "updateStrategy": {"rollingUpdate": {"maxUnavailable": "100%"}},
    }
    deployed.kubectl.apply(*rendered(values).objects)
    deployment.wait(deployed)
    yield deployed
    deployed.kubectl("apply", f"--filename={deployment.MANIFEST}")
    deployment.wait(deployed)


@pytest.fixture
def first_generation(valued: Cluster) -> Iterator[Cluster]:
    """The cluster with networks, plugins and links of that time."""
    valued.kubectl("apply", f"--filename={RESOURCE}")
    valued.kubectl("wait", "--for=condition=Established", f"--filename={RESOURCE}")
    plugins = {"flannel": FLANNEL, "sriov": SRIOV}
    for node in valued.nodes:
        for name, script in plugins.items():
            (node.own("/opt/cni/bin") / name).write_text(script)
            (node.own("/opt/cni/bin") / name).chmod(0o755)
        for link in LINKS:
            node.run("ip", "link", "property", "add", "dev", "eth0", "altname", link)
    with created(valued, TYPED):
        yield valued
    for node in valued.nodes:
        for name in plugins:
            (node.own("/opt/cni/bin") / name).unlink()
        for link in LINKS:
            node.run("ip", "link", "property", "del", "dev", "eth0", "altname", link)
    valued.kubectl("delete", f"--filename={RESOURCE}")


def test_a_pod_of_the_first_generation_names_all_its_networks(first_generation: Cluster) -> None:
    """Also the primary one; the others are net0 and what their if0name says."""
    name = "multus-multi-net-poc"
    wait_running(first_generation.kubectl, [name])
    guest = Guest(first_generation, name)
    assert guest.links() == ["lo", "eth0", "net0", "north"]
    assert guest.address("eth0").startswith("10.1.15.")
    assert guest.address("net0") == "10.56.217.171"
    assert "inet " not in guest.exec("ip", "address", "show", "dev", "north")
    listed = first_generation.kubectl("get", "network").splitlines()
    assert [line.split()[:2] for line in listed] == [
        ["NAME", "PLUGIN"],
        ["flannel-conf", "flannel"],
        ["sriov-conf", "sriov"],
        ["sriov-vlanid-l2enable-conf", "sriov"],
    ]


def test_a_network_of_an_isolated_namespace_is_refused_by_name(valued: Cluster) -> None:
    vault = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vault"}}
    own, secret = macvlan("own", "10.75.0.0/24"), macvlan("secret", "10.76.0.0/24")
    secret["metadata"]["namespace"] = "vault"
    curious = pod("curious", annotations={ASKED: "vault/secret"})
    with defined(valued, vault, own, secret, curious):
        said = refusal(valued, "curious")
        cause = "network vault/secret is not for pods of namespace default (namespaceIsolation)"
        assert cause in said
        valued.kubectl("annotate", "--overwrite", "pod", "curious", f"{ASKED}=own")
        wait_running(valued.kubectl, ["curious"])
        assert Guest(valued, "curious").address("net1").startswith("10.75.")
