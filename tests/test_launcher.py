from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from multus_py import launcher
from multus_py.cli import launcher as command_line
from multus_py.cni.errors import CniError
from multus_py.launcher import MicroPython, Program
from tests.shims import Installation, Scripted

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_complete_and_executable(tmp_path: Path) -> None:
    path = Installation(tmp_path).write()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    compile(path.read_text(), path, "exec")
    assert path.read_text().startswith(f"#!{sys.executable} -IS\n")
    assert os.listdir(tmp_path) == ["multus-py"]


def test_an_older_one_is_replaced_and_not_changed(tmp_path: Path) -> None:
    """A runtime may be executing it at this moment."""
    path = Installation(tmp_path).write()
    with path.open() as older:
        launcher.write(str(path), "newer")
        assert older.read().startswith("#!")
    assert path.read_text() == "newer"


def test_nothing_is_left_of_one_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "multus-py/below").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        launcher.write(str(tmp_path / "multus-py"), "text")
    assert os.listdir(tmp_path) == ["multus-py"]


@pytest.mark.parametrize("name", ["it's", 'say "hi"', "zwölf", "back\\slash", "{braces}"])
def test_paths_may_have_any_characters(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    shim = Installation(tmp_path / name)
    plugin = shim.plugin("echo run")
    with Scripted(shim.socket) as daemon:
        call = shim.start()
        talk = daemon.accepted()
        assert talk.run(plugin).stdout == b"run\n"
        talk.answer(b"{}")
        assert call.ended() == (0, b"{}", b"")


def test_the_command_line_writes_one_that_works(tmp_path: Path) -> None:
    shim = Installation(tmp_path)
    plugin = shim.plugin("echo run")
    arguments = ["--socket-dir", os.path.dirname(shim.socket), "--bin-dir", str(shim.bin_dir)]
    command_line.command.main(
        [str(shim.launcher), *arguments, "--patience", "60"], standalone_mode=False
    )
    with Scripted(shim.socket) as daemon:
        child = subprocess.Popen(
            [shim.launcher], env={"CNI_COMMAND": "ADD"}, stdin=subprocess.DEVNULL
        )
        talk = daemon.accepted()
        assert talk.run(plugin).stdout == b"run\n"
        talk.answer()
        assert child.wait() == 0


PROGRAM = Program("/opt/cni/multus-py/bin/python3", "/opt/cni/multus-py/lib")
SMALL = MicroPython("/opt/cni/multus-py/bin/micropython", "/opt/cni/multus-py/lib/shim.romfs")


def test_ours_are_known_by_their_content() -> None:
    leaving = launcher.leaving_text(PROGRAM, socket_dir="/run/multus-py", lib_dir="/opt")
    programs = (PROGRAM, replace(PROGRAM, micropython=SMALL))
    daemon = [
        launcher.text("/x", program=program, socket="/run/multus-py.sock", directories=())
        for program in programs
    ]
    for text in (leaving, *daemon, launcher.passthru_text(PROGRAM)):
        compile(text, "launcher", "exec")
        assert launcher.is_ours(text.encode())
        assert launcher.is_ours(text.encode()[:1000])


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", b"#!/bin/sh\n# multus-py: mine\n", b"\x7fELF multus-py", b"\n\n"],
)
def test_nothing_else_is_taken_for_ours(content: bytes) -> None:
    assert not launcher.is_ours(content)


@pytest.mark.parametrize("interpreter", ["/a b/python3", "/a\tb", "/a\n", f"/{'x' * 250}"])
def test_an_interpreter_that_the_kernel_cannot_execute_is_refused(interpreter: str) -> None:
    with pytest.raises(CniError, match="executes no script"):
        launcher.passthru_text(Program(interpreter, "/lib"))


def test_the_longest_path_is_executed(tmp_path: Path) -> None:
    room = 255 - len(f"#!{tmp_path}/ -IS")
    program = tmp_path / ("x" * room)
    program.symlink_to(sys.executable)
    path = tmp_path / "passthru"
    library = launcher.package_directory()
    text = launcher.passthru_text(Program(str(program), library))
    launcher.write(str(path), text)
    done = subprocess.run([path], env={"CNI_COMMAND": "VERSION"}, capture_output=True, check=True)
    assert b"1.1.0" in done.stdout
