"""passthru: an empty result for every version that has one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from multus_py import passthru
from multus_py.cni import version


def answer(command: str, cni_version: str = "1.1.0", **environment: str) -> tuple[int, Any]:
    """Return the exit code and the JSON of passthru's answer, None if there is none."""
    config = {"cniVersion": cni_version, "name": "net", "type": "passthru"}
    variables = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "ctr",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
    }
    done = subprocess.run(
        [sys.executable, "-m", "multus_py.passthru"],
        env={**os.environ, **variables, **environment},
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout) if done.stdout else None


@pytest.mark.parametrize("cni_version", passthru.SUPPORTED)
def test_add_answers_an_empty_result_in_the_version_of_the_configuration(cni_version: str) -> None:
    assert answer("ADD", cni_version) == (0, {"cniVersion": cni_version})


@pytest.mark.parametrize("command", ["DEL", "CHECK", "STATUS", "GC"])
def test_everything_else_succeeds_silently(command: str) -> None:
    assert answer(command) == (0, None)


def test_version_leaves_out_what_has_no_empty_result() -> None:
    status, said = answer("VERSION")

    assert status == 0
    assert set(version.SUPPORTED) - set(said["supportedVersions"]) == {"0.1.0", "0.2.0"}


def test_a_version_without_empty_results_is_refused() -> None:
    status, said = answer("ADD", "0.2.0")

    assert (status, said["code"]) == (1, 1)
    assert "0.2.0" in said["msg"]


def test_a_malformed_request_is_refused() -> None:
    status, said = answer("ADD", CNI_IFNAME="")

    assert (status, said["code"]) == (1, 4)
    assert "CNI_IFNAME" in said["msg"]
