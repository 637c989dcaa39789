"""What users do wrong: ``kubectl describe pod`` says it in one line, and mending it is enough."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster import holdings
from tests.cluster.nads import ASKED, macvlan
from tests.cluster.places import PLUGINS
from tests.cluster.pods import pod, wait_running
from tests.cluster.reach import Guest
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.cluster import Cluster
    from tests.cluster.node import Node

FINE = macvlan("fine", "10.71.0.0/24")
LONGEST = 300
"""Characters that multus-py says about an error."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A pod that asks for something that it cannot get."""

    pod: str
    asked: str
    cause: str
    """What the line names."""
    mend: Callable[[Cluster], object]
    definition: dict[str, Any] = field(default_factory=lambda: FINE)


def definition(name: str, **changes: Any) -> dict[str, Any]:
    """Return a network whose configuration differs from a good one."""
    made = macvlan(name, "10.72.0.0/24")
    config = {**json.loads(made["spec"]["config"]), **changes}
    return {**made, "spec": {"config": json.dumps(config)}}


def broken(name: str) -> dict[str, Any]:
    """Return a network whose configuration is no JSON."""
    made = macvlan(name, "10.72.0.0/24")
    return {**made, "spec": {"config": made["spec"]["config"].rstrip("}")}}


def ranged(name: str, first: str, last: str) -> dict[str, Any]:
    """Return a network with so many addresses."""
    pool = {"subnet": "10.73.0.0/24", "rangeStart": first, "rangeEnd": last}
    return definition(name, ipam={"type": "host-local", **pool})


def annotate(name: str, asked: str) -> Callable[[Cluster], str]:
    return lambda cluster: cluster.kubectl(
        "annotate", "--overwrite", "pod", name, f"{ASKED}={asked}"
    )


def define(name: str) -> Callable[[Cluster], str]:
    return lambda cluster: cluster.kubectl.apply(macvlan(name, "10.72.0.0/24"))


def install(name: str) -> Callable[[Cluster], object]:
    return lambda cluster: shutil.copy(PLUGINS / "macvlan", place(cluster) / name)


def place(cluster: Cluster) -> Any:
    return cluster.nodes[0].own("/opt/cni/bin")


def plug(link: str) -> Callable[[Cluster], str]:
    return lambda cluster: cluster.nodes[0].run("ip", "link", "add", link, "up", "type", "bridge")


MISTAKES = [
    Mistake("unknown", "nowhere", '"nowhere" not found', define("nowhere")),
    Mistake("no-json", "no-json", "spec.config is not JSON", define("no-json"), broken("no-json")),
    Mistake(
        "no-plugin",
        "no-plugin",
        "failed to find plugin homemade in /opt/cni/bin",
        install("homemade"),
        definition("no-plugin", type="homemade"),
    ),
    Mistake(
        "no-parent",
        "no-parent",
        "plugin macvlan (master absent0): Link not found",
        plug("absent0"),
        definition("no-parent", master="absent0"),
    ),
    Mistake(
        "no-address",
        "full",
        "no IP addresses available in range set",
        lambda cluster: cluster.kubectl("delete", "pod", "holder"),
        ranged("full", "10.73.0.5", "10.73.0.5"),
    ),
    Mistake(
        "twice",
        "fine@a0,fine@a0",
        "the pod already has an interface a0",
        annotate("twice", "fine@a0,fine@a1"),
    ),
    Mistake(
        "taken", "fine@eth0", "the pod already has an interface eth0", annotate("taken", "fine")
    ),
    Mistake(
        "long-name",
        "fine@an-interface-name",
        "interface name 'an-interface-name' is too long",
        annotate("long-name", "fine@a0"),
    ),
    Mistake(
        "no-list",
        '[{"name": "fine"',
        "annotation is not JSON",
        annotate("no-list", '[{"name": "fine"}]'),
    ),
]
NAMES = [mistake.pod for mistake in MISTAKES]


@pytest.fixture(scope="module")
def mistaken(deployed: Cluster) -> Iterator[dict[str, str]]:
    """What ``kubectl describe`` shows of each pod, once its sandbox was refused."""
    node = deployed.nodes[0]
    before = holdings.of(node)
    definitions = {one.definition["metadata"]["name"]: one.definition for one in MISTAKES}
    deployed.kubectl.apply(*definitions.values())
    deployed.kubectl.apply(asking("holder", "full", node))
    wait_running(deployed.kubectl, ["holder"])
    deployed.kubectl.apply(*(asking(one.pod, one.asked, node) for one in MISTAKES))
    yield {name: described(deployed, name) for name in NAMES}
    deployed.kubectl("delete", "pod", "--ignore-not-found", "holder", *NAMES)
    deployed.kubectl("delete", "network-attachment-definition", "nowhere", *definitions)
    (place(deployed) / "homemade").unlink()
    node.run("ip", "link", "delete", "absent0")
    holdings.wait_for(node, before)


@pytest.fixture(scope="module")
def mended(deployed: Cluster, mistaken: dict[str, str]) -> Cluster:
    """The cluster after each cause is gone; nobody touches the pods otherwise."""
    for mistake in MISTAKES:
        mistake.mend(deployed)
    return deployed


@pytest.mark.parametrize("mistake", MISTAKES, ids=NAMES)
def test_one_readable_line_names_the_cause(mistaken: dict[str, str], mistake: Mistake) -> None:
    lines = re.findall(r"FailedCreatePodSandBox .*failed \(add\): (.*)", mistaken[mistake.pod])
    assert lines
    for line in lines:
        assert mistake.cause in line
        assert line.startswith(f"ADD, pod default/{mistake.pod}")
        assert len(line) <= LONGEST
        assert "mode" not in line, "a configuration is shown"


@pytest.mark.parametrize("mistake", MISTAKES, ids=NAMES)
def test_a_pod_starts_once_the_cause_is_gone(mended: Cluster, mistake: Mistake) -> None:
    wait_running(mended.kubectl, [mistake.pod])
    guest = Guest(mended, mistake.pod)
    links = [one["interface"] for one in guest.status()]
    assert guest.links() == ["lo", *links]
    assert len(links) == 2 + mistake.asked.count(",")


def asking(name: str, asked: str, node: Node) -> dict[str, Any]:
    return pod(name, node=node.name, annotations={ASKED: asked})


def described(cluster: Cluster, name: str) -> str:
    """Wait until the sandbox of a pod was refused; return what is shown of the pod."""

    def shown() -> str | None:
        said = cluster.kubectl("describe", "pod", name)
        return said if "FailedCreatePodSandBox" in said else None

    return until(shown, f"{name} to be refused")
