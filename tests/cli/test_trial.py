"""``multus-py try`` with every example, on real plugins."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import nodes
from tests.processes import eventually
from tests.system import books
from tests.system.runtime import PLUGIN
from tests.system.test_real_plugins import REAL

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file())

STAND_IN = f"""#!{sys.executable} -IS
# Plugins of the first generation that no distribution has, made of plugins that it has.
import json, os, sys
config = json.load(sys.stdin)
kept = {{"cniVersion": config["cniVersion"], "name": config["name"]}}
kept |= {{key: config[key] for key in config if key == "prevResult"}}
if os.path.basename(sys.argv[0]) == "sriov":
    kept |= {{"type": "macvlan", "master": config["if0"], "ipam": config.get("ipam", {{}})}}
else:
    ipam = {{"type": "host-local", "subnet": "10.245.0.0/24"}}
    kept |= {{"type": "bridge", "bridge": "flannel0", "isDefaultGateway": True, "ipam": ipam}}
reader, writer = os.pipe()
os.write(writer, json.dumps(kept).encode())
os.close(writer)
os.dup2(reader, 0)
os.execv("{REAL}/" + kept["type"], [kept["type"]])
"""


@dataclass(frozen=True)
class Tried:
    status: int
    stdout: str
    stderr: str


def tried(*arguments: str, path: str = REAL) -> Tried:
    done = subprocess.run(
        [*PLUGIN, "try", *arguments],
        env={**os.environ, "CNI_PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Tried(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def legacy(tmp_path: Path) -> str:
    """Return a path of plugins that has those of the first generation as well."""
    for name in ("flannel", "sriov", "weave-net"):
        plugin = tmp_path / name
        plugin.write_text(STAND_IN)
        plugin.chmod(0o755)
    return f"{tmp_path}:{REAL}"


@pytest.mark.parametrize("name", FILES)
def test_every_example_works_and_leaves_nothing(node: None, legacy: str, name: str) -> None:
    before = nodes.run("ip", "-o", "link")

    answer = tried(str(EXAMPLES / name), path=legacy)

    if "whereabouts" in name and not shutil.which("whereabouts", path=legacy):
        assert answer.status == 1
        assert "plugin whereabouts is missing" in answer.stderr
    else:
        assert (answer.status, answer.stderr) == (0, ""), answer
        assert "Nothing is left" in answer.stdout or "nothing to attach" in answer.stdout
    assert nodes.run("ip", "-o", "link") == before


def test_the_demo_shows_all_networks_of_both_pods_and_pings_between_them(node: None) -> None:
    answer = tried(str(EXAMPLES / "demo.yaml"))

    assert answer.status == 0, answer.stderr
    for words in (
        "Stand-ins for parent interfaces: eth1",
        "default/storage  net1",
        "default/backup   net2",
        '"name": "default/storage"',
        "over net1: it answers",
        "over net2: it answers",
        "CHECK: every network is in place (2 pod(s))",
        "DEL: every network is released (2 pod(s))",
        "Nothing is left",
    ):
        assert words in answer.stdout


def test_a_pod_of_the_first_generation_has_the_interfaces_of_its_documentation(
    node: None, legacy: str
) -> None:
    answer = tried(str(EXAMPLES / "legacy" / "pod.yaml"), path=legacy)

    assert answer.status == 0, answer
    assert re.search(r"default/flannel-conf +eth0 ", answer.stdout)
    assert re.search(r"default/sriov-conf +net0 +10\.56\.217\.171 ", answer.stdout)
    assert re.search(r"default/sriov-vlanid-l2enable-conf +north ", answer.stdout)


def test_the_default_route_of_the_example_is_the_networks_own(node: None) -> None:
    answer = tried(str(EXAMPLES / "default-route.yaml"))

    assert answer.status == 0, answer.stderr


def test_definitions_alone_are_tried_with_a_pod_made_for_them(node: None, tmp_path: Path) -> None:
    definitions, _, _ = (EXAMPLES / "demo.yaml").read_text().partition("kind: Pod")
    manifest = tmp_path / "networks.yaml"
    manifest.write_text(definitions.rpartition("---")[0])

    answer = tried(str(manifest))

    assert answer.status == 0, answer.stderr
    assert "default/made-up" in answer.stdout
    assert "net2" in answer.stdout


def test_pods_and_networks_may_come_from_different_files(node: None, tmp_path: Path) -> None:
    networks, _, pods = (EXAMPLES / "named-interface.yaml").read_text().partition("---")
    (tmp_path / "pod.yaml").write_text(pods)
    (tmp_path / "networks.yaml").write_text(networks)

    alone = tried(str(tmp_path / "pod.yaml"))
    together = tried(str(tmp_path / "pod.yaml"), "-f", str(tmp_path / "networks.yaml"))

    assert alone.status == 1
    assert "cannot find a network-attachment-definition (macvlan-conf)" in alone.stderr
    assert together.status == 0, together.stderr
    assert "eth1" in together.stdout


def test_a_missing_plugin_is_named_before_it_is_missed(node: None, tmp_path: Path) -> None:
    answer = tried(str(EXAMPLES / "demo.yaml"), path=str(tmp_path))

    assert answer.status == 1
    for plugin in ("bridge", "host-local", "macvlan"):
        assert f"plugin {plugin} is missing in {tmp_path}" in answer.stderr


@pytest.mark.parametrize("content", ["a: [", "- just\n- a list\n", "kind: 7\n"])
def test_a_broken_manifest_is_named(node: None, tmp_path: Path, content: str) -> None:
    manifest = tmp_path / "broken.yaml"
    manifest.write_text(content)

    answer = tried(str(manifest))

    assert answer.status == 1
    assert "broken.yaml" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_file_that_does_not_exist_is_a_usage_error() -> None:
    answer = tried("/nowhere.yaml")

    assert answer.status == 2
    assert "/nowhere.yaml" in answer.stderr


def test_an_interrupt_ends_everything_at_once(node: None, tmp_path: Path) -> None:
    """As from a terminal: the signal goes to the whole process group."""
    books.install(str(tmp_path / "bin"), str(tmp_path / "books"), "bridge")
    (tmp_path / "bin" / "bridge").write_text(
        f"#!/bin/sh\ntouch {tmp_path}/started 2>/dev/null\necho started >&2\nsleep 600\n"
    )
    before = nodes.run("ip", "-o", "link"), sorted(os.listdir("/run"))
    child = subprocess.Popen(
        [*PLUGIN, "try", str(EXAMPLES / "demo.yaml")],
        env={**os.environ, "CNI_PATH": f"{tmp_path}/bin:{REAL}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert child.stderr is not None
    assert child.stderr.readline() == "started\n"

    os.killpg(child.pid, signal.SIGINT)
    child.wait(timeout=60)
    child.stderr.close()

    assert child.returncode != 0
    eventually(lambda: not of_session(child.pid))
    assert (nodes.run("ip", "-o", "link"), sorted(os.listdir("/run"))) == before


def of_session(session: int) -> list[str]:
    """Return the processes of a session; their children in other namespaces are among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(path.parent.name)
    return found
