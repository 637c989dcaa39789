"""Random histories of a node with a daemon: whatever is killed or fails, the books balance.

What a history has asked for is in its failure's message, with the seed that makes it again.
"""

from __future__ import annotations

import json
import random
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters import locks
from multus_py.adapters.disk import Disk
from tests.nodes import Netns, network_namespace
from tests.processes import eventually
from tests.system.daemon import NODE, Daemon, daemon_on
from tests.system.ledger import Ledger
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kubeapi import KubeApi

STEPS = 50
SEEDS = range(10)
PLUGINS = {"eth0": "main", "net1": "one", "net2": "two"}
CONTAINERS = ("a", "b", "c")
MOODS = ("", "", "", "", "fail", "fail after")


@dataclass
class History:
    """A runtime, its containers, and what it knows of them."""

    runtime: Runtime
    ledger: Ledger
    daemon: Daemon
    api: KubeApi
    sandboxes: dict[str, Netns]
    random: random.Random
    running: set[str] = field(default_factory=set)
    """Containers whose ADD has succeeded and that nobody has asked to release."""
    gone: set[str] = field(default_factory=set)
    """Containers that the runtime was told to be released."""
    told: list[str] = field(default_factory=list)

    # -- what a runtime does

    def add(self) -> None:
        """Start a container, unless it runs; what was left of it is released before."""
        container = self._one()
        if container in self.running or not self._released(container):
            return
        if self._answered("ADD", container):
            self.running.add(container)

    def release(self) -> None:
        self._released(self._one())

    def check(self) -> None:
        container = self._one()
        answered = self._answered("CHECK", container)
        if container in self.running and self.daemon.running:
            assert answered

    def status(self) -> None:
        self._answered("STATUS", "")

    def collect(self) -> None:
        """Collect all containers but those that run."""
        listed = [{"containerID": name, "ifname": "eth0"} for name in sorted(self.running)]
        self._answered("GC", "", **{"cni.dev/valid-attachments": listed})

    def ask_twice(self) -> None:
        """Make two requests for one container at once."""
        container = self._one()
        commands = self.random.choice([("ADD", "DEL"), ("DEL", "DEL"), ("CHECK", "DEL")])
        if container in self.running and "ADD" in commands:
            return
        self.running.discard(container)
        for child in [self._begun(command, container) for command in commands]:
            self._ended(child)

    # -- what befalls a node

    def kill_daemon(self) -> None:
        if self.daemon.running:
            self.daemon.kill()

    def end_daemon(self) -> None:
        if self.daemon.running:
            self.daemon.stop()

    def start_daemon(self) -> None:
        if not self.daemon.running:
            self.daemon.start()

    def kill_in_the_midst(self) -> None:
        """Kill the daemon or the shim while a delegate is at work for them."""
        with self._in_the_midst() as child:
            if self.daemon.running and self.random.random() < 0.5:
                self.told.append("kill daemon")
                self.daemon.kill()
            else:
                self.told.append("kill shim")
                child.kill()
                child.wait()

    def end_in_the_midst(self) -> None:
        """Ask the daemon to end while it works, and start the next one as soon as it has."""
        if not self.daemon.running:
            return
        with self._in_the_midst():
            self.daemon.terminate()
        assert self.daemon.wait() == 0

    def change_moods(self) -> None:
        for kind in PLUGINS.values():
            for command in ("ADD", "DEL"):
                self.ledger.behave(kind, command, self.random.choice(MOODS))

    def lose_api_server(self) -> None:
        """Go on without the API server for a while."""
        if not self.daemon.running:
            return
        with self.api.away():
            for step in self.random.choices([type(self).add, type(self).release], k=2):
                self.told.append(f"without API server: {step.__name__}")
                step(self)

    # -- how it does it

    def _one(self) -> str:
        return self.random.choice(CONTAINERS)

    def _released(self, container: str) -> bool:
        self.running.discard(container)
        released = self._answered("DEL", container)
        if released:
            self.gone.add(container)
        return released

    def _answered(self, command: str, container: str, **changes: object) -> bool:
        return self._ended(self._begun(command, container, **changes))

    def _begun(self, command: str, container: str, **changes: object) -> subprocess.Popen[bytes]:
        self.told.append(f"{command} {container}".strip())
        self.gone.discard(container)
        netns = self.sandboxes[container].path if container else ""
        names = f"K8S_POD_NAMESPACE=default;K8S_POD_NAME={container}"
        child = self.runtime.start(
            command,
            container_id=container,
            environment={"CNI_NETNS": netns, "CNI_ARGS": names if container else ""},
        )
        assert child.stdin
        child.stdin.write(json.dumps(self.runtime.written(**changes)).encode())
        child.stdin.close()
        child.stdin = None
        return child

    def _ended(self, child: subprocess.Popen[bytes]) -> bool:
        stdout, stderr = child.communicate(timeout=120)
        assert b"Traceback" not in stdout + stderr, stderr
        if child.returncode:
            self.told.append(f"= {child.returncode} {json.loads(stdout or b'{}').get('msg')}")
        return child.returncode == 0

    @contextmanager
    def _in_the_midst(self) -> Iterator[subprocess.Popen[bytes]]:
        """Have a request whose delegate is at work in the body, and goes on after it."""
        container = self._one()
        idle = container not in self.running and self._released(container)
        command = "ADD" if idle else "DEL"
        self.running.discard(container)
        kind = self.random.choice(list(PLUGINS.values()))
        before = len(self.ledger.calls())
        self.ledger.behave(kind, command, "wait")
        child = self._begun(command, container)

        def at_work() -> bool:
            calls = self.ledger.calls()[before:]
            return any(f"{command} {kind} " in call for call in calls) or child.poll() is not None

        eventually(at_work)
        try:
            yield child
        finally:
            self.ledger.behave(kind, command)
            if self._ended_somehow(child) and command == "ADD":
                self.running.add(container)

    def _ended_somehow(self, child: subprocess.Popen[bytes]) -> bool:
        stdout, _ = child.communicate(timeout=120)
        self.told.append(f"= {child.returncode} {stdout[:300]!r}")
        return child.returncode == 0

    # -- what has to hold

    def assert_balanced(self) -> None:
        """Look at everything at a moment in which nobody is at work: repairs may be."""
        state = eventually(self._still)
        assert state
        entries, links, recorded = state
        assert entries <= recorded, "something is attached that nobody knows of"
        wanted = {
            f"{name}-{ifname}-{kind}" for name in self.running for ifname, kind in PLUGINS.items()
        }
        assert wanted <= entries, "a container that runs has lost something"
        assert links <= {name.rpartition("-")[0] for name in entries}, "links are in no books"

    def _still(self) -> tuple[set[str], set[str], set[str]] | None:
        before = self._state()
        return before if not self.ledger.at_work() and self._state() == before else None

    def _state(self) -> tuple[set[str], set[str], set[str]]:
        """Return what is in the books, which links there are, and what is on record."""
        links = {f"{name}-{link}" for name in CONTAINERS for link in links_in(self.sandboxes[name])}
        recorded = {
            f"{record.attachment.container_id}-{delegate.ifname}-{plugin['type']}"
            for record in Disk(str(self.runtime.cni_dir), lock=locks.held).records()
            for delegate in record.delegates
            for plugin in delegate.network.plugins
        }
        return set(self.ledger.entries()), links, recorded

    def end(self) -> None:
        """Release what the runtime still has; the rest is the daemon's, once a shim has come."""
        for kind in PLUGINS.values():
            for command in ("ADD", "DEL"):
                self.ledger.behave(kind, command)
        self.kill_daemon()
        self.daemon.start()
        for container in set(CONTAINERS) - self.gone:
            assert self._released(container)
        assert self._answered("STATUS", "")
        eventually(lambda: not self.ledger.entries() and not self.runtime.files())
        assert all(links_in(netns) == [] for netns in self.sandboxes.values())
        assert self.daemon.metric("multus_py_pending_releases") == 0


