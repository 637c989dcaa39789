from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters import locks
from multus_py.adapters.process import Plugins
from multus_py.cni.errors import CniError, Code
from multus_py.core.ports import PluginCall
from tests.nodes import mounted, run
from tests.processes import PATIENCE, alive, output, outputs, python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


def refusal(path: str, seconds: float = 0.2) -> CniError:
    """Return why the lock cannot be had."""
    with pytest.raises(CniError) as caught, locks.held(path, seconds):
        pass
    return caught.value


# -- one at a time


COUNT = """
import pathlib, sys
from multus_py.adapters import locks

counter = pathlib.Path(sys.argv[2])
for _ in range(25):
    with locks.held(sys.argv[1], 60):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_processes_take_turns(tmp_path: Path, lock: str) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    outputs([python(COUNT, lock, counter) for _ in range(8)])
    assert counter.read_text() == "200"


def test_nothing_is_left_of_a_lock(tmp_path: Path, lock: str) -> None:
    with locks.held(lock, 0):
        assert os.stat(lock).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == []


def test_a_lock_is_given_back_over_an_error(lock: str) -> None:
    with pytest.raises(RuntimeError), locks.held(lock, 0):
        raise RuntimeError
    with locks.held(lock, 0):
        pass


def test_who_waits_too_long_is_told_to_come_again(lock: str) -> None:
    with locks.held(lock, 0):
        error = refusal(lock)
    assert error.code == Code.TRY_AGAIN_LATER
    assert "another request for this container is still at work" in error.cause


def test_who_has_no_time_left_still_gets_a_free_lock(lock: str) -> None:
    with locks.held(lock, -1):
        pass


@pytest.mark.usefixtures("node")
def test_a_lock_is_given_back_even_if_its_file_cannot_be_removed(tmp_path: Path, lock: str) -> None:
    with locks.held(lock, 0):
        heir = subprocess.Popen(["sleep", "1000"], close_fds=False)
        run("mount", "--bind", "-o", "ro", str(tmp_path), str(tmp_path))
    run("umount", str(tmp_path))
    with locks.held(lock, 0):
        assert alive(heir.pid)
    heir.kill()
    heir.wait()


# -- what cannot be locked


def test_a_lock_needs_its_directory(tmp_path: Path) -> None:
    error = refusal(str(tmp_path / "missing/lock"))
    assert error.code == Code.IO_FAILURE
    assert f"cannot lock {tmp_path}/missing/lock: No such file or directory" in error.cause


@pytest.mark.usefixtures("node")
def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro") as directory:
        assert refusal(str(directory / "lock")).code == Code.IO_FAILURE


@pytest.mark.usefixtures("node")
def test_a_full_disk_keeps_nobody_from_removing_a_pod(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=4k") as directory:
        (directory / "other").write_bytes(b"x" * 4096)
        with locks.held(str(directory / "lock"), 0):
            assert refusal(str(directory / "lock")).code == Code.TRY_AGAIN_LATER


# -- holders that were killed


HOLD = """
import sys, time
from multus_py.adapters import locks

with locks.held(sys.argv[1], 60):
    print("held", flush=True)
    time.sleep(1000)
"""


def killed(holder: subprocess.Popen[str]) -> str:
    """Kill a process once it has said something, and return what that was."""
    assert holder.stdout
    said = holder.stdout.readline().strip()
    holder.kill()
    holder.communicate()
    return said


def test_a_lock_ends_with_its_holder(lock: str) -> None:
    assert killed(python(HOLD, lock)) == "held"
    with locks.held(lock, PATIENCE):
        pass


HOLD_WITH_PLUGIN = """
import subprocess, sys, time
from multus_py.adapters import locks

