"""cnitool, the CNI project's own runtime, drives the plugin and the plugins below it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.runtime import PLUGIN, Answer, a_cluster, definition, manifest
from tests.system.test_real_plugins import REAL

if TYPE_CHECKING:
    from tests.nodes import Netns

CNITOOL = Path(__file__).parents[2] / ".cache" / "bin" / "cnitool"


class Cnitool:
    """A node with one network configuration list for cnitool."""

    def __init__(self, directory: Path, netns: Netns) -> None:
        self.directory = directory
        self.netns = netns
        self.launcher = directory / "bin" / "multus-py"
        self.launcher.parent.mkdir()
        self.launcher.write_text(f"#!/bin/sh\nexec {' '.join(PLUGIN)}\n")
        self.launcher.chmod(0o755)

    def write(self, version: str, *plugins: dict[str, Any], **config: Any) -> None:
        """Write the list: our plugin, with this configuration, and others after it."""
        ours = {
            "type": "multus-py",
            "cniDir": str(self.directory / "cni"),
            "binDir": REAL,
            **config,
        }
        written = {"cniVersion": version, "name": self.directory.name, "plugins": [ours, *plugins]}
        (self.directory / "10-net.conflist").write_text(json.dumps(written))

    def __call__(self, verb: str, **environment: str) -> Answer:
        done = subprocess.run(
            [CNITOOL, verb, self.directory.name, self.netns.path],
            env={
                **os.environ,
                "NETCONFPATH": str(self.directory),
                "CNI_PATH": f"{self.launcher.parent}:{REAL}",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def bridge(self, name: str, number: int, **more: Any) -> dict[str, Any]:
        ipam = {
            "type": "host-local",
            "subnet": f"10.7{number}.0.0/24",
            "dataDir": str(self.directory / "ipam"),
        }
        bridge = f"t{os.getpid() % 100000}-{number}"
        return {
            "cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": bridge, "ipam": ipam
        } | more  # fmt: skip

    def files(self) -> list[str]:
        return [str(path) for path in (self.directory / "cni").rglob("*") if path.is_file()]


@pytest.fixture
def cnitool(tmp_path: Path, netns: Netns) -> Cnitool:
    assert CNITOOL.exists(), "run these tests with `make test`, which builds cnitool"
    return Cnitool(tmp_path, netns)


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_add_check_and_del_without_any_kubernetes_arguments(cnitool: Cnitool, version: str) -> None:
    cnitool.write(version, delegates=[cnitool.bridge("a", 1), cnitool.bridge("b", 2)])

    added = cnitool("add")
    assert added.status == 0, added.stderr
    assert json.loads(added.stdout)["ips"][0]["address"] == "10.71.0.2/24"
    assert {"eth0", "net1"} <= set(links(cnitool.netns))
    checked = cnitool("check")
    assert checked.status == 0, checked.stderr + checked.stdout
    deleted = cnitool("del")
    assert deleted.status == 0, deleted.stderr

    assert links(cnitool.netns) == ["lo"]
    assert cnitool.files() == []


def test_a_plugin_after_ours_gets_our_result(cnitool: Cnitool) -> None:
    tuning = {"type": "tuning", "mtu": 1300}
    cnitool.write("1.0.0", tuning, delegates=[cnitool.bridge("a", 1)])

    added = cnitool("add")

    assert added.status == 0, added.stderr
    assert "mtu 1300" in cnitool.netns.ip("link", "show", "eth0")
    assert cnitool("del").status == 0
    assert links(cnitool.netns) == ["lo"]


def test_a_pod_named_in_the_arguments_gets_its_networks(cnitool: Cnitool) -> None:
    cluster = a_cluster(
        cnitool.directory,
        manifest("web", networks="extra"),
        definition("extra", cnitool.bridge("", 2)),
    )
    cnitool.write("1.0.0", delegates=[cnitool.bridge("a", 1)], **cluster)
    pod = {"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"}

    assert cnitool("add", **pod).status == 0
    assert {"eth0", "net1"} <= set(links(cnitool.netns))
    assert cnitool("del", **pod).status == 0
    assert links(cnitool.netns) == ["lo"]


def test_status_and_gc_are_answered(cnitool: Cnitool) -> None:
    cnitool.write("1.1.0", delegates=[cnitool.bridge("a", 1)])
    assert cnitool("add").status == 0

    status, collected = cnitool("status"), cnitool("gc")

    assert status.status == 0, status.stderr
    assert collected.status == 0, collected.stderr
    assert cnitool("del").status == 0
    assert links(cnitool.netns) == ["lo"]


def test_an_error_is_readable_in_cnitools_words_too(cnitool: Cnitool) -> None:
    cnitool.write("1.0.0", delegates=[cnitool.bridge("a", 1) | {"type": "not-installed"}])

    answer = cnitool("add")

    assert answer.status != 0
    assert "failed to find plugin not-installed" in answer.stdout + answer.stderr


def links(netns: Netns) -> list[str]:
    return [row["ifname"] for row in json.loads(netns.ip("-json", "link", "show"))]