def links_in(netns: Netns) -> list[str]:
    rows = json.loads(netns.ip("-json", "link", "show"))
    return [row["ifname"] for row in rows if row["ifname"] != "lo" and "-" not in row["ifname"]]


CHANCES: dict[Callable[[History], None], int] = {
    History.add: 30,
    History.release: 12,
    History.check: 5,
    History.status: 2,
    History.collect: 5,
    History.ask_twice: 8,
    History.kill_daemon: 4,
    History.end_daemon: 2,
    History.start_daemon: 20,
    History.kill_in_the_midst: 10,
    History.end_in_the_midst: 3,
    History.change_moods: 8,
    History.lose_api_server: 2,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_books_balance(seed: int, tmp_path: Path, kubeapi: KubeApi) -> None:
    kubeconfig = kubeapi.kubeconfig(tmp_path)
    for name in ("one", "two"):
        config = json.dumps(network(name))
        kubeapi.add("NetworkAttachmentDefinition", name, spec={"config": config})
    for name in CONTAINERS:
        annotations = {"k8s.v1.cni.cncf.io/networks": "one,two"}
        spec = {"nodeName": NODE}
        kubeapi.add("Pod", name, uid=f"uid-{name}", annotations=annotations, spec=spec)
    runtime = Runtime(
        tmp_path,
        "",
        {
            "delegates": [network("main", "primary")],
            "kubeconfig": str(kubeconfig),
            "releaseAttempts": 2,
        },
    )
    ledger = Ledger(runtime.books)
    ledger.install(runtime.bin_dir, *PLUGINS.values())
    ledger.make_links()
    with ExitStack() as stack:
        sandboxes = {name: stack.enter_context(network_namespace()) for name in CONTAINERS}
        daemon = stack.enter_context(daemon_on(tmp_path, kubeconfig=kubeconfig))
        runtime.program = daemon.program(patience=0.2)
        history = History(runtime, ledger, daemon, kubeapi, sandboxes, random.Random(seed))
        live(history)


def live(history: History) -> None:
    steps = history.random.choices(list(CHANCES), list(CHANCES.values()), k=STEPS)
    try:
        for step in steps:
            history.told.append(f"-- {step.__name__}")
            step(history)
            history.assert_balanced()
        history.told.append("-- end")
        history.end()
    except Exception as error:
        left = [*history.ledger.entries(), *history.runtime.files()]
        error.add_note(
            "\n".join([*history.told[-60:], f"left: {left}", history.daemon.log()[-4000:]])
        )
        raise
