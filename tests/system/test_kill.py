"""kill -9 at every step of ADD and DEL; then a DEL, and nothing is left."""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.runtime import Runtime, a_cluster, definition, manifest, network

if TYPE_CHECKING:
    from tests.nodes import Netns

KILLER = (sys.executable, str(Path(__file__).with_name("killer.py")))
"""The plugin in a process that ends itself with SIGKILL at its N-th step (``KILL_AT``)."""


@pytest.fixture
def runtime(tmp_path: Path, netns: Netns) -> Runtime:
    """Return a node with a pod on three networks."""
    runtime = Runtime(tmp_path, netns.path)
    runtime.install("main", "one", "two")
    runtime.config = {
        "delegates": [network("main", "primary")],
        **a_cluster(
            tmp_path,
            manifest("web", networks="one,two"),
            definition("one", network("one")),
            definition("two", network("two")),
        ),
    }
    return runtime


def steps(runtime: Runtime, command: str) -> int:
    """Return how many steps a whole request has, having made it."""
    runtime.program = KILLER
    answer = runtime.request(command)
    assert answer.status == 0, answer.stdout
    return int(answer.stderr.rpartition("steps=")[2])


def nothing_left(runtime: Runtime) -> bool:
    return runtime.state() == ([], {})


def test_an_add_that_is_killed_at_any_step_is_undone_by_del(runtime: Runtime) -> None:
    """Directories are made by the first of them alone, so nobody knows how many steps there are."""
    runtime.program = KILLER
    for step in count(1):
        killed = runtime.request("ADD", environment={"KILL_AT": str(step)})
        answer = runtime.request("DEL")
        assert answer.status == 0, f"step {step}: {answer.stdout}"
        assert nothing_left(runtime), f"step {step}: {runtime.state()}"
        if killed.stderr == f"steps={step - 1}":
            assert (killed.status, step > 20) == (0, True)
            return
        assert killed.status == -9, f"step {step}: {killed.stdout}"


def test_a_del_that_is_killed_at_any_step_is_finished_by_the_next(runtime: Runtime) -> None:
    assert runtime.request("ADD").status == 0
    total = steps(runtime, "DEL")
    assert nothing_left(runtime)

    for step in range(1, total + 1):
        assert runtime.request("ADD").status == 0
        killed = runtime.request("DEL", environment={"KILL_AT": str(step)})
        assert killed.status == -9, f"step {step}: {killed.stdout}"
        answer = runtime.request("DEL")
        assert answer.status == 0, f"step {step}: {answer.stdout}"
        assert nothing_left(runtime), f"step {step}: {runtime.state()}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("plugin", ["main", "one", "two"])
def test_an_add_that_a_delegate_kills_is_undone_by_del(
    runtime: Runtime, plugin: str, moment: str
) -> None:
    runtime.behave(**{plugin: {"ADD": {"kill": moment}}})
    assert runtime.request("ADD").status == -9

    assert runtime.request("DEL").status == 0

    assert nothing_left(runtime)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("plugin", ["main", "one", "two"])
def test_a_del_that_a_delegate_kills_is_finished_by_the_next(
    runtime: Runtime, plugin: str, moment: str
) -> None:
    assert runtime.request("ADD").status == 0
    runtime.behave(**{plugin: {"DEL": {"kill": moment}}})
    assert runtime.request("DEL").status == -9
    runtime.behave()

    assert runtime.request("DEL").status == 0

    assert nothing_left(runtime)


def test_a_delegate_that_outlives_its_killed_caller_does_not_attach_behind_dels_back(
    runtime: Runtime,
) -> None:
    """The orphan sleeps before it would enter its attachment; DEL must not miss that entry."""
    runtime.behave(one={"ADD": {"sleep": 30}})
    caller = runtime.start("ADD")
    assert caller.stdin is not None
    caller.stdin.write(json.dumps(runtime.written()).encode())
    caller.stdin.close()
    while "ADD one net1" not in runtime.talk():
        assert caller.poll() is None
    caller.kill()
    caller.wait()
    for pipe in (caller.stdout, caller.stderr):
        assert pipe is not None
        pipe.close()
    runtime.behave()

    assert runtime.request("DEL").status == 0

    assert nothing_left(runtime)


def test_what_a_killed_add_has_attached_is_never_given_up(runtime: Runtime) -> None:
    """There is no cached result; what counts is that the plugin was started."""
    runtime.behave(two={"ADD": {"kill": "after"}, "DEL": {"fail": {"code": 100, "msg": "busy"}}})
    assert runtime.request("ADD").status == -9

    for _ in range(7):
        assert runtime.request("DEL").status == 1

    assert runtime.entries() == ["ctr-net2-two"]
    runtime.behave()
    assert runtime.request("DEL").status == 0
    assert nothing_left(runtime)


def test_what_a_killed_add_left_is_collected_if_no_del_ever_comes(runtime: Runtime) -> None:
    runtime.behave(two={"ADD": {"kill": "after"}})
    assert runtime.request("ADD").status == -9
    runtime.behave()

    listed: dict[str, Any] = {"cni.dev/valid-attachments": []}
    assert runtime.request("GC", **listed).status == 0

    assert runtime.entries() == []
    assert [name for name in runtime.files() if not name.endswith(".lock")] == []
