"""What each life of the executable imports: nothing that it does not need.

The plugin starts anew for every request of a runtime: every pod pays for a library too many.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.models import objects
from tests import kubelet
from tests.system.runtime import Runtime, a_cluster, definition, manifest, network

if TYPE_CHECKING:
    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

PROGRAM = """
import json, sys
from multus_py.__main__ import main
status = main()
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
own = {name for name in sys.modules if name.startswith("multus_py.")}
sys.stderr.write("\\nmodules=" + json.dumps([sorted(foreign), sorted(own)]))
sys.exit(status)
"""

INTERPRETER = ("__main__", "__mp_main__", "_sysconfigdata_", "_cython_", "cython_runtime")
"""How the names of modules begin that come with the interpreter or a compiler, not a library."""

EDITABLE = ("_virtualenv", "__editable__")
"""What a checkout has loaded before the program starts."""

KUBELET = Path("/var/lib/kubelet")
"""Empty on the node that tests have for themselves."""

MODELS = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
"""Paid for by every request that has a configuration."""


class Lives(Runtime):
    """A node whose plugin says what it imported."""

    def imported(self, command: str, **changes: Any) -> tuple[set[str], set[str]]:
        """Return the foreign packages and our own modules that a request has loaded."""
        answer = self.request(command, **changes)
        assert answer.status == 0, answer.stdout
        foreign, own = json.loads(answer.stderr.rpartition("\nmodules=")[2])
        libraries = {name for name in foreign if not name.startswith(INTERPRETER + EDITABLE)}
        return libraries - {"multus_py"} - site_packages(), set(own)


def site_packages() -> set[str]:
    """Return what a bare interpreter of this environment has loaded already."""
    program = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split()) - sys.stdlib_module_names


@pytest.fixture
def lives(tmp_path: Path, netns: Netns) -> Lives:
    runtime = Lives(tmp_path, netns.path, program=(sys.executable, "-c", PROGRAM))
    runtime.install("main", "one")
    runtime.config = {"delegates": [network("main", "primary")]}
    return runtime


def test_version_needs_nothing_but_the_specification(lives: Lives) -> None:
    foreign, own = lives.imported("VERSION")

    assert foreign == set()
    assert own == {
        "multus_py.__main__",
        "multus_py.cni",
        "multus_py.cni.errors",
        "multus_py.cni.version",
        "multus_py.output",
    }


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "STATUS", "GC"])
def test_stand_alone_needs_the_models_only(lives: Lives, command: str) -> None:
    lives.request("ADD")

    foreign, own = lives.imported(command)

    assert foreign == MODELS
    assert not any(name.startswith("multus_py.cli") for name in own)
    assert not own & {
        "multus_py.adapters.apiserver",
        "multus_py.adapters.kubelet",
        "multus_py.adapters.manifests",
        "multus_py.models.settings",
        "multus_py.models.standby",
    }


def test_only_manifests_need_yaml(lives: Lives) -> None:
    cluster = a_cluster(lives.directory, manifest("web"))

    assert lives.imported("ADD", **cluster)[0] == MODELS | {"yaml"}


def test_only_a_default_route_needs_netlink(lives: Lives, netns: Netns) -> None:
    cluster = a_cluster(
        lives.directory,
        manifest("web", networks='[{"name": "one", "default-route": []}]'),
        definition("one", network("one")),
    )

    assert "pyroute2" in lives.imported("ADD", **cluster)[0]


def test_only_a_cluster_needs_the_kubernetes_client_and_del_not_even_then(
    lives: Lives, kubeapi: KubeApi
) -> None:
    kubeapi.add("Pod", "web", uid="uid-web")
    config = str(kubeapi.kubeconfig(lives.directory))

    adding, _ = lives.imported("ADD", kubeconfig=config)
    deleting, _ = lives.imported("DEL", kubeconfig=config)

    assert "kubernetes" in adding
    assert not adding & {"click", "grpc", "pyroute2"}
    assert deleting == MODELS


def test_only_a_device_needs_grpc(lives: Lives, kubeapi: KubeApi) -> None:
    for network_name, resource in (("plain", {}), ("card", {objects.RESOURCE_NAME: "v.com/nic"})):
        config = json.dumps(network("one"))
        kubeapi.add(
            "NetworkAttachmentDefinition",
            network_name,
            annotations=resource,
            spec={"config": config},
        )
    pods = [kubelet.pod(kubelet.container({"v.com/nic": ["0000:03:02.0"]}), name="web")]

    with kubelet.serving(KUBELET, pods):  # in one test, as the node has one kubelet
        plain, plain_own = imported_for(lives, kubeapi, "plain")
        card, card_own = imported_for(lives, kubeapi, "card")

    assert ("grpc" in plain, "grpc" in card) == (False, True)
    assert card_own - plain_own >= {
        "multus_py.adapters.kubelet",
        "multus_py.adapters.podresources_pb2",
    }
    asked = [call["stdin"].get("deviceID") for call in lives.calls() if call["type"] == "one"]
    assert asked == [None, "0000:03:02.0"]


def imported_for(lives: Lives, kubeapi: KubeApi, networks: str) -> tuple[set[str], set[str]]:
    kubeapi.add("Pod", "web", uid="uid-web", annotations={objects.NETWORKS: networks})
    return lives.imported("ADD", kubeconfig=str(kubeapi.kubeconfig(lives.directory)))
