"""The addresses of a cluster, and the wire between its machines."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.machine import Machine

CONTROL = "10.88.0.1"
SERVICES = "10.96.0.0/16"
SERVICE = "10.96.0.1"
"""Of the API server. Nothing forwards to services here; this one leads to the machine itself."""
WIRE = "wire"


def address(number: int) -> str:
    """Return the address of a node; numbers begin with 1."""
    return f"10.88.0.{10 + number}"


def subnet(number: int) -> str:
    """Return what the pods of a node have their addresses from."""
    return f"10.244.{number}.0/24"


def lay(control: Machine, nodes: int) -> None:
    """Lay the wire, on the machine with the API server."""
    control.run("ip", "link", "add", WIRE, "type", "bridge")
    control.run("ip", "address", "add", f"{CONTROL}/24", "dev", WIRE)
    control.run("ip", "link", "set", WIRE, "up")
    control.run("ip", "address", "add", f"{SERVICE}/32", "dev", "lo")
    for number in range(1, nodes + 1):
        control.run("ip", "route", "add", subnet(number), "via", address(number))


def connect(control: Machine, node: Machine, number: int, nodes: int) -> None:
    """Connect a node to the wire; it reaches the pods of the others."""
    outside = ["nsenter", f"--net=/proc/{control.pid}/ns/net", "ip", "link"]
    ends = ["type", "veth", "peer", "name", "eth0", "netns", str(node.pid)]
    subprocess.run([*outside, "add", node.name, *ends], check=True)
    subprocess.run([*outside, "set", node.name, "master", WIRE, "up"], check=True)
    node.run("ip", "address", "add", f"{address(number)}/24", "dev", "eth0")
    node.run("ip", "link", "set", "eth0", "up")
    node.run("ip", "route", "add", "default", "via", CONTROL)
    for other in range(1, nodes + 1):
        if other != number:
            node.run("ip", "route", "add", subnet(other), "via", address(other))


def listens(machine: Machine, port: int) -> bool:
    """Tell whether a program takes connections on a machine."""
    return bool(machine.run("ss", "-Hltn", f"sport = :{port}"))
