"""The manifests in the repository, and what they say of themselves elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from multus_py.version import VERSION
from tests.deploy.charts import CHART, HELM, ROOT, rendered
from tests.processes import eventually


def test_the_manifests_are_what_the_chart_renders(tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy" / "manifests", HELM, tmp_path], check=True)
    for name in ("multus-py.yaml", "uninstall.yaml"):
        written = (ROOT / "deploy" / name).read_text()
        assert (tmp_path / name).read_text() == written, "run make manifests"


def test_the_manifest_is_complete() -> None:
    with (ROOT / "deploy" / "multus-py.yaml").open() as file:
        kinds = [item["kind"] for item in yaml.safe_load_all(file)]
    assert kinds == [
        "CustomResourceDefinition",
        "ServiceAccount",
        "ConfigMap",
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
    ]


def test_the_definition_is_that_of_the_network_plumbing_working_group() -> None:
    release = rendered({}, "--include-crds")
    spec = release.only("CustomResourceDefinition")["spec"]
    assert (spec["group"], spec["scope"]) == ("k8s.cni.cncf.io", "Namespaced")
    assert spec["names"] == {
        "kind": "NetworkAttachmentDefinition",
        "plural": "network-attachment-definitions",
        "singular": "network-attachment-definition",
        "shortNames": ["nad", "net-attach-def"],
    }
    [version] = spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    assert (version["name"], version["served"], version["storage"]) == ("v1", True, True)
    assert schema["properties"]["spec"]["properties"]["config"]["type"] == "string"
    assert "required" not in schema


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_every_value_is_explained() -> None:
    documented = (ROOT / "docs" / "deploy.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    missing = [name for name in _names(values) if f"`{name}`" not in documented]
    assert missing == []


def _names(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the names of all values, down to those that are given to Kubernetes as they are."""
    given = {"resources", "nodeSelector", "updateStrategy", "podAnnotations"}
    names = []
    for key, value in values.items():
        if isinstance(value, dict) and value and key not in given:
            names += _names(value, f"{prefix}{key}.")
        else:
            names.append(f"{prefix}{key}")
    return names


def test_who_has_removed_waits_and_ends_at_once_when_told() -> None:
    """As the first process of its container, for which signals without a handler do not exist."""
    container = rendered({"remove": True}).pod.container("done")
    options: list[str] = [*container["command"][1:], *container["args"]]
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, *options]
    process = subprocess.Popen(command)
    try:
        [first] = eventually(lambda: _children(process.pid))
        eventually(lambda: _ends(process, first))
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ends(process: subprocess.Popen[bytes], first: int) -> bool:
    """Tell whether a process whose child is told to end has ended."""
    with suppress(ProcessLookupError):
        os.kill(first, signal.SIGTERM)
    return process.poll() is not None
