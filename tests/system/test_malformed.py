"""Malformed requests: exit code 1, one JSON error object on standard output, an unchanged node.

The table has what runtimes, administrators and users of a cluster can get wrong, or do on purpose.
A case changes one thing in a request that would succeed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.runtime import Runtime, a_cluster, definition, manifest, network

if TYPE_CHECKING:
    from tests.nodes import Netns

DEEP_LIST = "[" * 5000 + "]" * 5000
DEEP_OBJECT = '{"a":' * 2000 + "1" + "}" * 2000
LONG = "x" * 300


@dataclass(frozen=True)
class Case:
    """One thing that is wrong. ``error`` is a code, where the specification sets it."""

    environment: dict[str, str | None] = field(default_factory=dict)
    stdin: bytes | None = None
    config: dict[str, Any] = field(default_factory=dict)
    networks: str | None = None
    """The pod's annotation."""
    definition: str | None = None
    """The configuration in the definition that the pod names."""
    command: str = "ADD"
    error: int | None = None


def env(error: int = 4, command: str = "ADD", **variables: str | None) -> Case:
    return Case(environment=variables, error=error, command=command)


def conf(error: int = 7, **keys: Any) -> Case:
    return Case(config=keys, error=error)


ENVIRONMENT = {
    "no container ID": env(CNI_CONTAINERID=None),
    "empty container ID": env(CNI_CONTAINERID=""),
    "container ID with a slash": env(CNI_CONTAINERID="../x"),
    "container ID with two dots": env(CNI_CONTAINERID=".."),
    "hidden container ID": env(CNI_CONTAINERID=".hidden"),
    "container ID with a blank": env(CNI_CONTAINERID="a b"),
    "container ID with a newline": env(CNI_CONTAINERID="a\n"),
    "container ID beginning with a dash": env(CNI_CONTAINERID="-rf"),
    "container ID with an at sign": env(CNI_CONTAINERID="a@eth0"),
    "container ID in Cyrillic": env(CNI_CONTAINERID="\u0441tr"),
    "container ID longer than a file name": env(CNI_CONTAINERID=LONG),
    "container ID that is a directory of ours": env(CNI_CONTAINERID="results"),
    "no interface": env(CNI_IFNAME=None),
    "empty interface": env(CNI_IFNAME=""),
    "interface with 16 characters": env(CNI_IFNAME="abcdefghijklmnop"),
    "interface with 16 bytes": env(CNI_IFNAME="\u00e4" * 8),
    "interface that is a dot": env(CNI_IFNAME="."),
    "interface that is two dots": env(CNI_IFNAME=".."),
    "interface with a slash": env(CNI_IFNAME="a/b"),
    "interface with a colon": env(CNI_IFNAME="a:b"),
    "interface with a blank": env(CNI_IFNAME="a b"),
    "interface with a tab": env(CNI_IFNAME="a\tb"),
    "no namespace": env(CNI_NETNS=None),
    "empty namespace": env(CNI_NETNS=""),
    "namespace of the node": env(CNI_NETNS="/proc/self/ns/net", error=8),
    "namespace with a newline": env(CNI_NETNS="/run/netns/x\n"),
    "no path": env(CNI_PATH=None),
    "empty path": env(CNI_PATH=""),
    "path with a newline": env(CNI_PATH="/opt\n/bin"),
    "unknown command": env(CNI_COMMAND="FROBNICATE"),
    "command in lower case": env(CNI_COMMAND="add"),
    "command with a blank": env(CNI_COMMAND="ADD "),
    "command with a newline": env(CNI_COMMAND="ADD\n"),
    "DEL without container ID": env(CNI_CONTAINERID=None, command="DEL"),
    "DEL without interface": env(CNI_IFNAME=None, command="DEL"),
    "DEL without path": env(CNI_PATH=None, command="DEL"),
    "DEL with a slash in the container ID": env(CNI_CONTAINERID="../x", command="DEL"),
    "DEL in the namespace of the node": env(CNI_NETNS="/proc/self/ns/net", error=8, command="DEL"),
    "CHECK without container ID": env(CNI_CONTAINERID=None, command="CHECK"),
    "CHECK without namespace": env(CNI_NETNS=None, command="CHECK"),
    "CHECK without interface": env(CNI_IFNAME=None, command="CHECK"),
    "GC without path": env(CNI_PATH=None, command="GC"),
    "STATUS without path": env(CNI_PATH=None, command="STATUS"),
}

