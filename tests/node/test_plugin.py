"""The executable is put where the host has it, however the container calls that."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.node import plugin
from tests import powercut
from tests.processes import eventually, python


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.write_text("#!/bin/sh\necho new\n")
    source.chmod(0o755)
    return source


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def test_a_copy_has_content_and_mode(source: Path, directory: Path) -> None:
    for mode in (0o755, 0o711):
        source.chmod(mode)
        plugin.copy(str(source), str(directory / "multus"))
        assert (directory / "multus").read_bytes() == source.read_bytes()
        assert stat.S_IMODE((directory / "multus").stat().st_mode) == mode
    assert [path.name for path in directory.iterdir()] == ["multus"]


def test_a_program_is_replaced_while_it_runs(source: Path, directory: Path) -> None:
    target = directory / "multus"
    target.write_bytes(Path(shutil.which("sleep") or "").read_bytes())
    target.chmod(0o755)
    running = python("import os, sys; os.execv(sys.argv[1], ['sleep', '600'])", target)
    try:
        eventually(lambda: str(target) == os.readlink(f"/proc/{running.pid}/exe"))
        plugin.copy(str(source), str(target))
        assert running.poll() is None
    finally:
        running.kill()
        running.communicate()
    assert target.read_bytes() == source.read_bytes()


def test_a_failure_leaves_nothing(source: Path, directory: Path) -> None:
    (directory / "multus").mkdir()
    for wrong, why in ((source, "Is a directory"), (directory / "no", "No such file")):
        with pytest.raises(CniError) as raised:
            plugin.copy(str(wrong), str(directory / "multus"))
        assert raised.value.code == Code.IO_FAILURE
        assert f"cannot copy {wrong} to {directory}/multus: {why}" in raised.value.cause
        assert [path.name for path in directory.iterdir()] == ["multus"]


def test_a_copy_is_whole_whenever_the_power_fails(source: Path, directory: Path) -> None:
    target = directory / "multus"

    def prepare() -> None:
        target.write_text("old")

    def check(calls: int) -> None:
        assert target.read_text() in {"old", source.read_text()}, calls
        plugin.copy(str(source), str(target))
        assert [path.name for path in directory.iterdir()] == ["multus"]

    assert powercut.at_every_call(lambda: plugin.copy(str(source), str(target)), prepare, check)


def test_a_directory_that_is_not_the_hosts_gets_nothing(tmp_path: Path, directory: Path) -> None:
    target = plugin.Target(
        bin_dir=str(directory), bin_dir_host=str(tmp_path / "there"), flag="--flag"
    )
    (tmp_path / "there").mkdir()
    with pytest.raises(CniError, match="cannot be made to lead to"):
        plugin.install(target, [])
    assert list(directory.iterdir()) == []


def test_it_starts_by_the_hosts_path(node: None) -> None:
    with tempfile.TemporaryDirectory(dir="/run") as short:  # as sockets want it
        directory, there = Path(short, "here"), Path(short, "there/bin")
        directory.mkdir()
        target = plugin.Target(
            bin_dir=str(directory),
            bin_dir_host=str(there),
            flag="--flag",
            socket_dir=f"{short}/run",
            conf_dir=f"{short}/net.d",
        )
        done = plugin.install(target, ["multus"])
        names = ["multus", "multus-py", "passthru"]
        assert sorted(done.launchers) == [str(there / name) for name in names]
        assert sorted(path.name for path in directory.iterdir()) == [".multus-py", *names]
        assert f"launcher='{there}/multus'" in (directory / "multus").read_text()
