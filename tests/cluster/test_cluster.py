"""The cluster itself: pods run on its nodes, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import cluster as clusters
from tests.cluster import network, whereabouts
from tests.cluster.cluster import Cluster
from tests.cluster.machine import KERNEL
from tests.cluster.places import BIN, RUN
from tests.cluster.pods import pod, wait_running
from tests.cluster.waiting import ClusterError, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.node import Node

FAR = {
    "cniVersion": "1.0.0",
    "name": "far",
    "plugins": [
        {
            "type": "macvlan",
            "master": "eth0",
            "ipam": {"type": "whereabouts", "range": "10.10.0.0/29"},
        }
    ],
}
HELD = """\
import sys
from tests.cluster.cluster import Cluster
with Cluster.up(nodes=1, name="abandoned") as made:
    print(made.nodes[0].machine.pid, made.nodes[0].kubelet.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The addresses of two pods, one on each node."""
    pods = [pod(f"on-{node.name}", node=node.name) for node in cluster.nodes]
    names = [one["metadata"]["name"] for one in pods]
    cluster.kubectl.apply(*pods)
    yield wait_running(cluster.kubectl, names)
    cluster.kubectl("delete", "pod", *names)


def test_pods_run_on_each_node_with_addresses_of_its_own(
    cluster: Cluster, pair: dict[str, str]
) -> None:
    assert pair["on-node1"].startswith("10.244.1.")
    assert pair["on-node2"].startswith("10.244.2.")


def test_kubectl_exec_shows_the_links_of_a_pod(cluster: Cluster, pair: dict[str, str]) -> None:
    links = cluster.kubectl("exec", "on-node1", "--", "ip", "a")
    assert f"inet {pair['on-node1']}/24" in links
    assert "eth0@" in links


@pytest.mark.parametrize(("here", "there"), [("on-node1", "on-node2"), ("on-node2", "on-node1")])
def test_pods_of_two_nodes_reach_each_other(
    cluster: Cluster, pair: dict[str, str], here: str, there: str
) -> None:
    answers = cluster.kubectl("exec", here, "--", "ping", "-c1", "-W5", pair[there])
    assert "1 packets received" in answers


def test_pods_reach_the_api_server_by_its_service(cluster: Cluster, pair: dict[str, str]) -> None:
    cluster.kubectl("exec", "on-node2", "--", "nc", "-w5", "10.96.0.1", "443", "-e", "true")


def test_kubectl_logs_shows_what_a_pod_printed(cluster: Cluster) -> None:
    cluster.kubectl.apply(pod("talker", "sh", "-c", "echo hello; exec sleep 2147483647"))
    wait_running(cluster.kubectl, ["talker"])
    assert cluster.kubectl("logs", "talker") == "hello\n"
    cluster.kubectl("delete", "pod", "talker", "--grace-period=1")


def test_what_a_pod_had_is_released_with_it(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    leases = node.own("/var/lib/cni") / "networks/primary"
    before = {path.name for path in leases.glob("10.*")}
    cluster.kubectl.apply(pod("passing", node=node.name))
    address = wait_running(cluster.kubectl, ["passing"])["passing"]
    assert (leases / address).exists()
    cluster.kubectl("delete", "pod", "passing")
    assert {path.name for path in leases.glob("10.*")} == before


def test_pods_go_on_over_a_kill_of_kubelet_and_containerd(
    cluster: Cluster, pair: dict[str, str]
) -> None:
    node = cluster.nodes[1]
    node.kubelet.kill()
    node.containerd.kill()
    assert not node.kubelet.running
    node.containerd.start()
    node.kubelet.start()
    cluster.wait()
    hostname = ("exec", "on-node2", "--", "hostname")  # once the kubelet has heard of its pods
    until(lambda: cluster.kubectl.attempt(*hostname).stdout == "on-node2\n", "a command to run")
    assert wait_running(cluster.kubectl, pair) == pair
    assert restarts(cluster, "on-node2") == 0


def test_nodes_see_files_and_links_of_their_own(cluster: Cluster) -> None:
    one, other = cluster.nodes
    (one.root / "etc/cni/net.d/only-here").touch()
    one.run("touch", "/run/only-here")
    assert not (other.root / "etc/cni/net.d/only-here").exists()
    assert not (other.root / "run/only-here").exists()
    assert not Path("/run/only-here").exists()
    one.run("rm", "/run/only-here", "/etc/cni/net.d/only-here")


def test_the_api_server_can_be_away(cluster: Cluster) -> None:
    cluster.api.stop()
    assert cluster.kubectl.attempt("get", "nodes").returncode != 0
    cluster.api.start()
    cluster.wait()


def test_a_node_that_was_off_runs_its_pods_again(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    cluster.kubectl.apply(pod("lasting", node=node.name))
    wait_running(cluster.kubectl, ["lasting"])
    node.stop()
    node.start()
    node.wait()
    until(lambda: restarts(cluster, "lasting") > 0, "the container to start again")
    address = wait_running(cluster.kubectl, ["lasting"])["lasting"]
    assert "1 packets received" in cluster.kubectl(
        "exec", "lasting", "--", "ping", "-c1", "-W5", network.CONTROL
    )
    assert address.startswith("10.244.2.")
    cluster.kubectl("delete", "pod", "lasting")


def test_whereabouts_gives_addresses_to_all_nodes(cluster: Cluster) -> None:
    whereabouts.deploy(cluster)
    one, other = cluster.nodes
    for node in cluster.nodes:
        node.run("ip", "netns", "add", "far")
        (node.root / "etc/cni/far").mkdir()
        (node.root / "etc/cni/far/far.conflist").write_text(json.dumps(FAR))
    given = [cnitool(node, "add")["ips"][0]["address"] for node in cluster.nodes]
    assert given == ["10.10.0.1/29", "10.10.0.2/29"]
    ping = ("ip", "netns", "exec", "far", "ping", "-c1", "-W5")
    assert "1 received" in one.run(*ping, "10.10.0.2")
    assert "1 received" in other.run(*ping, "10.10.0.1")
    for node in cluster.nodes:
        cnitool(node, "del")
        node.run("ip", "netns", "delete", "far")
    reserved = cluster.kubectl_json("get", "ippools", "--all-namespaces")["items"]
    assert [pool["spec"]["allocations"] for pool in reserved] == [{}]


def test_a_cluster_that_is_held_is_not_taken_away(cluster: Cluster) -> None:
    with (
        pytest.raises(ClusterError, match=f"in use by process {os.getpid()}"),
        Cluster.up(name=cluster.name),
    ):
        pass


def test_a_program_that_dies_is_named_with_what_it_said(cluster: Cluster) -> None:
    scheduler = cluster.control.scheduler
    scheduler.stop()
    command = scheduler.command
    scheduler.command = [*command, "--no-such-option"]
    with pytest.raises(ClusterError, match=r"kube-scheduler on control ended with 1:[^$]*unknown"):
        scheduler.start()
    scheduler.command = command
    scheduler.start()


def test_nothing_runs_after_who_held_a_cluster_was_killed() -> None:
    before = kernel()
    holder = subprocess.Popen(
        [sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    pids = holder.stdout.readline().split()
    assert len(pids) == 2
    assert clusters.is_up("abandoned")
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the machine to end")
    assert not clusters.is_up("abandoned")
    assert kernel() == before
    with Cluster.up(nodes=1, name="abandoned") as made:  # over what is left
        assert [one["metadata"]["name"] for one in made.kubectl_json("get", "nodes")["items"]]
    assert leftovers("abandoned") == []


def test_a_cluster_to_play_with_stays_until_it_is_taken_down(
    capfd: pytest.CaptureFixture[str],
) -> None:
    this = [sys.executable, "-m", "tests.cluster", "--name=toy"]
    subprocess.run([*this, "up", "--nodes=1"], check=True)
    assert clusters.is_up("toy")
    kubectl = RUN / "toy/kubectl"
    assert str(kubectl) in capfd.readouterr().out
    subprocess.run([kubectl, "run", "--image=busybox", "first", "--", "true"], check=True)
    subprocess.run([*this, "up", "--nodes=1"], check=True)
    assert "up already" in capfd.readouterr().out
    subprocess.run([*this, "down"], check=True)
    assert leftovers("toy") == []


def cnitool(node: Node, verb: str) -> Any:
    """Attach a network namespace of a node to a network, or detach it; return what was said."""
    settings = [
        "NETCONFPATH=/etc/cni/far",
        "CNI_PATH=/opt/cni/bin",
        "CNI_IFNAME=net1",
        f"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=far-{node.name}",
    ]
    tool = str(BIN / "cnitool")
    return json.loads(node.run("env", *settings, tool, verb, "far", "/run/netns/far") or "null")


def restarts(cluster: Cluster, name: str) -> int:
    """Return how often the container of a pod was started again."""
    status = cluster.kubectl_json("get", "pod", name)["status"]
    return sum(one["restartCount"] for one in status.get("containerStatuses", []))


def kernel() -> list[str]:
    """Return what a kubelet would change for the whole machine."""
    return [Path("/proc/sys", place).read_text() for place in sorted(KERNEL)]


def leftovers(name: str) -> list[str]:
    """Return what this machine still has of a cluster: directories, mounts, control groups."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/multus-py-{name}")]
    directory = RUN / name
    return [
        *groups,
        *(line for line in mounts if f"{directory}/" in line),
        *([str(directory)] if directory.exists() else []),
    ]
