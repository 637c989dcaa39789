"""kill -9 of the daemon, of the shim and of both, at every frame: then nothing is left.

Killed is whoever at the moment when a frame has been sent and has not arrived.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from multus_py import wire
from tests.processes import eventually
from tests.system.crossing import Crossing
from tests.system.daemon import NODE, Daemon, daemon_on
from tests.system.ledger import Ledger
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

PLUGINS = {"eth0": "main", "net1": "one"}


@dataclass
class Node:
    """A node with a pod, whose shims reach the daemon over a crossing."""

    runtime: Runtime
    netns: Netns
    ledger: Ledger
    daemon: Daemon
    crossing: Path
    frames: list[int] = field(default_factory=list)
    """The kinds of those that have passed with the last request."""
    victims: str = ""
    """Who is killed: daemon, shim or both; nobody if it is empty."""
    at: int = 0
    """The number of the frame that does not arrive."""
    shim: subprocess.Popen[bytes] | None = None

    def before(self, number: int, kind: int) -> bool:
        """Kill, if it is time for that; see :class:`Crossing`."""
        self.frames.append(kind)
        if number != self.at or not self.victims:
            return True
        if self.victims != "shim":
            self.daemon.kill()
        if self.victims != "daemon":
            assert self.shim
            self.shim.kill()
        return False

    def killed(self, command: str, victims: str, at: int) -> bool:
        """Make a request with a death in the midst; tell whether it came that far."""
        self.victims, self.at = victims, at
        self.request(command)
        return len(self.frames) >= at

    def request(self, command: str) -> int:
        """Make a request over a crossing; return the shim's exit code."""
        self.frames.clear()
        with Crossing(self.crossing, self.daemon.socket, self.before):
            self.shim = self.runtime.start(command)
            config = json.dumps(self.runtime.written()).encode()
            self.shim.communicate(config, timeout=120)
        return self.shim.returncode

    def released(self) -> None:
        """Let the runtime release the container, through the daemon, and look at what is left."""
        self.victims = ""
        if not self.daemon.running:
            self.daemon.start()
        assert self.request("DEL") == 0, self.daemon.log()[-2000:]
        assert wire.ANSWER in self.frames
        assert self.nothing_left()

    def nothing_left(self) -> bool:
        links = [row["ifname"] for row in json.loads(self.netns.ip("-json", "link", "show"))]
        return (self.runtime.state(), links) == (([], {}), ["lo"])


@pytest.fixture
def node(tmp_path: Path, netns: Netns, kubeapi: KubeApi) -> Iterator[Node]:
    """Return a node with a pod on two networks."""
    annotations = {"k8s.v1.cni.cncf.io/networks": "one"}
    kubeapi.add("Pod", "web", uid="u", annotations=annotations, spec={"nodeName": NODE})
    config = json.dumps(network("one"))
    kubeapi.add("NetworkAttachmentDefinition", "one", spec={"config": config})
    runtime = Runtime(tmp_path, netns.path, {"delegates": [network("main", "primary")]})
    ledger = Ledger(runtime.books)
    ledger.install(runtime.bin_dir, *PLUGINS.values())
    ledger.make_links()
    with daemon_on(tmp_path, kubeconfig=kubeapi.kubeconfig(tmp_path), carrierIdle=0) as daemon:
        crossing = daemon.sockets / "crossing.sock"
        runtime.program = daemon.program(at=crossing, patience=0.3)
        yield Node(runtime, netns, ledger, daemon, crossing)


@pytest.mark.parametrize("victims", ["daemon", "shim", "both"])
def test_an_add_that_is_killed_at_any_frame_is_undone_by_del(node: Node, victims: str) -> None:
    assert node.request("ADD") == 0
    assert node.ledger.entries() == ["ctr-eth0-main", "ctr-net1-one"]
    total = len(node.frames)
    assert node.frames.count(wire.RUN) == 2
    node.released()

    for at in range(1, total + 1):
        assert node.killed("ADD", victims, at), f"frame {at} of {total}"
        node.released()


@pytest.mark.parametrize("victims", ["daemon", "shim", "both"])
def test_a_del_that_is_killed_at_any_frame_is_finished_by_the_next(
    node: Node, victims: str
) -> None:
    assert node.request("ADD") == 0
    assert node.request("DEL") == 0
    total = len(node.frames)

    for at in range(1, total + 1):
        assert node.request("ADD") == 0
        assert node.killed("DEL", victims, at), f"frame {at} of {total}"
        node.released()


@pytest.mark.parametrize("victims", ["daemon", "shim", "both"])
def test_a_delegate_at_work_does_not_attach_behind_dels_back(node: Node, victims: str) -> None:
    """It waits before it would enter its attachment, and is not let on before DEL has ended."""
    node.runtime.program = node.daemon.program()
    node.ledger.behave("one", "ADD", "wait")
    shim = node.runtime.start("ADD")
    assert shim.stdin
    shim.stdin.write(json.dumps(node.runtime.written()).encode())
    shim.stdin.close()
    shim.stdin = None
    eventually(lambda: "ADD one ctr net1" in node.ledger.calls())

    if victims != "shim":
        node.daemon.kill()
    if victims != "daemon":
        shim.kill()
    shim.communicate(timeout=60)
    if not node.daemon.running:
        node.daemon.start()

    assert node.runtime.request("DEL").status == 0
    node.ledger.behave("one", "ADD")
    eventually(lambda: not node.ledger.at_work())
    assert node.nothing_left()
