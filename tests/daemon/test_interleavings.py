"""Random histories of a node: the books balance, whoever fails, dies or forgets in between."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cni.errors import CniError
from multus_py.core import add, collect, release
from multus_py.wire import LostError
from tests.daemon.test_repairs import CONFIG, Bench
from tests.fakes import answering, failing

if TYPE_CHECKING:
    from pathlib import Path

    from multus_py.core.ports import PluginCall, PluginExit
    from multus_py.core.session import Session

STEPS = 100
PLUGINS = ("main", "one", "two")


@dataclass
class History:
    """A runtime, its containers and plugins with moods."""

    bench: Bench
    random: random.Random
    books: set[tuple[str, str]] = field(default_factory=set)
    """Container and interface of each network whose plugin holds something."""
    running: set[str] = field(default_factory=set)
    """Containers that their runtime uses."""
    leaving: set[str] = field(default_factory=set)
    """Containers that their runtime asks to be released, until it hears a success."""
    moods: dict[str, str] = field(default_factory=dict)
    adding: str = ""
    made: int = 0

    def plugin(self, call: PluginCall) -> PluginExit:
        """Keep the books as a plugin does: what fails may have done its work, or not."""
        environment = call.environment
        command, container = environment["CNI_COMMAND"], environment["CNI_CONTAINERID"]
        place = (container, environment["CNI_IFNAME"])
        mood = self.moods.get(call.plugin, "fine")
        if command == "ADD" and mood == "lost":
            raise LostError("before it has begun")
        if command == "ADD" and mood == "fine":
            self.books.add(place)
        if command == "DEL":
            assert container not in self.running - {self.adding}, f"{place} is in use"
            if mood == "fine" or (mood == "lost" and self.random.random() < 0.5):
                self.books.discard(place)
            if mood == "lost":
                raise LostError("in the midst of it")
        if mood == "failing":
            return failing("ADD", "DEL", "GC")(call)
        return answering()(call)

    # -- what a node goes through

    def start_pod(self) -> None:
        self.made += 1
        name = f"p{self.made}"
        self.bench.node.pod(name, uid=f"uid-{name}", networks="one,two")
        self.bench.pods.run(name, "one,two")
        self.bench.host.files.add(f"/run/netns/{name}")
        self.running.add(name)
        self.adding = name
        try:
            add.add(self.bench.asked("ADD", name))
        except (CniError, LostError):
            self._leave(name)
        finally:
            self.adding = ""

    def stop_pod(self) -> None:
        if self.running:
            self._leave(self._one_of(self.running))

    def ask_for_release(self) -> None:
        if not self.leaving:
            return
        name = self._one_of(self.leaving)
        in_process = self.random.random() < 0.2
        asked = self.bench.asked("DEL", name)
        with suppress(CniError, LostError):
            release.delete(replace(asked, keeps_pending=not in_process))
            self._forget(name)

    def forget_about_it(self) -> None:
        """Let a container be gone although its release has not succeeded."""
        if self.leaving:
            self._forget(self._one_of(self.leaving))

    def lose_sandbox(self) -> None:
        """Let the namespace of a running pod go without a word to anybody."""
        if len(self.running) > 1:
            name = self._one_of(self.running)
            self.running.remove(name)
            self.bench.host.files.discard(f"/run/netns/{name}")

    def collect(self) -> None:
        valid = sorted(self.running | self.leaving)
        with suppress(CniError, LostError):
            collect.collect(self._gc(valid))

    def repair(self) -> None:
        self.bench.there = self.random.random() < 0.8
        self.bench.pods.synced = self.random.random() < 0.8
        self.bench.turn(self.random.randint(1, 4))

    def restart(self) -> None:
        self.bench.restart()

    def change_moods(self) -> None:
        for plugin in PLUGINS:
            self.moods[plugin] = self.random.choice(["fine", "fine", "failing", "lost"])

    def _leave(self, name: str) -> None:
        self.running.discard(name)
        self.leaving.add(name)

    def _forget(self, name: str) -> None:
        self.leaving.remove(name)
        self.bench.host.files.discard(f"/run/netns/{name}")
        self.bench.pods.live.pop(name, None)

    def _one_of(self, names: set[str]) -> str:
        return self.random.choice(sorted(names))

    def _gc(self, valid: list[str]) -> Session:
        listed = [{"containerID": name, "ifname": "eth0"} for name in valid]
        keys: dict[str, Any] = {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}
        session = self.bench.node.session(
            "GC", container_id="", ifname="", netns="", args="", **CONFIG, **keys
        )
        return replace(session, host=self.bench.host, store=self.bench.disk, keeps_pending=True)

    # -- what has to hold

    def known(self) -> set[tuple[str, str]]:
        """Return container and interface of every network that is on the disk."""
        return {
            (record.attachment.container_id, delegate.ifname)
            for record in self.bench.disk.records()
            for delegate in record.delegates
        }

    def end(self) -> None:
        """Let everything work again, and the runtime forget what it has not released so far."""
        self.moods.clear()
        for name in sorted(self.leaving):
            self._forget(name)
        self.start_pod()  # there is somebody whose namespace shows that the view can be trusted
        self.bench.there = self.bench.pods.synced = True
        self.bench.now += 10_000
        self.bench.turn(20)


STEPS_OF_A_NODE = {
    History.start_pod: 5,
    History.stop_pod: 4,
    History.ask_for_release: 10,
    History.forget_about_it: 2,
    History.lose_sandbox: 1,
    History.collect: 1,
    History.repair: 4,
    History.restart: 1,
    History.change_moods: 5,
}


@pytest.mark.parametrize("seed", range(16))
def test_whatever_happens_the_books_balance(seed: int, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "multus")
    history = History(bench, random.Random(seed))
    bench.host.plugins.update(dict.fromkeys(PLUGINS, history.plugin))
    steps, weights = list(STEPS_OF_A_NODE), list(STEPS_OF_A_NODE.values())

    for step in history.random.choices(steps, weights, k=STEPS):
        step(history)
        assert history.books <= history.known(), f"forgotten after {step.__name__}"

    history.end()
    wanted = {(name, ifname) for name in history.running for ifname in ("eth0", "net1", "net2")}
    assert history.books == wanted
    assert history.known() == wanted
    assert {cached.container_id for cached in bench.disk.results()} == history.running
