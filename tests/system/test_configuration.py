"""The configuration under everything that happens to a directory: there is always one that works.

"At every instant" is: whenever nobody but the keeper has touched ours since it last looked.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.core.primary import SUFFIXES
from multus_py.models.config import OUR_TYPES
from multus_py.node.quarrel import Temper
from multus_py.node.task import State
from tests import nodes
from tests.node.kept import BRIDGE, CALICO, OF_MULTUS, Ground, network
from tests.processes import eventually
from tests.system.daemon import NODE, Daemon, daemon_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from multus_py.node.keeper import Keeper
    from tests.kubeapi import KubeApi

ROUNDS = 1000
CONTENTS = 500
READERS = 2
KINDS = ["good", "good", "ours", "nested", "broken"]
PATIENT = Temper(fights=10**6)


@dataclass
class Readers:
    """Container runtimes that look at a directory all the time; ``touched`` excuses what they see.

    It is odd while ours is disturbed by somebody else.
    """

    ground: Ground
    touched: int = 0
    looks: int = 0
    faults: list[str] = field(default_factory=list)
    ended: bool = False

    def run(self) -> None:
        while not self.ended:
            before = self.touched
            fault = self._fault()
            if before % 2 == 0 and before == self.touched:
                self.looks += 1
                self.faults += [fault] if fault else []

    def _fault(self) -> str:
        names: list[str] = []
        for _ in range(3):  # a file may get another name between list and read: the next look
            names = sorted(filter(_shown, os.listdir(self.ground.directory)))
            if not names:
                return "nothing is there"
            try:
                raw = (self.ground.directory / names[0]).read_bytes()
            except FileNotFoundError:
                continue
            return _wrong(names[0], raw)
        return f"{names} are gone before they are read"


def _shown(name: str) -> bool:
    return name.endswith(SUFFIXES)


def _wrong(name: str, raw: bytes) -> str:
    """Return why a runtime has no use for a file, nothing if it calls us with one network."""
    try:
        whole = json.loads(raw)
        plugin = whole["plugins"][0] if "plugins" in whole else whole
        (delegate,) = plugin["delegates"]
        good = plugin["type"] == "multus-py" and delegate["name"].startswith("net-")
    except (ValueError, LookupError, TypeError) as error:
        return f"{name} is {raw!r}: {error!r}"
    return "" if good else f"{name} is {raw!r}"


@contextmanager
def reading(ground: Ground) -> Iterator[Readers]:
    readers = Readers(ground)
    threads = [threading.Thread(target=readers.run) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield readers
    finally:
        readers.ended = True
        for thread in threads:
            thread.join()
    assert readers.faults == []
    assert readers.looks > ROUNDS


@dataclass
class Storm:
    """Random changes, one after the other; ``expected`` is the network that has to be embedded."""

    ground: Ground
    keeper: Keeper
    readers: Readers
    random: random.Random
    expected: str = ""
    name: str = "10-primary.conflist"
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def primary(self) -> Path:
        return self.ground.directory / self.name

    def good(self) -> bytes:
        """Return another valid primary network, of any version, single or chained."""
        self.expected = f"net-{next(self.numbers)}"
        version = self.random.choice(["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
        return json.dumps({**CALICO, "name": self.expected, "cniVersion": version}).encode()

    def step(self) -> None:
        """Let the keeper look until all has settled."""
        self.ground.pass_time(self.keeper, 3)

    # -- what happens to the primary network's file

    def replace_primary(self) -> None:
        self.ground.write(self.name, self.good())

    def write_primary_slowly(self) -> None:
        before = self.expected
        content = self.good()
        with self.primary.open("wb", buffering=0) as file:
            for part in (content[:40], content[40:-1]):
                file.write(part)
                self.step()
                assert self.ground.embedded == before
            file.write(content[-1:])

    def truncate_primary(self) -> None:
        if self.primary.exists():
            os.truncate(self.primary, self.random.randrange(self.primary.stat().st_size or 1))

    def rename_primary(self) -> None:
        if self.primary.exists():
            after = f"{self.random.randrange(10, 90)}-primary.conflist"
            self.primary.rename(self.ground.directory / after)
            self.name = after

    def delete_primary(self) -> None:
        self.primary.unlink(missing_ok=True)

    def write_nonsense(self) -> None:
        self.ground.write(self.name, self.random.randbytes(self.random.randrange(50)))

    def make_it_call_us(self) -> None:
        self.ground.write(self.name, OF_MULTUS)

    # -- what happens to ours

    def truncate_ours(self) -> None:
        with self.disturbing():
            path = self.ground.first
            os.truncate(path, self.random.randrange(path.stat().st_size))

    def replace_ours(self) -> None:
        content = self.random.choice([b"", b"{}", network("net-x"), OF_MULTUS])
        with self.disturbing():
            self.ground.write(self.ground.first.name, content)

    def rename_ours(self) -> None:
        with self.disturbing():
            path = self.ground.first
            suffix = self.random.choice([".cilium_bak", ".conf", ""])
            path.rename(path.with_name(f"95-{path.name}{suffix}"))

    def delete_ours(self) -> None:
        with self.disturbing():
            self.ground.first.unlink()

    def come_before_ours(self) -> None:
        path = self.ground.directory / f"0{self.random.randrange(2)}-early.conf"
        with self.disturbing():  # from now on, until the keeper has seen it
            path.write_bytes(b"") if self.random.random() < 0.5 else path.unlink(missing_ok=True)

    @contextmanager
    def disturbing(self) -> Iterator[None]:
        self.readers.touched += 1
        yield
        self.keeper.step()
        self.readers.touched += 1

    @property
    def changes(self) -> list[Callable[[], None]]:
        return [
            self.replace_primary,
            self.replace_primary,
            self.write_primary_slowly,
            self.truncate_primary,
            self.rename_primary,
            self.delete_primary,
            self.write_nonsense,
            self.make_it_call_us,
            self.truncate_ours,
            self.replace_ours,
            self.rename_ours,
            self.delete_ours,
            self.come_before_ours,
        ]


@pytest.fixture
def memory(tmp_path: Path, node: None) -> Iterator[Path]:
    """A directory on a file system where nothing waits for a disk."""
    with nodes.mounted(tmp_path / "memory", "size=64m") as directory:
        yield directory


def test_through_a_thousand_changes_there_is_always_one_that_works(memory: Path) -> None:
    ground = Ground(memory / "net.d")
    ground.write("10-primary.conflist", {**CALICO, "name": "net-first"})
    keeper = ground.keeper(temper=PATIENT)
    keeper.step()
    with reading(ground) as readers:
        storm = Storm(ground, keeper, readers, random.Random(5), expected="net-first")
        for number in range(ROUNDS):
            change = storm.random.choice(storm.changes)
            change()
            storm.step()
            assert ground.embedded == storm.expected, (number, change.__name__)
            assert keeper.state in {State.KEPT, State.HELD}, (number, keeper.trouble)
        storm.replace_primary()
        keeper.step()
        assert (keeper.state, ground.embedded) == (State.KEPT, storm.expected)
    assert {reason.split()[1] for reason in ground.books.written} == {
        "first",
        "changed",
        "restored",
    }


# -- anything in the directory


@dataclass
class Contents:
    """Files of a directory as chance has it, and which of them are primary networks."""

    random: random.Random
    files: dict[str, object] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for _ in range(self.random.randrange(12)):
            suffix = self.random.choice([*SUFFIXES, ".conf.bak", ".yaml", ""])
            stem = self.random.choice(["00-multus", "00-a", "05-x", "10-Z", "10-z", "99", "zz"])
            self.add(stem, suffix)

    def add(self, stem: str, suffix: str) -> None:
        name, kind = stem + suffix, self.random.choice(KINDS)
        chained = suffix == ".conflist"
        plugin: dict[str, Any] = {"type": self.random.choice(["bridge", "calico"])}
        if kind == "ours":
            plugin["type"] = self.random.choice(sorted(OUR_TYPES))
        elif kind == "nested":
            inner = {"name": "n", "type": self.random.choice(sorted(OUR_TYPES))}
            deep = [inner, {"plugins": [{"type": "x"}, inner]}, [[inner]], {"Type": inner["type"]}]
            plugin[self.random.choice(["delegate", "ipam", "x"])] = self.random.choice(deep)
        plugins = [plugin, {"type": "portmap"}]
        self.random.shuffle(plugins)
        head = {"cniVersion": self.random.choice(["0.3.1", "1.0.0"]), "name": f"net-{name}"}
        content = {**head, "plugins": plugins} if chained else {**head, **plugin}
        broken = json.dumps(content).encode()[: self.random.randrange(20)]
        self.files[name] = broken if kind == "broken" else content
        self.good.discard(name)
        if kind == "good" and _shown(name):
            self.good.add(name)

    @property
    def expected(self) -> str | None:
        first = min(self.good, key=os.fsencode, default=None)
        return first and f"net-{first}"


def test_of_any_contents_the_right_one_is_embedded_and_never_ourselves(memory: Path) -> None:
    chance = random.Random(500)
    chosen = 0
    for number in range(CONTENTS):
        ground = Ground(memory / str(number))
        contents = Contents(chance)
        keeper = ground.keeper()
        for name, content in contents.files.items():
            ground.write(name, content)
        ground.pass_time(keeper, 3)
        if contents.expected is None:
            assert keeper.state is State.WAITING, (number, contents)
            continue
        chosen += 1
        assert (keeper.state, ground.embedded) == (State.KEPT, contents.expected), contents
        assert not _calls_us(ground.plugin["delegates"]), (number, contents)
        for name in contents.good:
            assert (ground.directory / name).exists(), (number, contents)
    assert chosen > CONTENTS / 2


def _calls_us(value: object) -> bool:
    text = json.dumps(value).lower()
    return any(f'"type": "{kind}"' in text for kind in OUR_TYPES)


# -- real daemons


@contextmanager
def kept(ground: Ground, **settings: Any) -> Iterator[Daemon]:
    ground.directory.mkdir(exist_ok=True)
    keys = {"multusConfigFile": "auto", "cniConfigDir": str(ground.directory)}
    with daemon_on(ground.directory.parent, **(keys | settings)) as daemon:
        yield daemon


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    made = Ground(tmp_path / "net.d")
    made.write("10-net.conflist", {**CALICO, "name": "net-0"})
    return made


def embeds(ground: Ground, name: str) -> bool:
    return not _wrong(ground.first.name, ground.first.read_bytes()) and ground.embedded == name


@pytest.mark.usefixtures("node")
def test_a_daemon_keeps_it_and_it_outlives_the_daemon(ground: Ground) -> None:
    with kept(ground, cniVersion="0.4.0", binDir="/opt/x", logLevel="debug") as daemon:
        eventually(lambda: embeds(ground, "net-0"))
        assert ground.first.name == "00-multus.conf"
        assert (ground.plugin["cniVersion"], ground.plugin["binDir"]) == ("0.4.0", "/opt/x")
        assert ground.plugin["logLevel"] == "debug"
        eventually(lambda: daemon.metric("multus_py_configuration", state="kept") == 1)
        daemon.kill()
        assert embeds(ground, "net-0")
        ground.write("10-net.conflist", {**CALICO, "name": "net-1"})
        daemon.start()
        eventually(lambda: embeds(ground, "net-1"))
        daemon.stop()
        assert embeds(ground, "net-1")


@pytest.mark.usefixtures("node")
def test_a_daemon_follows_and_restores(ground: Ground) -> None:
    with kept(ground) as daemon:
        eventually(lambda: embeds(ground, "net-0"))
        for number in range(1, 5):
            ground.write("10-net.conflist", {**CALICO, "name": f"net-{number}"})
            eventually(lambda number=number: embeds(ground, f"net-{number}"))  # type: ignore[misc]  # of a lambda
        ground.first.rename(ground.directory / "00-multus.conf.cilium_bak")
        eventually(lambda: embeds(ground, "net-4"))
        (ground.directory / "10-net.conflist").unlink()
        ground.write("20-net.conf", {**BRIDGE, "name": "net-5"})
        eventually(lambda: embeds(ground, "net-5"))
        assert daemon.metric("multus_py_configuration_writes_total", reason="restored") == 1
        (daemon.sockets / "leaving").touch()
        ground.first.unlink()
        eventually(lambda: daemon.metric("multus_py_configuration", state="left") == 1)
        assert ground.first.name == "20-net.conf"


@pytest.mark.usefixtures("node")
def test_a_daemon_without_a_task_writes_nothing(ground: Ground) -> None:
    with kept(ground, multusConfigFile="") as daemon:
        daemon.stop()
    assert ground.names == ["10-net.conflist"]


@pytest.mark.usefixtures("node")
def test_who_fights_is_named_on_the_node(ground: Ground, kubeapi: KubeApi) -> None:
    kubeconfig = kubeapi.kubeconfig(ground.directory.parent)
    with kept(ground, kubeconfig=kubeconfig) as daemon:
        for _ in range(3):
            eventually(lambda: embeds(ground, "net-0"))
            ground.first.rename(ground.directory / "00-multus.conf.cilium_bak")
        name = {"file": "00-multus.conf.cilium_bak"}
        eventually(lambda: daemon.metric("multus_py_configuration_contested", **name) == 1)
        assert daemon.metric("multus_py_configuration", state="contested") == 1
        event = eventually(kubeapi.events)[0]
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": NODE,
        "uid": NODE,
    }
    assert event["metadata"]["namespace"] == "default"
    assert event["reason"] == "ConfigurationContested"
    assert "there is 00-multus.conf.cilium_bak instead" in event["message"]
