"""The two modes: what the plugin does by itself, and what it does through a daemon, is the same.

Each case is a few requests. They are made twice on the same node, under the same names, and
everything that anybody can see of them is compared: what is printed, exit codes, what plugins were
given, files, links, and the network-status.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.kubeapi import KubeApi
from tests.nodes import Netns, network_namespace
from tests.processes import eventually
from tests.system.daemon import NODE, Daemon, daemon_on
from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubeapi import Certificate

GROUP = "k8s.v1.cni.cncf.io"
POD = "/api/v1/namespaces/default/pods/web"
PLUGINS = ("main", "one", "two")
LIST = {"cniVersion": "1.1.0", "name": "chain", "plugins": [{"type": "one"}, {"type": "two"}]}

PROGRAM = f"""\
#!{sys.executable}
import sys
from multus_py.__main__ import main
sys.exit(main())
"""

LINKING = r"""#!/bin/sh
read -r config
number=${CNI_IFNAME#eth} number=${number#net}
if [ "$CNI_COMMAND" = ADD ]; then
    ip -n "${CNI_NETNS##*/}" link add "$CNI_IFNAME" type veth peer name "$CNI_IFNAME-p"
    ip -n "${CNI_NETNS##*/}" address add "10.$number.0.2/24" dev "$CNI_IFNAME"
    ip -n "${CNI_NETNS##*/}" link set "$CNI_IFNAME-p" up
    ip -n "${CNI_NETNS##*/}" link set "$CNI_IFNAME" up
    if [ "$number" = 0 ]; then ip -n "${CNI_NETNS##*/}" route add default via 10.0.0.1; fi
    printf '{"cniVersion": "1.1.0", "interfaces": [{"name": "%s", "sandbox": "%s"}],
        "ips": [{"address": "10.%s.0.2/24", "gateway": "10.%s.0.1", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0"}]}' "$CNI_IFNAME" "$CNI_NETNS" "$number" "$number"
elif [ "$CNI_COMMAND" = DEL ]; then
    ip -n "${CNI_NETNS##*/}" link delete "$CNI_IFNAME"
fi
exit 0
"""
"""A plugin that makes a link with an address; the master's has a default route too."""

DUMPING = """#!/bin/sh
(env | grep -v ^SHLVL= | sort; pwd; ls /proc/self/fd | wc -l; cat; ulimit -a) >"$0.dump"
echo "this is why" >&2
exit 3
"""
"""A plugin that writes down all that it was given."""

Step = dict[str, Any]
"""Keywords of :meth:`Runtime.request`, and what is done before it:

``behave``: what the plugins that keep books do from then on; ``plugins``: other texts for some;
``planted``: how this program is put among them as ``again``: ``symlink`` or ``link``;
``link``: the name of a link that is in the pod already.
"""


@dataclass
class Node:
    """One node, on which a request can be made in either mode."""

    runtime: Runtime
    netns: Netns
    api: KubeApi
    daemon: Daemon
    programs: dict[str, tuple[str, ...]] = field(init=False)

    pods: int = 0

    def __post_init__(self) -> None:
        alone = self.runtime.directory / "alone"
        alone.write_text(PROGRAM)
        alone.chmod(0o755)
        self.programs = {"alone": (str(alone),), "daemon": self.daemon.program()}

    def clear(self, annotations: dict[str, str]) -> None:
        """Be as at first, with a pod that has these annotations.

        Pods have another UID in each case: the daemon does not take one for its predecessor.
        """
        for directory in (self.runtime.cni_dir, self.runtime.books, self.runtime.bin_dir):
            shutil.rmtree(directory, ignore_errors=True)
        self.runtime.install(*PLUGINS)
        for name in self.links():
            if not name.endswith(("-p", "-peer")):
                self.netns.ip("link", "delete", name)
        uid = f"uid-{self.pods}"
        names = f"K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID={uid}"
        self.runtime.environment = {"CNI_ARGS": f"IgnoreUnknown=1;{names}"}
        self.api.add("Pod", "web", uid=uid, annotations=annotations, spec={"nodeName": NODE})

    def seen(self, mode: str, annotations: dict[str, str], steps: list[Step]) -> list[Any]:
        """Return all that can be seen of each step."""
        self.clear(annotations)
        self.runtime.program = self.programs[mode]
        program = self.runtime.directory / "program"
        program.unlink(missing_ok=True)
        program.symlink_to(self.runtime.program[0])
        return [self._step(step) for step in steps]

    def links(self) -> list[str]:
        rows = json.loads(self.netns.ip("-json", "link", "show"))
        return [row["ifname"] for row in rows if row["ifname"] != "lo"]

    def status(self) -> str | None:
        annotations = self.api.objects[POD]["metadata"]["annotations"]
        status: str | None = annotations.get(f"{GROUP}/network-status")
        return status

    def _step(self, step: Step) -> dict[str, Any]:
        step = dict(step)
        self._prepare(
            **{
                key: step.pop(key)
                for key in ("behave", "plugins", "planted", "link")
                if key in step
            }
        )
        before = len(self.runtime.calls())
        answer = self.runtime.request(**step)
        if answer.status == 0 and step["command"] == "ADD" and "environment" not in step:
            eventually(self.status)  # of a pod that asked for nothing it comes a little later
        dumps = self.runtime.bin_dir.glob("*.dump")
        return {
            "status": answer.status,
            "stdout": re.sub(r"within \d+ s", "in time", answer.stdout),
            "reported": "this is why" in answer.stderr,
            "dumps": {path.name: path.read_text() for path in dumps},
            "routes": [self.netns.default_routes(family) for family in (4, 6)],
            "calls": self.runtime.calls()[before:],
            "entries": self.runtime.entries(),
            "files": self.runtime.files(),
            "links": self.links(),
            "network-status": self.status(),
        }

    def _prepare(
        self,
        behave: dict[str, Any] | None = None,
        plugins: dict[str, str] | None = None,
        planted: str = "",
        link: str = "",
    ) -> None:
        self.runtime.behave(**behave or {})
        for name, text in (plugins or {}).items():
            (self.runtime.bin_dir / name).write_text(text)
        if planted:
            again = self.runtime.bin_dir / "again"
            if planted == "symlink":
                again.symlink_to(self.runtime.program[0])
            else:
                again.hardlink_to(self.runtime.program[0])
        if link:
            self.netns.add_link(link)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Node]:
    """Return a node with one pod on it, for all cases."""
    directory = tmp_path_factory.mktemp("modes")
    with network_namespace() as netns, KubeApi(certificate) as api:
        for name in ("one", "two"):
            api.add("NetworkAttachmentDefinition", name, spec={"config": json.dumps(network(name))})
        api.add("NetworkAttachmentDefinition", "chain", spec={"config": json.dumps(LIST)})
        kubeconfig = api.kubeconfig(directory)
        config = {
            "delegates": [network("main", "primary")],
            "kubeconfig": str(kubeconfig),
            "requestTimeout": 20,
        }
        runtime = Runtime(directory, netns.path, config)
        with daemon_on(directory, kubeconfig=kubeconfig, logLevel="debug") as daemon:
            yield Node(runtime, netns, api, daemon)


LIFE: list[Step] = [{"command": "ADD"}, {"command": "CHECK"}, {"command": "DEL"}]
ADD_DEL: list[Step] = [{"command": "ADD"}, {"command": "DEL"}]
BOTH = {f"{GROUP}/networks": "one,two"}


def asking(elements: Any) -> dict[str, str]:
    return {f"{GROUP}/networks": elements if isinstance(elements, str) else json.dumps(elements)}


def misbehaving(plugin: str, command: str, **behaviour: Any) -> list[Step]:
    """Return the steps in which a plugin misbehaves once."""
    wrong: dict[str, Any] = {plugin: {command: behaviour}}
    before = [] if command == "ADD" else [{"command": "ADD"}]
    return [*before, {"command": command, "behave": wrong}, {"command": "DEL"}]


CASES: dict[str, tuple[dict[str, str], list[Step]]] = {
    "a pod that asks for nothing": ({}, LIFE),
    "several networks": (BOTH, [*LIFE, {"command": "DEL"}]),
    "a chain": (asking("chain"), LIFE),
    "names, addresses and arguments": (
        asking(
            [
                {"name": "one", "interface": "north", "mac": "02:00:00:00:00:01"},
                {"name": "chain", "ips": ["10.9.0.7/24"], "cni-args": {"a": {"b": 1}}},
            ]
        ),
        LIFE,
    ),
    "the same network twice": (asking("one,one@south"), LIFE),
    "an annotation that is no JSON": (asking('[{"name": '), ADD_DEL),
    "an annotation with a wrong type": (asking([{"name": 7}]), ADD_DEL),
    "an annotation with a bad name": (asking("one,two/"), ADD_DEL),
    "an annotation with a bad address": (asking([{"name": "one", "mac": "zz"}]), ADD_DEL),
    "an unknown network": (asking("one,three"), ADD_DEL),
    "a network of another namespace": (asking("other/one"), ADD_DEL),
    "another default network": ({f"{GROUP}/v1.multus-cni.io/default-network": "one"}, LIFE),
    "STATUS": ({}, [{"command": "STATUS"}]),
    "STATUS of a plugin that is not ready": (
        {},
        [
            {
                "command": "STATUS",
                "behave": {"main": {"STATUS": {"fail": {"code": 50, "msg": "not yet"}}}},
            }
        ],
    ),
    "VERSION": ({}, [{"command": "VERSION"}]),
    "GC of a container that is gone": (
        BOTH,
        [{"command": "ADD"}, {"command": "GC", "cni.dev/valid-attachments": []}],
    ),
    "GC of a container that is there": (
        BOTH,
        [
            {"command": "ADD"},
            {
                "command": "GC",
                "cni.dev/valid-attachments": [{"containerID": "ctr", "ifname": "eth0"}],
            },
            {"command": "DEL"},
        ],
    ),
    "DEL without ADD": (BOTH, [{"command": "DEL"}]),
    "DEL without a namespace": (
        BOTH,
        [{"command": "ADD"}, {"command": "DEL", "environment": {"CNI_NETNS": ""}}],
    ),
    "CHECK without ADD": (BOTH, [{"command": "CHECK"}]),
    "a pod that does not exist": (
        {},
        [{"command": verb, "pod": "nobody"} for verb in ("ADD", "DEL")],
    ),
    "a pod with another UID": (
        {},
        [
            {
                "command": "ADD",
                "environment": {
                    "CNI_ARGS": "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=other"
                },
            }
        ],
    ),
    "no pod": (
        {},
        [{"command": verb, "environment": {"CNI_ARGS": ""}} for verb in ("ADD", "CHECK", "DEL")],
    ),
    "another namespace that is gone": (
        {},
        [
            {"command": verb, "environment": {"CNI_NETNS": "/run/netns/nobodys"}}
            for verb in ("ADD", "DEL")
        ],
    ),
    "our own namespace": (
        {},
        [
            {"command": verb, "environment": {"CNI_NETNS": "/proc/self/ns/net"}}
            for verb in ("ADD", "DEL")
        ],
    ),
    "an unknown command": ({}, [{"command": "ATTACH"}]),
    "no container": ({}, [{"command": "ADD", "container_id": ""}]),
    "a container named like a path": ({}, [{"command": "ADD", "container_id": "../x"}]),
    "arguments that are none": ({}, [{"command": "ADD", "environment": {"CNI_ARGS": "x;y"}}]),
    "no configuration": ({}, [{"command": "ADD", "stdin": b""}]),
    "a configuration that is no JSON": ({}, [{"command": "ADD", "stdin": b"{"}]),
    "a configuration that is no text": ({}, [{"command": "DEL", "stdin": b"\xff\0\xfe"}]),
    "a configuration of a wrong type": ({}, [{"command": "ADD", "delegates": 7}]),
    "a configuration of an unknown version": ({}, [{"command": "ADD", "cniVersion": "9.0.0"}]),
    "an old version": ({}, [{**step, "cniVersion": "0.2.0"} for step in ADD_DEL]),
    "numbers that must not change": (
        {},
        [{"command": "ADD", "delegates": [network("main", "primary", big=2**70, small=1e-7)]}],
    ),
    "a file that is never there": (
        {},
        [{"command": "ADD", "readinessindicatorfile": "/nowhere/at/all", "requestTimeout": 5}],
    ),
    "a missing plugin": (
        {},
        [{**step, "delegates": [network("nobodys", "primary")]} for step in ADD_DEL],
    ),
    "a plugin named like a path": (
        {},
        [{"command": "ADD", "delegates": [network("../main", "primary")]}],
    ),
    "an error": (BOTH, misbehaving("two", "ADD", fail={"code": 7, "msg": "no address left"})),
    "an error of CHECK": (BOTH, misbehaving("one", "CHECK", fail={"code": 1, "msg": "it is gone"})),
    "an error of DEL": (BOTH, misbehaving("one", "DEL", fail={"code": 11, "msg": "later"})),
    "garbage": (BOTH, misbehaving("one", "ADD", print="all fine")),
    "nothing": (BOTH, misbehaving("one", "ADD", print="")),
    "megabytes": (BOTH, misbehaving("two", "ADD", print="x" * 5_000_000)),
    "no result but an error": (BOTH, misbehaving("two", "ADD", print='{"code": 3, "msg": "x"}')),
    "an interface that is taken": (BOTH, [{"command": "ADD", "link": "net2"}, {"command": "DEL"}]),
    "a default route": (
        asking([{"name": "one", "default-route": ["10.1.0.1"]}, {"name": "two"}]),
        [{**step, "plugins": dict.fromkeys(PLUGINS, LINKING)} for step in LIFE],
    ),
    "a default route to nowhere": (
        asking([{"name": "one", "default-route": ["10.77.0.1"]}]),
        [{**step, "plugins": dict.fromkeys(PLUGINS, LINKING)} for step in ADD_DEL],
    ),
    "a default route of no interface": (
        asking([{"name": "one", "default-route": ["10.1.0.1"]}]),
        ADD_DEL,
    ),
    "everything that a plugin gets": (BOTH, [{"command": "ADD", "plugins": {"one": DUMPING}}]),
    "a plugin that cannot be executed": (
        BOTH,
        [{**step, "plugins": {"two": "#!/no/such/interpreter\n"}} for step in ADD_DEL],
    ),
    "this program by a symbolic link": (
        {},
        [{"command": "ADD", "planted": "symlink", "delegates": [network("again", "primary")]}],
    ),
    "this program by a hard link": (
        {},
        [{"command": "ADD", "planted": "link", "delegates": [network("again", "primary")]}],
    ),
    "a plugin that leads back to this program": (
        {},
        [
            {
                **step,
                "plugins": {"one": '#!/bin/sh\nexec "${0%/bin/one}/program"\n'},
                "delegates": [network("one", "primary")],
            }
            for step in ADD_DEL
        ],
    ),
    "a plugin that hangs": (
        BOTH,
        [{**step, "requestTimeout": 5} for step in misbehaving("two", "ADD", sleep=60)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_with_a_daemon_everything_is_as_without(node: Node, name: str) -> None:
    annotations, steps = CASES[name]
    assert_same(node, annotations, steps)


def assert_same(node: Node, annotations: dict[str, str], steps: list[Step]) -> None:
    """Make the same requests in both modes, and compare."""
    node.pods += 1
    requests = node.daemon.metric("multus_py_requests_total")
    with_daemon = node.seen("daemon", annotations, steps)
    assert node.daemon.metric("multus_py_requests_total") >= requests + len(steps)
    alone = node.seen("alone", annotations, steps)
    for step, here, there in zip(steps, with_daemon, alone, strict=True):
        for what in there:
            assert here[what] == there[what], f"{step['command']}: {what}"