NAMESPACES = {
    "does not exist": "/run/netns/nowhere",
    "is a file": "/etc/passwd",
    "is a directory": "/tmp",
    "is a device": "/dev/null",
    "is of another kind": "/proc/self/ns/mnt",
}

ARGUMENTS = {
    f"arguments {text!r}": env(CNI_ARGS=text)
    for text in (
        "no-pair",
        ";",
        "A=1;",
        "IgnoreUnknown=1;;K8S_POD_NAME=web",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;TOKEN=a=b",
        "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;UNKNOWN=1",
        "IgnoreUnknown=0;UNKNOWN=1",
        "IgnoreUnknown=maybe;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
        "K8S_POD_NAMESPACE:default",
        "IgnoreUnknown=1",
        "IgnoreUnknown=1;K8S_POD_NAME=web",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=;K8S_POD_NAME=",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=..",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=a/../b",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=Web",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=a/b;K8S_POD_NAME=web",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=we b",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web\nX",
        f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={LONG}",
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web?watch",
    )
}
ARGUMENTS["a pod that does not exist"] = env(
    CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=ghost", error=11
)
ARGUMENTS["a pod of another UID"] = env(
    CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=x", error=122
)

STDIN = {
    "nothing": Case(stdin=b"", error=6),
    "blanks": Case(stdin=b"  \n", error=6),
    "no JSON": Case(stdin=b"{not json", error=6),
    "cut off": Case(stdin=b'{"cniVersion": "1.0.0", "name": "x"', error=6),
    "more after the end": Case(stdin=b'{"name": "x"} y', error=6),
    "two documents": Case(stdin=b'{"name": "x"}{"name": "y"}', error=6),
    "a list": Case(stdin=b"[]", error=6),
    "a text": Case(stdin=b'"x"', error=6),
    "a number": Case(stdin=b"7", error=6),
    "null": Case(stdin=b"null", error=6),
    "true": Case(stdin=b"true", error=6),
    "YAML": Case(stdin=b"name: x\n", error=6),
    "a comment": Case(stdin=b'{"name": "x" /* y */}', error=6),
    "a comma too many": Case(stdin=b'{"name": "x",}', error=6),
    "single quotes": Case(stdin=b"{'name': 'x'}", error=6),
    "not UTF-8": Case(stdin=b'{"name": "\xff"}', error=6),
    "UTF-16": Case(stdin='{"name": "x"}'.encode("utf-16"), error=6),
    "a byte order mark": Case(stdin=b'\xef\xbb\xbf{"name": "x"}', error=6),
    "zero bytes": Case(stdin=b"\0" * 100, error=6),
    "a zero byte at the end": Case(stdin=b'{"name": "x"}\0', error=6),
    "binary": Case(stdin=bytes(range(256)), error=6),
    "a deep list": Case(stdin=DEEP_LIST.encode(), error=6),
    "a deep object": Case(stdin=DEEP_OBJECT.encode(), error=6),
    "a very deep list": Case(stdin=b"[" * 200_000, error=6),
    "a deep list inside": Case(stdin=b'{"name": "x", "y": ' + DEEP_LIST.encode() + b"}", error=6),
    "17 MiB": Case(stdin=b'{"x": "' + b"y" * 17 * 1024 * 1024 + b'"}', error=6),
    "not a number": Case(stdin=b'{"name": "x", "mtu": NaN}', error=6),
    "infinity": Case(stdin=b'{"name": "x", "mtu": Infinity}', error=6),
    "a number beyond a double": Case(stdin=b'{"name": "x", "mtu": 1e999}', error=6),
    "a number of 5000 digits": Case(stdin=b'{"name": "x", "mtu": ' + b"9" * 5000 + b"}", error=6),
    "half a surrogate pair": Case(stdin=b'{"name": "x", "y": "\\ud800"}', error=6),
    "half a surrogate pair as key": Case(stdin=b'{"name": "x", "\\udfff": 1}', error=6),
    "DEL with no JSON": Case(stdin=b"{", error=6, command="DEL"),
    "CHECK with no JSON": Case(stdin=b"{", error=6, command="CHECK"),
    "GC with no JSON": Case(stdin=b"{", error=6, command="GC"),
    "STATUS with no JSON": Case(stdin=b"{", error=6, command="STATUS"),
}

