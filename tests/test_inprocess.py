"""The plugin's process: streams, log and what it makes of a failure of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.runtime import Runtime, network

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nodes import Netns

GONE = {"fail": {"code": 7, "msg": "the bridge is gone"}}

BROKEN = """
import sys
from multus_py import inprocess
def broken(session):
    raise LookupError("no such thing")
inprocess.answer.add.add = broken
sys.exit(inprocess.main())
"""


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns) -> Runtime:
    made = Runtime(tmp_path, netns.path, config={"delegates": [network("main", "primary")]})
    made.install("main")
    return made


def test_a_bug_is_an_error_object_too_and_its_stack_is_for_the_log(
    runtime: Runtime, tmp_path: Path
) -> None:
    runtime.program = (sys.executable, "-c", BROKEN)
    log = tmp_path / "multus.log"

    answer = runtime.request("ADD", logFile=str(log), logLevel="debug", logToStderr=False)

    assert answer.status == 1
    assert "LookupError: no such thing" in answer.document["msg"]
    assert "report this as a bug" in answer.document["msg"]
    assert "Traceback" not in answer.stdout + answer.stderr
    assert "Traceback" in log.read_text()


def test_each_request_leaves_one_line_in_the_log(runtime: Runtime, tmp_path: Path) -> None:
    log = tmp_path / "multus.log"
    logging: dict[str, Any] = {"logFile": str(log), "logLevel": "verbose"}

    runtime.request("ADD", **logging)
    runtime.behave(main={"CHECK": GONE})
    runtime.request("CHECK", **logging)

    added, checked = (line for line in log.read_text().splitlines() if "container=" in line)
    assert re.search(r"ADD container=ctr ifname=eth0 netns=\S+ ms=\d+: ok$", added)
    assert re.search(r"CHECK container=ctr .*: .*the bridge is gone", checked)


def test_from_level_error_an_error_is_told_on_standard_error_too(runtime: Runtime) -> None:
    runtime.behave(main={"ADD": GONE})

    assert runtime.request("ADD").stderr == ""
    assert "the bridge is gone" in runtime.request("ADD", logLevel="error").stderr
    assert runtime.request("ADD", logLevel="error", logToStderr=False).stderr == ""


def test_without_standard_input_there_is_no_configuration() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m multus_py <&-"],
        env={
            **os.environ,
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": "ctr",
            "CNI_NETNS": "/proc/self/ns/net",
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/opt/cni/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert '"code": 6' in done.stdout
