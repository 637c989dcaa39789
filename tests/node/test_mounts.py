"""Paths of this container and of the host."""

from __future__ import annotations

import os
from contextlib import chdir
from typing import TYPE_CHECKING

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.node import mounts
from tests import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def memory(node: None, tmp_path: Path) -> Iterator[Path]:
    with nodes.mounted(tmp_path / "a memory", "mode=755") as mounted:
        yield mounted


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/host/opt/cni/bin", "/opt/cni/bin"),
        ("/opt/cni/bin", "/opt/cni/bin"),
        ("/hosts/opt", "/hosts/opt"),
        ("/host", "/host"),
    ],
)
def test_the_host_is_mounted_below_host(path: str, there: str) -> None:
    assert mounts.on_host(path) == there


def test_only_a_mounted_file_system_in_memory_is_one(memory: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert not mounts.is_in_memory(str(tmp_path / "missing"))
    assert not mounts.is_in_memory(str(disk))
    assert not mounts.is_in_memory("/proc")
    deeper = memory / "deeper"
    deeper.mkdir()
    assert mounts.is_in_memory(str(memory))
    with chdir(memory):
        assert not mounts.is_in_memory("")
    assert not mounts.is_in_memory(str(deeper))
    nodes.run("mount", "--bind", str(deeper), str(disk))
    try:
        assert mounts.is_in_memory(str(disk))
    finally:
        nodes.run("umount", str(disk))


def bound(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    nodes.run("mount", "--bind", str(source), str(target))


@pytest.mark.parametrize(
    ("host_path", "same"),
    [
        ("/opt/cni/bin", True),  # a file system of its own at /opt, or one of several trees
        ("/var/opt/cni/bin", True),
        ("/cni/bin", True),
        ("/bin", True),
        ("/var/lib/cni", False),
        ("/other/bin", False),
    ],
)
def test_what_is_mounted_tells_which_directory_it_is(
    memory: Path, tmp_path: Path, host_path: str, *, same: bool
) -> None:
    source, path = memory / "opt/cni/bin", tmp_path / "host/opt/cni/bin"
    source.mkdir(parents=True)
    bound(source, path)
    try:
        if same:
            mounts.require_same(str(path), host_path, "--flag")
        else:
            with pytest.raises(CniError) as raised:
                mounts.require_same(str(path), host_path, "--flag")
            assert raised.value.code == Code.INVALID_CONFIGURATION
            assert "/opt/cni/bin is mounted there" in raised.value.cause
            assert "--flag" in raised.value.hint
    finally:
        nodes.run("umount", str(path))


def test_a_whole_file_system_can_be_any_directory(memory: Path) -> None:
    mounts.require_same(str(memory), "/var/lib/somewhere/else", "--flag")


def test_a_path_of_the_host_leads_to_the_directory(tmp_path: Path) -> None:
    directory, there = tmp_path / "host/opt/bin", tmp_path / "opt/bin"
    directory.mkdir(parents=True)
    for _ in range(2):
        mounts.link(str(directory), str(there))
        assert os.path.samefile(directory, there)
    mounts.link(str(directory), str(directory))
    assert directory.is_dir()


def test_a_directory_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    directory, other = tmp_path / "host", tmp_path / "opt"
    directory.mkdir()
    other.mkdir()
    with pytest.raises(CniError, match=f"{other} cannot be made to lead to {directory}: File ex"):
        mounts.link(str(directory), str(other))