HEAD = {
    "no name": conf(name=None),
    "empty name": conf(name=""),
    "name with a slash": conf(name="a/b"),
    "name with a blank": conf(name="a b"),
    "name with a zero": conf(name="a\0"),
    "name that is a list": conf(name=["x"]),
    "name that is a number": conf(name=7),
    "name beginning with a dot": conf(name=".x"),
    "version that is a number": conf(cniVersion=1.0, error=6),
    "version that is a list": conf(cniVersion=["1.0.0"], error=6),
    "version that nobody knows": conf(cniVersion="9.9.9", error=1),
    "version of two parts": conf(cniVersion="1.0", error=1),
    "version with a v": conf(cniVersion="v1.0.0", error=1),
    "version that is a word": conf(cniVersion="latest", error=1),
    "CHECK before 0.4.0": Case(config={"cniVersion": "0.3.1"}, command="CHECK", error=1),
    "CHECK without a version": Case(config={"cniVersion": ""}, command="CHECK", error=1),
    "GC before 1.1.0": Case(config={"cniVersion": "1.0.0"}, command="GC", error=1),
    "STATUS before 1.1.0": Case(config={"cniVersion": "1.0.0"}, command="STATUS", error=1),
    "GC with a list of texts": Case(
        config={"cni.dev/valid-attachments": ["x"]}, command="GC", error=7
    ),
    "GC with a number as container": Case(
        config={"cni.dev/valid-attachments": [{"containerID": 5, "ifname": "x"}]},
        command="GC",
        error=7,
    ),
    "GC with a path as interface": Case(
        config={"cni.dev/valid-attachments": [{"containerID": "x", "ifname": "a/b"}]},
        command="GC",
        error=7,
    ),
    "GC with an object": Case(config={"cni.dev/valid-attachments": {"a": 1}}, command="GC"),
    "GC with half an attachment": Case(
        config={"cni.dev/valid-attachments": [{"containerID": "x"}]}, command="GC", error=7
    ),
}

