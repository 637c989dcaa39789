from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli import trials
from tests.processes import alive, eventually, output, python

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, sys
from multus_py.cli.warden import Warden
sys.exit(Warden().run(sys.argv[1:], os.environ))
"""
STUBBORN = """
import pathlib, signal, subprocess, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
sleeper = subprocess.Popen(["sleep", "1000"])
memory = b"x" * (256 << 20)  # to give back takes the kernel a while
pathlib.Path(sys.argv[1], "started").touch()
sleeper.wait()
"""
NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def ended(*command: str) -> int:
    return subprocess.run([sys.executable, "-c", PROGRAM, *command], check=False).returncode


def test_a_program_ends_us_with_its_exit_code() -> None:
    assert ended("sh", "-c", "exit 7") == 7


def test_a_program_that_was_killed_ends_us_as_a_shell_would() -> None:
    assert ended("sh", "-c", "kill -KILL $$") == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_pid_namespace_and_then_us(tmp_path: Path, number: signal.Signals) -> None:
    marked = ("env", f"WARDEN_TEST={tmp_path}")
    child = python(PROGRAM, *marked, *NAMESPACE, sys.executable, "-c", STUBBORN, str(tmp_path))
    eventually((tmp_path / "started").exists)
    members = trials.processes_with(f"WARDEN_TEST={tmp_path}")
    assert len(members) >= 3

    child.send_signal(number)
    child.communicate(timeout=60)

    assert not any(alive(int(pid)) for pid in members)
    assert child.returncode == -number


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As nohup wants it."""
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    child = python(ignoring + PROGRAM, "sh", "-c", "echo started; read line; echo $line")
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"

    child.send_signal(signal.SIGHUP)

    assert child.communicate("still here\n", timeout=60)[0] == "still here\n"
    assert child.returncode == 0


def test_a_terminal_does_not_reach_the_program() -> None:
    child = python(PROGRAM, "sh", "-c", "ps -o sid= -p $$; echo $$")
    session, pid = output(child).split()
    assert session == pid


def test_an_inherited_descriptor_stays_open(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"content")
    os.close(writer)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "cat", f"/dev/fd/{reader}"],
        pass_fds=[reader],
        stdout=subprocess.PIPE,
        check=False,
    )
    os.close(reader)
    assert done.stdout == b"content"
