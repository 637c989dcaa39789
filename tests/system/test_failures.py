"""Plugins, disks and callers that fail, with a real process between them and the books."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.nodes import Netns, mounted
from tests.processes import alive, eventually
from tests.system.runtime import Runtime, a_cluster, definition, manifest, network

if TYPE_CHECKING:
    from pathlib import Path

PLUGINS = ("main", "one", "two")


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns) -> Runtime:
    """Return a node with a pod on three networks."""
    runtime = Runtime(tmp_path, netns.path)
    runtime.install(*PLUGINS)
    runtime.config = {
        "delegates": [network("main", "primary")],
        "requestTimeout": 20,
        **a_cluster(
            tmp_path,
            manifest("web", networks="one,two"),
            definition("one", network("one")),
            definition("two", network("two")),
        ),
    }
    return runtime


def released(runtime: Runtime) -> bool:
    """Tell whether a DEL succeeds and leaves nothing."""
    runtime.behave()
    return runtime.request("DEL").status == 0 and runtime.state() == ([], {})


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"fail": {"code": 7, "msg": "no address left"}}, "no address left"),
        ({"print": "all fine"}, "not JSON"),
        ({"print": ""}, "no result"),
        ({"print": '{"cniVersion": "8.0.0"}'}, "8.0.0"),
        ({"print": '{"cniVersion": "1.0.0", "ips": [{"address": "x"}]}'}, "address"),
        ({"print": "x" * 5_000_000}, "4 MiB"),
        ({"sleep": 60}, "no answer within"),
    ],
    ids=["error", "garbage", "nothing", "version", "address", "megabytes", "hangs"],
)
def test_whatever_a_plugin_does_wrong_nothing_stays_attached(
    runtime: Runtime, plugin: str, behaviour: dict[str, Any], words: str
) -> None:
    runtime.behave(**{plugin: {"ADD": behaviour}})

    answer = runtime.request("ADD")

    assert answer.status == 1
    assert words in answer.document["msg"]
    assert f"plugin {plugin}" in answer.document["msg"]
    assert len(answer.document["msg"]) <= 300
    assert runtime.entries() == []
    assert released(runtime)


def test_a_plugins_standard_error_appears_in_ours(runtime: Runtime) -> None:
    path = runtime.bin_dir / "one"
    path.write_text("#!/bin/sh\necho this is why >&2\nexit 3\n")

    answer = runtime.request("ADD")

    assert "this is why" in answer.stderr
    assert "this is why" in answer.document["msg"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_plugin_at_work_and_undoes_the_rest(
    runtime: Runtime, number: signal.Signals
) -> None:
    runtime.behave(two={"ADD": {"sleep": 60}})
    child = runtime.begin("ADD")
    eventually(lambda: "ADD two net2" in runtime.talk())

    child.send_signal(number)
    stdout, stderr = child.communicate(timeout=60)

    assert child.returncode == 1
    assert number.name in json.loads(stdout)["msg"]
    assert b"Traceback" not in stderr
    assert runtime.entries() == []
    assert released(runtime)


def test_a_runtime_that_no_longer_listens_gets_no_stack_trace(runtime: Runtime) -> None:
    child = runtime.begin("ADD")
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    _, stderr = child.communicate(timeout=60)

    assert child.returncode == 1
    assert stderr == b"multus-py: cannot print the answer: [Errno 32] Broken pipe\n"
    assert released(runtime)


def test_two_requests_for_one_container_take_turns(runtime: Runtime) -> None:
    runtime.behave(one={"ADD": {"sleep": 1}})
    adding = runtime.begin("ADD")
    eventually(lambda: "ADD one net1" in runtime.talk())

    answer = runtime.request("DEL")
    adding.communicate(timeout=60)

    assert (adding.returncode, answer.status) == (0, 0)
    talk = runtime.talk()
    assert talk.index("ADD two net2") < talk.index("DEL two net2")
    assert runtime.state() == ([], {})


def test_a_container_that_stays_busy_is_tried_again_later(runtime: Runtime) -> None:
    runtime.behave(one={"ADD": {"sleep": 30}})
    adding = runtime.begin("ADD", requestTimeout=100)
    eventually(lambda: "ADD one net1" in runtime.talk())

    answer = runtime.request("DEL", requestTimeout=5)

    assert (answer.status, answer.document["code"]) == (1, 11)
    assert alive(adding.pid)
    adding.terminate()
    adding.communicate(timeout=60)
    assert released(runtime)


def test_requests_for_different_containers_do_not_wait_for_each_other(runtime: Runtime) -> None:
    children = [runtime.begin("ADD", container_id=f"ctr{number}") for number in range(5)]

    for child in children:
        child.communicate(timeout=60)

    assert {child.returncode for child in children} == {0}
    assert len(runtime.entries()) == 15


@pytest.mark.parametrize("kilobytes", range(0, 72, 8))
def test_a_full_disk_attaches_nothing(runtime: Runtime, kilobytes: int) -> None:
    """The disk is full after so many kilobytes, which is at another file each time."""
    with mounted(runtime.cni_dir, "size=72k"):
        ballast = runtime.cni_dir / ".ballast"
        ballast.write_bytes(b"x" * kilobytes * 1024)

        answer = runtime.request("ADD")

        if answer.status:
            assert answer.document["code"] == 5
            assert runtime.entries() == []
        ballast.unlink()
        assert released(runtime)


def test_a_read_only_disk_attaches_nothing(runtime: Runtime) -> None:
    with mounted(runtime.cni_dir, "ro"):
        answer = runtime.request("ADD")

    assert (answer.status, answer.document["code"]) == (1, 5)
    assert runtime.calls() == []


def test_files_are_for_root_only(runtime: Runtime) -> None:
    assert runtime.request("ADD").status == 0

    modes = {
        str(path.relative_to(runtime.directory)): path.stat().st_mode & 0o777
        for path in (runtime.cni_dir, *runtime.cni_dir.rglob("*"))
    }
    assert modes == {
        "cni": 0o700,
        "cni/ctr": 0o600,
        "cni/results": 0o700,
        "cni/results/primary-ctr-eth0": 0o600,
        "cni/results/one-ctr-net1": 0o600,
        "cni/results/two-ctr-net2": 0o600,
    }


def test_a_delegate_that_leads_back_to_us_by_another_name_is_refused(runtime: Runtime) -> None:
    launcher = runtime.bin_dir / "launcher"
    launcher.write_text(f"#!/bin/sh\nexec {' '.join(runtime.program)}\n")
    launcher.chmod(0o755)

    answer = runtime.request("ADD", delegates=[network("launcher", "loop")])

    assert answer.status == 1
    assert "leads back to this plugin" in answer.document["msg"]
    assert runtime.calls() == []