WRONG_TYPES: dict[str, Any] = {
    "type": 7,
    "capabilities": ["portMappings"],
    "ipam": "host-local",
    "dns": [],
    "prevResult": "x",
    "kubeconfig": ["x"],
    "delegates": {"type": "main"},
    "clusterNetwork": 7,
    "defaultNetworks": "side",
    "systemNamespaces": "kube-system",
    "multusNamespace": False,
    "confDir": 1,
    "cniDir": ["/var"],
    "binDir": {},
    "namespaceIsolation": "true",
    "globalNamespaces": ["default"],
    "readinessindicatorfile": 1,
    "retryDeleteOnError": "yes",
    "auxiliaryCNIChainName": 7,
    "runtimeConfig": "x",
    "logToStderr": "false",
    "logLevel": 3,
    "logFile": False,
    "logOptions": "x",
    "legacyNetworks": "no",
    "always_use_default": "no",
    "manifests": "x.yaml",
    "requestTimeout": "60",
    "KUBECONFIG": 7,
}
CONFIG = {f"{key} of the wrong type": conf(**{key: value}) for key, value in WRONG_TYPES.items()}
CONFIG |= {
    "a capability that is no switch": conf(capabilities={"mac": "yes"}),
    "a broken previous result": conf(prevResult={"cniVersion": "1.0.0", "ips": [{"address": "x"}]}),
    "a previous result of an unknown version": conf(prevResult={"cniVersion": "7.0.0"}),
    "a delegate that is a text": conf(delegates=["main"]),
    "a delegate that is null": conf(delegates=[None]),
    "a delegate without a type": conf(delegates=[{"name": "x"}]),
    "a delegate whose type is a number": conf(delegates=[{"name": "x", "type": 7}]),
    "a delegate whose type is a path": conf(delegates=[{"name": "x", "type": "../../bin/sh"}]),
    "a delegate whose type is a directory": conf(delegates=[{"name": "x", "type": ".."}]),
    "a delegate whose type has a zero": conf(delegates=[{"name": "x", "type": "a\0b"}]),
    "a delegate with an empty list": conf(delegates=[{"name": "x", "plugins": []}]),
    "a delegate with plugins that are none": conf(delegates=[{"name": "x", "plugins": {}}]),
    "a delegate with a null in its list": conf(delegates=[{"name": "x", "plugins": [None]}]),
    "a delegate with a plugin without type": conf(delegates=[{"name": "x", "plugins": [{}]}]),
    "a delegate whose capabilities are a list": conf(
        delegates=[{"name": "x", "type": "main", "capabilities": ["mac"]}]
    ),
    "a delegate whose version is a number": conf(
        delegates=[{"name": "x", "type": "main", "cniVersion": 1}]
    ),
    "a delegate with versions that are none": conf(
        delegates=[{"name": "x", "type": "main", "cniVersions": "1.0.0"}]
    ),
    "a delegate with versions nobody knows": conf(
        delegates=[{"name": "x", "type": "main", "cniVersions": ["8.0.0"]}]
    ),
    "a delegate with a switch that is none": conf(
        delegates=[{"name": "x", "plugins": [{"type": "main"}], "disableCheck": "maybe"}]
    ),
    "a delegate with a name that leads elsewhere": conf(
        delegates=[network("main", "x"), network("one", "../../x")]
    ),
    "a delegate that is this plugin": conf(delegates=[network("multus-py", "x")], error=104),
    "a delegate that is Multus": conf(delegates=[network("multus", "x")], error=104),
    "a delegate that is the shim": conf(delegates=[network("multus-shim", "x")], error=104),
    "a delegate that hides this plugin in a list": conf(
        delegates=[{"name": "x", "plugins": [{"type": "main"}, {"type": "multus-py"}]}], error=104
    ),
    "no delegates and no cluster network": conf(delegates=[]),
    "a cluster network that is nowhere": conf(clusterNetwork="ghost", error=110),
    "a cluster network whose file is nowhere": conf(clusterNetwork="/nowhere.conf", error=110),
    "a cluster network whose file is no JSON": conf(clusterNetwork="/etc/passwd", error=6),
    "a cluster network that is a device": conf(clusterNetwork="/dev/null", error=6),
    "a cluster network with a zero": conf(clusterNetwork="/a\0b", error=5),
    "a default network that is nowhere": conf(
        clusterNetwork="default-net", defaultNetworks=["ghost"], error=110
    ),
    "an auxiliary chain without a path": conf(auxiliaryCNIChainName="aux"),
    "a time that is too short": conf(requestTimeout=1),
    "a time that is too long": conf(requestTimeout=10**9),
    "port mappings that are none": conf(runtimeConfig={"portMappings": [{"hostPort": "80"}]}),
    "two masters": conf(
        delegates=[network("main", "a", masterplugin=True), network("one", "b", masterplugin=True)]
    ),
    "a master that is no switch": conf(
        delegates=[network("main", "a", masterplugin=1)], always_use_default=False
    ),
    "an old configuration without delegates": conf(delegates=None, always_use_default=True),
    "manifests that do not exist": conf(manifests=["/nowhere.yaml"]),
    "manifests that are no YAML": conf(manifests=["/bin/sh"]),
    "a state directory that is a file": conf(cniDir="/etc/passwd", error=5),
    "a state directory that cannot be made": conf(cniDir="/proc/multus", error=5),
}

