"""A node that is being left: what is attached is released, and then nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.models import standby
from multus_py.models.standby import Standby
from tests import snapshots
from tests.node import standin
from tests.nodes import mounted
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.node.bundle import Bundle
    from tests.node.standin import Host
    from tests.nodes import Netns

PLUGIN = """#!/bin/sh
echo "$CNI_COMMAND $CNI_IFNAME" >>"$0.calls"
[ ! -e "$0.broken" ] || exit 1
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "1.0.0"}'
"""


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return standin.whole(tmp_path_factory.mktemp("bundles") / "1", "1")


@dataclass(frozen=True)
class Node:
    """A node with a network plugin beside it, and a pod's namespace."""

    host: Host
    plugins: Path
    netns: str

    def request(self, command: str, container_id: str = "ctr") -> tuple[int, Any]:
        """Have the runtime make a request; return exit code and answer."""
        network = {"cniVersion": "1.0.0", "type": "net"}
        config = {
            "cniVersion": "1.1.0",
            "name": "multus-cni-network",
            "type": "multus-py",
            "cniDir": self.host.places.cni_dir,
            "delegates": [{**network, "name": "one"}, {**network, "name": "two"}],
            "cni.dev/valid-attachments": [],
        }
        done = subprocess.run(
            [self.host.plugin()],
            input=json.dumps(config).encode(),
            env={
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": container_id,
                "CNI_NETNS": self.netns,
                "CNI_IFNAME": "eth0",
                "CNI_PATH": str(self.plugins),
                "PATH": os.environ["PATH"],
            },
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, json.loads(done.stdout or "null")

    def calls(self) -> list[str]:
        """Return what the network plugin was called for since this was asked."""
        path = self.plugins / "net.calls"
        lines = path.read_text().splitlines()
        path.unlink()
        return lines

    def uninstall(self, *arguments: str) -> str:
        """Run what is installed as people do; return what it prints."""
        command = [str(self.host.plugin()), "uninstall", "--lib-dir", self.host.lib_dir]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture
def site(tmp_path: Path, netns: Netns) -> Iterator[Node]:
    """A node whose disk is memory, for a plugin that asks no cluster."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "net").write_text(PLUGIN)
    (plugins / "net").chmod(0o755)
    with mounted(tmp_path / "memory", "size=64m") as directory:
        host = standin.Host(directory / "node")
        host.configure("10-primary.conf", type="net")
        yield Node(host, plugins, netns.path)


def alone(host: Host) -> None:
    """Leave what a daemon without a cluster leaves for plugins."""
    sockets = Path(host.places.socket_dir)
    sockets.mkdir(parents=True)
    (sockets / standby.FILE).write_bytes(standby.encode(Standby(kubernetes=False)))


def test_after_plain_use_nothing_is_different(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    before = snapshots.taken(host.directory)
    host.install(carried)
    alone(host)
    assert node.request("ADD") == (0, {"cniVersion": "1.0.0"})
    assert node.request("DEL") == (0, None)
    assert "remove the manifest" in node.uninstall()
    assert snapshots.taken(host.directory) == before


def test_what_is_attached_is_released_and_then_all_is_gone(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    before = snapshots.taken(host.directory)
    host.install(carried)
    alone(host)
    host.configure("00-multus.conf", **standin.generated())
    for container_id in ("first", "second"):
        assert node.request("ADD", container_id)[0] == 0
    assert node.calls() == ["ADD eth0", "ADD net1"] * 2

    told = node.uninstall()
    assert "still attached: container first: one (eth0), two (net1)" in told
    assert sorted(os.listdir(host.places.conf_dir)) == ["00-multus.conf", "10-primary.conf"]
    assert "supportedVersions" in json.loads(standin.run(host.plugin()))

    assert node.request("DEL", "first") == (0, None)
    assert node.calls() == ["DEL net1", "DEL eth0"]
    assert host.plugin().exists()
    assert node.request("DEL", "second") == (0, None)
    assert node.calls() == ["DEL net1", "DEL eth0"]
    assert snapshots.taken(host.directory) == before


def test_a_release_that_fails_keeps_it(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    host.install(carried)
    alone(host)
    node.request("ADD")
    node.uninstall()
    broken = node.plugins / "net.broken"
    broken.touch()
    status, answer = node.request("DEL")
    assert (status, answer["code"] > 0) == (1, True)
    assert host.plugin().exists()
    broken.unlink()
    assert node.request("DEL") == (0, None)
    assert not host.plugin().exists()


def test_it_goes_with_a_collection_too(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    host.install(carried)
    alone(host)
    node.request("ADD")
    node.uninstall()
    assert node.request("GC")[0] == 0
    assert not os.path.exists(host.lib_dir)


def test_an_answer_that_was_given_stands(site: Node, carried: Bundle) -> None:
    """What cannot be removed yet is the next request's, or people's, business."""
    node, host = site, site.host
    host.install(carried)
    alone(host)
    node.request("ADD")
    node.uninstall()
    manifest = Path(host.lib_dir, "manifest.json")
    whole = manifest.read_text()
    manifest.write_text("{")
    assert node.request("DEL") == (0, None)
    manifest.write_text(whole)
    assert node.request("DEL") == (0, None)
    assert not os.path.exists(host.lib_dir)


def test_the_last_releases_may_come_at_once(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    before = snapshots.taken(host.directory)
    host.install(carried)
    alone(host)
    names = [f"ctr{number}" for number in range(4)]
    for name in names:
        node.request("ADD", name)
    node.uninstall()
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: node.request("DEL", name), names))
    assert answers == [(0, None)] * len(names)
    assert snapshots.taken(host.directory) == before


def test_it_can_be_waited_for(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    host.install(carried)
    alone(host)
    node.request("ADD")
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(node.uninstall, "--wait")
        eventually(lambda: "leaving" in host.plugin().read_text())
        assert node.request("DEL") == (0, None)
        assert "still attached: container ctr" in told.result(PATIENCE)
    assert not os.path.exists(host.lib_dir)


def test_people_are_told_what_is_abandoned(site: Node, carried: Bundle) -> None:
    node, host = site, site.host
    before = snapshots.taken(host.directory)
    host.install(carried)
    alone(host)
    node.request("ADD")
    assert "would remove the manifest" in node.uninstall("--now", "--dry-run")
    assert "abandoned: container ctr: one (eth0), two (net1)" in node.uninstall("--now")
    assert snapshots.taken(host.directory) == before