with locks.held(sys.argv[1], 60):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    plugin = subprocess.Popen(["sleep", "1000"], close_fds=False, **quiet)
    print(plugin.pid, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def orphan(lock: str) -> Iterator[int]:
    """A plugin that holds the lock, and whose caller was killed."""
    pid = int(killed(python(HOLD_WITH_PLUGIN, lock)))
    assert alive(pid)
    yield pid
    if alive(pid):
        os.kill(pid, signal.SIGKILL)


def test_a_plugin_whose_caller_was_killed_is_ended(lock: str, orphan: int) -> None:
    with locks.held(lock, PATIENCE):
        assert not alive(orphan)


@pytest.mark.usefixtures("orphan")
def test_those_who_wait_for_an_orphan_do_not_end_each_other(tmp_path: Path, lock: str) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    outputs([python(COUNT, lock, counter) for _ in range(8)])
    assert counter.read_text() == "200"


def test_an_orphan_is_found_by_whatever_path(tmp_path: Path, lock: str, orphan: int) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with locks.held(str(tmp_path / "link/lock"), PATIENCE):
        assert not alive(orphan)


def test_a_plugin_whose_caller_lives_is_not_ended(lock: str) -> None:
    holder = python(HOLD_WITH_PLUGIN, lock)
    assert holder.stdout
    plugin = int(holder.stdout.readline())
    assert refusal(lock).code == Code.TRY_AGAIN_LATER
    assert alive(plugin)
    holder.kill()
    holder.communicate()
    os.kill(plugin, signal.SIGKILL)


IN_A_PID_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")

ELSEWHERE = """
import os, subprocess, sys

holder = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.PIPE)
plugin = int(holder.stdout.readline())
holder.kill()
holder.communicate()
print("orphaned", flush=True)
sys.stdin.read()
os.kill(plugin, 0)
"""


@pytest.mark.usefixtures("node")
def test_nobody_of_another_pid_namespace_is_ended(lock: str) -> None:
    """The numbers of processes there mean nothing here."""
    elsewhere = subprocess.Popen(
        [*IN_A_PID_NAMESPACE, sys.executable, "-c", ELSEWHERE, HOLD_WITH_PLUGIN, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert elsewhere.stdout
    assert elsewhere.stdout.readline() == "orphaned\n"
    assert refusal(lock).code == Code.TRY_AGAIN_LATER
    assert output(elsewhere) == ""


def test_a_daemon_that_a_plugin_left_behind_keeps_nobody_out(tmp_path: Path, lock: str) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\nsetsid sleep 1000 >&- 2>&- & echo $! > {tmp_path}/daemon")
    plugin.chmod(0o755)
    call = PluginCall(
        plugin="plugin", path=(str(tmp_path),), environment={}, stdin=b"", seconds=PATIENCE
    )
    with locks.held(lock, 0):
        Plugins(os.environ, own_executables=frozenset()).run(call)
    daemon = int((tmp_path / "daemon").read_text())
    with locks.held(lock, 0):
        assert alive(daemon)
    os.kill(daemon, signal.SIGKILL)


# -- locks that are lent to processes which somebody else starts


class LostError(Exception):
    """The other side is gone."""


def nobody(path: str) -> None:
    """End no orphans."""


def ending_with(error: Exception, lock: str) -> subprocess.Popen[bytes]:
    """Return a process that has inherited a lock whose taker's work has ended with an error."""
    heirs = []

    def work() -> None:
        with locks.held(lock, 0, leave_to_heirs=(LostError,)):
            heirs.append(subprocess.Popen(["sleep", "1000"], close_fds=False))
            raise error

    with pytest.raises(type(error)):
        work()
    return heirs[0]


@pytest.fixture
def heir(lock: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that a lock was left to, whose taker lives."""
    process = ending_with(LostError(), lock)
    yield process
    process.kill()
    process.wait()


def test_the_descriptor_of_a_lock_is_told(lock: str) -> None:
    with locks.held(lock, 0) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), os.stat(lock))
        assert os.get_inheritable(descriptor)


def test_a_lock_can_be_left_to_heirs(lock: str, heir: subprocess.Popen[bytes]) -> None:
    with pytest.raises(CniError), locks.held(lock, 0, end_orphans=nobody):
        pytest.fail("it was left to nobody")
    heir.kill()
    heir.wait()
    with locks.held(lock, 0, end_orphans=nobody):
        pass


def test_it_is_left_for_no_other_reason(lock: str) -> None:
    heir = ending_with(RuntimeError(), lock)
    with locks.held(lock, 0, end_orphans=nobody):
        assert alive(heir.pid)
    heir.kill()
    heir.wait()


def test_a_lock_that_was_left_without_heirs_is_free(lock: str) -> None:
    with pytest.raises(LostError), locks.held(lock, 0, leave_to_heirs=(LostError,)):
        raise LostError
    with locks.held(lock, 0, end_orphans=nobody):
        pass


def test_heirs_of_one_who_lives_and_has_left_the_lock_are_orphans(
    lock: str, heir: subprocess.Popen[bytes]
) -> None:
    with locks.held(lock, PATIENCE, end_orphans=locks.end_orphans):
        assert heir.poll() == -signal.SIGKILL or not alive(heir.pid)


def test_heirs_of_one_who_holds_the_lock_are_none(lock: str) -> None:
    with locks.held(lock, 0):
        heir = subprocess.Popen(["sleep", "1000"], close_fds=False)
        locks.end_orphans(lock)
        assert alive(heir.pid)
        heir.kill()
        heir.wait()


def test_there_are_no_orphans_without_a_lock(lock: str) -> None:
    locks.end_orphans(lock)


def test_a_process_knows_which_locks_it_holds(lock: str) -> None:
    assert not locks.held_here(lock)
    with locks.held(lock, 0):
        assert locks.held_here(lock)
        assert not locks.held_here(f"{lock}.other")
    assert not locks.held_here(lock)
    holder = python(HOLD, lock)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    assert not locks.held_here(lock)
    holder.kill()
    holder.communicate()