ANNOTATIONS = {
    f"annotation {text[:40]!r}": Case(networks=text, error=112)
    for text in (
        ",",
        "one,",
        ",one",
        "one,,two",
        " ",
        "a/b/c",
        "one@a@b",
        "One",
        "on e",
        "one.two",
        "-one",
        "one-",
        "default/one/",
        "one@abcdefghijklmnop",
        "one@a b",
        "one@..",
        "one@a:b",
        "../one",
        "one\0",
        "{}",
        '{"name": "one"}',
        '"one"',
        "[null]",
        "[1]",
        '["one"]',
        "[[]]",
        "[{}]",
        '[{"name": ""}]',
        '[{"name": 7}]',
        '[{"name": "one", "namespace": 7}]',
        '[{"name": "one", "interface": 7}]',
        '[{"name": "one", "interface": "a/b"}]',
        '[{"name": "one", "interface": "../../x"}]',
        '[{"name": "one", "interface": ".."}]',
        '[{"name": "one", "interface": "abcdefghijklmnop"}]',
        '[{"name": "one", "interface": "a\\u0000b"}]',
        '[{"name": "one", "interface": "\\u001b[31mX"}]',
        '[{"name": "one", "interfaceRequest": "a/b"}]',
        "one@x\x01y",
        '[{"name": "one", "ips": "10.0.0.1"}]',
        '[{"name": "one", "ips": ["10.0.0.300"]}]',
        '[{"name": "one", "ips": ["10.0.0.3/33"]}]',
        '[{"name": "one", "ips": [7]}]',
        '[{"name": "one", "mac": "02:zz"}]',
        '[{"name": "one", "mac": "02:00:00:00:00"}]',
        '[{"name": "one", "mac": 2}]',
        '[{"name": "one", "infiniband-guid": "xyz"}]',
        '[{"name": "one", "portMappings": {}}]',
        '[{"name": "one", "portMappings": [{"hostPort": "80"}]}]',
        '[{"name": "one", "portMappings": [{"hostPort": 1.5}]}]',
        '[{"name": "one", "bandwidth": 1000}]',
        '[{"name": "one", "bandwidth": {"ingressRate": "1"}}]',
        '[{"name": "one", "cni-args": "a=b"}]',
        '[{"name": "one", "default-route": "10.0.0.1"}]',
        '[{"name": "one", "default-route": ["nowhere"]}]',
        '[{"name": "one", "deviceID": 7}]',
    )
}
ANNOTATIONS |= {
    f"annotation {text[:40]!r}": Case(networks=text, error=6)
    for text in ("[", '[{"name": "one"', "[{'name': 'one'}]", "{name: one}", '[{"name": "one"}]x')
}
ANNOTATIONS |= {
    "annotation with 101 networks": Case(networks=",".join(["one"] * 101), error=112),
    "annotation with 101 elements": Case(networks=json.dumps([{"name": "one"}] * 101), error=112),
    "annotation with a deep list": Case(networks=DEEP_LIST, error=6),
    "annotation with a network that does not exist": Case(networks="ghost", error=110),
    "annotation with a name of 254 characters": Case(networks="x" * 254, error=110),
    "annotation with a name that leads elsewhere": Case(
        networks='[{"name": "../../../secrets/x"}]', error=110
    ),
    "annotation with two default routes": Case(
        networks='[{"name": "one", "default-route": ["10.0.0.1", "10.0.0.2"]}]', error=114
    ),
}

DEFINITIONS = {
    f"definition {text[:40]!r}": Case(networks="odd", definition=text, error=error)
    for text, error in (
        ("{broken", 6),
        ("null", 6),
        ("[1, 2]", 6),
        ('"text"', 6),
        ("7", 6),
        ("{type: one}", 6),
        (DEEP_OBJECT, 6),
        ("{}", 7),
        ('{"type": ""}', 7),
        ('{"type": null}', 7),
        ('{"type": 7}', 7),
        ('{"type": "/bin/sh"}', 7),
        ('{"type": "../sh"}', 7),
        ('{"type": "."}', 7),
        ('{"plugins": []}', 7),
        ('{"plugins": null}', 7),
        ('{"plugins": "one"}', 7),
        ('{"plugins": [null]}', 7),
        ('{"plugins": [{}]}', 7),
        ('{"plugins": [{"type": "one"}, {"type": "../x"}]}', 7),
        ('{"type": "one", "name": 7}', 7),
        ('{"type": "one", "name": "../../x"}', 7),
        ('{"type": "one", "name": "a/b"}', 7),
        ('{"type": "one", "name": "bad name"}', 7),
        (json.dumps({"type": "one", "name": "n" * 201}), 7),
        ('{"type": "one", "cniVersion": {}}', 7),
        ('{"type": "one", "capabilities": "mac"}', 7),
        ('{"type": "multus-py"}', 104),
        ('{"plugins": [{"type": "one"}, {"type": "multus"}]}', 104),
        ("", 110),
    )
}
DEFINITIONS["definition whose name is too long with the container's"] = Case(
    environment={"CNI_CONTAINERID": "c" * 64},
    networks="odd",
    definition=json.dumps({"type": "one", "name": "n" * 190}),
    error=7,
)
DEFINITIONS["definition whose args are no object"] = Case(
    networks='[{"name": "odd", "cni-args": {"a": 1}}]',
    definition='{"type": "one", "args": 7}',
    error=7,
)

