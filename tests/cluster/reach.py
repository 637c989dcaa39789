"""What pods have and whom they reach, as ``kubectl`` shows it to users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster import storm
from tests.cluster.waiting import ClusterError

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Guest:
    """A pod that runs."""

    cluster: Cluster
    name: str
    namespace: str = "default"

    def exec(self, *command: str) -> str:
        """Run a command in the pod; return what it printed."""
        return self.cluster.kubectl(
            f"--namespace={self.namespace}", "exec", self.name, "--", *command
        )

    def status(self) -> list[dict[str, Any]]:
        """Return the network-status."""
        asking = (f"--namespace={self.namespace}", "get", "pod", self.name)
        return storm.status(self.cluster.kubectl_json(*asking))

    def address(self, link: str) -> str:
        """Return the first address of a link, after checking that the pod really has it."""
        told = next(one["ips"][0] for one in self.status() if one["interface"] == link)
        found = self.exec("ip", "address", "show", "dev", link)
        if f"inet {told}/" not in found:
            raise ClusterError(f"{self.name} has not {told} as network-status says:\n{found}")
        return str(told)

    def links(self) -> list[str]:
        """Return the names of the links, in order."""
        lines = self.exec("ip", "-o", "link").splitlines()
        return [line.split(": ")[1].partition("@")[0] for line in lines]

    def reaches(self, address: str, link: str) -> bool:
        """Tell whether an address answers through a link."""
        pinging = ("ping", "-c1", "-W5", "-I", link, address)
        return "1 packets received" in self.exec(*pinging)

    def fetch(self, address: str, port: int, path: str) -> str:
        """Return what a web server answers the pod with."""
        asking = f"printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | nc -w5 {address} {port}"
        return self.exec("sh", "-c", asking).partition("\n\n")[2]
