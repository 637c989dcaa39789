"""A directory of configurations that a keeper keeps, and what a container runtime finds in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multus_py.core.nodeconfig import Wanted
from multus_py.core.primary import SUFFIXES
from multus_py.node.keeper import Keeper
from multus_py.node.quarrel import Temper
from multus_py.node.task import State, Task
from tests.core.test_primary import BRIDGE, CALICO

__all__ = ["BRIDGE", "CALICO", "Books", "Ground", "network"]

OF_MULTUS = {
    "cniVersion": "0.3.1",
    "name": "multus-cni-network",
    "type": "multus-shim",
    "clusterNetwork": "/host/etc/cni/net.d/10-calico.conflist",
}


def network(name: str, **keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "type": "bridge", **keys}


@dataclass
class Books:
    """A witness that writes everything down."""

    written: list[str] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    rivals: list[str] = field(default_factory=list)

    def wrote(self, path: str, reason: str) -> None:
        self.written.append(f"{Path(path).name} {reason}")

    def entered(self, state: State) -> None:
        self.states.append(state)

    def contested(self, path: str, by: str) -> None:
        self.rivals.append(by)


@dataclass
class Ground:
    """``directory`` is the runtime's; the clock is in a test's hands."""

    directory: Path
    books: Books = field(default_factory=Books)
    now: float = 1000.0

    def keeper(self, **task: Any) -> Keeper:
        """Return a keeper with this task, which nobody has started."""
        self.directory.mkdir(exist_ok=True)
        wanted, temper = Wanted(**task.pop("wanted", {})), task.pop("temper", Temper())
        place = {"directory": str(self.directory), "primaries": str(self.directory)}
        return Keeper(
            Task(**(place | {"bin_dir": "/nowhere"} | task), wanted=wanted),
            witness=self.books,
            temper=temper,
            clock=lambda: self.now,
        )

    def write(self, name: str, content: object) -> Path:
        """Write a file whole, as those do who know how."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        new = path.with_name(".written")
        new.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        new.replace(path)
        return path

    @property
    def names(self) -> list[str]:
        """What is there, without what is hidden."""
        return sorted(p.name for p in self.directory.iterdir() if p.name[0] != ".")

    @property
    def first(self) -> Path:
        """What a runtime takes."""
        shown = [p for p in self.directory.iterdir() if p.suffix in SUFFIXES and p.is_file()]
        return min(shown, key=lambda path: os.fsencode(path.name))

    @property
    def plugin(self) -> Any:
        """What the runtime takes, as one object."""
        whole = json.loads(self.first.read_bytes())
        return whole | (whole["plugins"][0] if "plugins" in whole else {})

    @property
    def embedded(self) -> str:
        """The primary network's name in what the runtime takes."""
        assert self.plugin["type"] == "multus-py", self.first
        name: str = self.plugin["delegates"][0]["name"]
        return name

    def pass_time(self, keeper: Keeper, seconds: float) -> None:
        """Let the keeper look for so many seconds, as often as it wants to."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + keeper.step(), end)
        keeper.step()