TABLE = {
    f"{title}: {name}": case
    for title, part in (
        ("environment", ENVIRONMENT),
        ("environment", ARGUMENTS),
        ("standard input", STDIN),
        ("configuration", HEAD),
        ("configuration", CONFIG),
        ("pod", ANNOTATIONS),
        ("cluster", DEFINITIONS),
    )
    for name, case in part.items()
}


def test_the_table_has_hundreds_of_cases() -> None:
    assert len(TABLE) >= 200


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns) -> Runtime:
    """Return a node on which an ADD without a change succeeds."""
    runtime = Runtime(tmp_path, netns.path)
    runtime.install("main", "one", "two")
    runtime.config = {"delegates": [network("main", "primary")], **a_cluster_for(tmp_path, Case())}
    return runtime


def a_cluster_for(directory: Path, case: Case) -> dict[str, Any]:
    pod = manifest("web") if case.networks is None else manifest("web", networks=case.networks)
    objects = [pod, *(definition(name, network(name)) for name in ("one", "two"))]
    default = definition("default-net", network("main"))
    default["metadata"]["namespace"] = "kube-system"
    objects.append(default)
    if case.definition is not None:
        odd = definition("odd", {})
        odd["spec"]["config"] = case.definition
        objects.append(odd)
    return a_cluster(directory, *objects)


def test_a_request_without_a_fault_succeeds(runtime: Runtime) -> None:
    """What the table changes is what makes its requests fail."""
    assert runtime.request("ADD").status == 0
    assert runtime.talk() == ["ADD main eth0"]


@pytest.mark.parametrize("name", TABLE)
def test_a_malformed_request_is_answered_with_one_error_and_changes_nothing(
    runtime: Runtime, name: str
) -> None:
    case = TABLE[name]
    runtime.config |= a_cluster_for(runtime.directory, case)
    before = snapshot(runtime)

    answer = runtime.request(
        case.command, stdin=case.stdin, environment=case.environment, **case.config
    )

    assert answer.status == 1, answer
    error = json.loads(answer.stdout)
    assert isinstance(error, dict)
    assert {"code", "msg"} <= error.keys() <= {"cniVersion", "code", "msg", "details"}
    assert case.error in {None, error["code"]}, error
    assert error["code"] != 999, error
    assert 0 < len(error["msg"]) <= 300
    assert "Traceback" not in answer.stderr + answer.stdout
    assert snapshot(runtime) == before
    assert runtime.calls() == []


@pytest.mark.parametrize("path", NAMESPACES.values(), ids=NAMESPACES)
def test_a_namespace_that_is_none_leaves_a_record_at_most_which_del_removes(
    runtime: Runtime, path: str
) -> None:
    before = snapshot(runtime)

    answer = runtime.request("ADD", environment={"CNI_NETNS": path})

    assert (answer.status, answer.document["code"]) == (1, 8)
    assert path in answer.document["msg"]
    assert runtime.calls() == []
    assert runtime.request("DEL", environment={"CNI_NETNS": path}).status == 0
    assert snapshot(runtime) == before


def snapshot(runtime: Runtime) -> dict[str, bytes]:
    """Return the files on the node; what the cluster was told and plugins were asked are none."""
    ours = (runtime.cni_dir, runtime.bin_dir, runtime.books / "entries")
    return {
        os.path.join(top, name): Path(top, name).read_bytes()
        for directory in ours
        for top, _, names in os.walk(directory)
        for name in names
    }
