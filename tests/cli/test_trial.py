"""``multus-py try`` with every example, on real plugins."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from multus_py.models import objects
from tests import nodes
from tests.cli import trials
from tests.cli.trials import EXAMPLES, ORDINARY_USER, tried
from tests.processes import eventually
from tests.system.runtime import PLUGIN
from tests.system.test_real_plugins import REAL

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


@pytest.fixture
def legacy(tmp_path: Path) -> str:
    """Return a path of plugins that has those of the first generation as well."""
    for name in ("flannel", "sriov", "weave-net"):
        plugin = tmp_path / name
        plugin.write_text(STAND_IN)
        plugin.chmod(0o755)
    return f"{tmp_path}:{REAL}"


@pytest.mark.parametrize("user", [(), ORDINARY_USER], ids=["root", "user"])
@pytest.mark.parametrize("name", FILES)
def test_every_example_works_and_leaves_nothing(
    node: None, legacy: str, name: str, user: tuple[str, ...]
) -> None:
    before = state_of_node()

    answer = tried(str(EXAMPLES / name), path=legacy, before=user)

    if "whereabouts" in name and not shutil.which("whereabouts", path=legacy):
        assert answer.status == 1
        assert "plugin whereabouts is missing" in answer.stderr
    else:
        assert (answer.status, answer.stderr) == (0, ""), answer
        assert "Nothing is left" in answer.stdout or "nothing to attach" in answer.stdout
    assert state_of_node() == before


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


OLD_BRIDGE = {
    "name": "old",
    "type": "bridge",
    "bridge": "old0",
    "isDefaultGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.99.0.0/24"},
}


def old_pods(directory: Path, networks: str = "") -> list[str]:
    """Return files with two pods whose primary network is of a version without interfaces."""
    config = {"cniVersion": "0.2.0", "name": "old", "type": "multus-py", "delegates": [OLD_BRIDGE]}
    (directory / "ours.conf").write_text(json.dumps(config))
    metadata = {"annotations": {objects.NETWORKS: networks}}
    spec = {"replicas": 2, "template": {"metadata": metadata}}
    web = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    (directory / "web.json").write_text(json.dumps(web))
    return [str(directory / "web.json"), str(directory / "ours.conf")]


def test_pods_of_old_plugins_are_shown_as_they_are_found(node: None, tmp_path: Path) -> None:
    answer = tried(*old_pods(tmp_path))

    assert (answer.status, answer.stderr) == (0, ""), answer
    for number in (0, 1):
        found = rf"default/web-{number} +\? +eth0 +10\.99\.0\.\d+ +([0-9a-f]{{2}}:){{5}}"
        assert re.search(found, answer.stdout)
    assert "default/web-0 gets no k8s.v1.cni.cncf.io/network-status" in answer.stdout
    assert re.search(r"web-0 -> default/web-1 \(10\.99\.0\.\d+\) over eth0: it answ", answer.stdout)
    assert "CHECK: not in cniVersion 0.2.0" in answer.stdout
    assert "DEL: every network is released (2 pod(s))" in answer.stdout


def test_what_old_plugins_gave_stands_beside_the_status_of_others(
    node: None, tmp_path: Path
) -> None:
    storage, _, _ = (EXAMPLES / "demo.yaml").read_text().partition("---")
    (tmp_path / "storage.yaml").write_text(storage)

    answer = tried(*old_pods(tmp_path, "storage"), "-f", str(tmp_path / "storage.yaml"))

    assert answer.status == 0, answer
    assert re.search(r"default/web-0 +\? +eth0 +10\.99\.0\.", answer.stdout)
    assert re.search(r"\n +default/storage +net1 +192\.168\.10\.", answer.stdout)
    assert '"name": "default/storage"' in answer.stdout


@pytest.mark.parametrize("content", ["a: [", "- just\n- a list\n", "kind: 7\n"])
def test_a_broken_manifest_is_named(node: None, tmp_path: Path, content: str) -> None:
    manifest = tmp_path / "broken.yaml"
    manifest.write_text(content)

    answer = tried("broken.yaml", cwd=tmp_path)

    assert answer.status == 1
    assert answer.stderr.startswith("Error: broken.yaml: it ")
    assert "/run/" not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_manifests_may_come_through_a_pipe(node: None) -> None:
    """Shells pass a pipe as /dev/fd/63."""
    command = shlex.join([*PLUGIN, "try"])
    demo = shlex.quote(str(EXAMPLES / "demo.yaml"))

    answer = nodes.run("bash", "-c", f"CNI_PATH={REAL} {command} <(cat {demo})")

    assert "CHECK: every network is in place (2 pod(s))" in answer


def test_a_plugin_that_is_killed_is_an_error_in_words(node: None, tmp_path: Path) -> None:
    path = trials.plugin(tmp_path / "bin", "bridge", "#!/bin/sh\nkill -KILL $PPID\n")

    answer = tried(str(EXAMPLES / "named-interface.yaml"), path=path)

    assert answer.status == 1
    assert "the plugin ended with -9" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_file_that_does_not_exist_is_a_usage_error() -> None:
    answer = tried("/nowhere.yaml")

    assert answer.status == 2
    assert "/nowhere.yaml" in answer.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_everything_without_a_word(
    node: None, tmp_path: Path, number: signal.Signals
) -> None:
    """As from a terminal: the signal goes to the whole process group."""
    waiting = "#!/bin/sh\necho started >&2\nsleep 600\n"
    marker = f"MULTUS_PY_TRIAL={tmp_path}"
    environment = {
        **os.environ,
        "CNI_PATH": trials.plugin(tmp_path / "bin", "bridge", waiting),
        "MULTUS_PY_TRIAL": str(tmp_path),
    }
    before = state_of_node()
    child = subprocess.Popen(
        [*PLUGIN, "try", str(EXAMPLES / "demo.yaml")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert child.stderr is not None
    assert child.stderr.readline() == "started\n"
    assert len(trials.processes_with(marker)) >= 4

    os.killpg(child.pid, number)
    _, said = child.communicate(timeout=60)

    if number == signal.SIGKILL:  # nobody is left to wait
        eventually(lambda: not trials.processes_with(marker))
    assert trials.processes_with(marker) == []
    assert (child.returncode, said) == (-number, "")
    assert state_of_node() == before


def state_of_node() -> tuple[object, ...]:
    """Return the links, and what is there of the things that runs make on a node of their own."""
    made = ("/run/multus-py-try", "/run/netns/pod0", "/var/lib/cni/networks/primary")
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return nodes.run("ip", "-o", "link"), [p for p in made if p in mounts or os.path.lexists(p)]
