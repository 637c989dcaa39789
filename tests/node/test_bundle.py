"""Bundles: copied whole, verified, repaired, and their program finds its loader where it lies."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from multus_py.cni.errors import CniError
from multus_py.node import bundle
from tests import snapshots
from tests.node import standin

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.node.bundle import Bundle


@pytest.fixture
def source(tmp_path: Path) -> Bundle:
    return standin.small(tmp_path / "source", "1.0.0")


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    directory = tmp_path / "versions"
    directory.mkdir()
    return directory


def test_a_copy_is_complete_and_called_as_what_is_in_it(source: Bundle, versions: Path) -> None:
    copy = bundle.unpacked(source, str(versions))

    assert os.listdir(versions) == [copy.name]
    assert copy.name == f"1.0.0-{source.listed['digest'][:12]}"
    assert bundle.read(copy.root) == copy
    assert all(map(copy.is_whole, copy.listed["files"]))
    assert os.readlink(os.path.join(copy.root, "bin/python")) == "python3"


def test_its_program_is_started_by_the_loader_that_it_carries(
    source: Bundle, versions: Path
) -> None:
    copy = bundle.unpacked(source, str(versions))

    assert copy.loader.encode() + b"\0" in Path(copy.program.interpreter).read_bytes()
    done = subprocess.run(
        [copy.program.interpreter, "-c", "print(open('/proc/self/maps').read())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert copy.loader in done.stdout


def test_it_can_be_copied_from_where_it_was_copied_to(source: Bundle, versions: Path) -> None:
    first = bundle.unpacked(source, str(versions))
    (versions / "further").mkdir()
    second = bundle.unpacked(first, str(versions / "further"))

    assert second.loader.encode() in Path(second.program.interpreter).read_bytes()
    assert all(map(second.is_whole, second.listed["files"]))


def spoil_content(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"#")


def spoil_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_content,
        spoil_by_link,
        Path.unlink,
        lambda path: path.chmod(0o777),
        lambda path: os.truncate(path, 5),
        lambda path: shutil.rmtree(path.parent),
    ],
)
@pytest.mark.parametrize("name", ["bin/python3", f"{standin.LIBRARY}/multus_py/later.py"])
def test_what_differs_is_repaired(
    source: Bundle, versions: Path, spoil: Callable[[Path], object], name: str
) -> None:
    copy = bundle.unpacked(source, str(versions))
    before = snapshots.taken(versions)
    path = Path(copy.root, name)
    spoil(path)
    assert snapshots.taken(versions) != before

    bundle.unpacked(source, str(versions))

    assert snapshots.taken(versions) == before


def test_a_program_that_looks_for_its_loader_elsewhere_is_repaired(
    source: Bundle, versions: Path
) -> None:
    copy = bundle.unpacked(source, str(versions))
    path = Path(copy.program.interpreter)
    path.write_bytes(bundle.with_loader(path.read_bytes(), "/lib/other.so"))

    bundle.unpacked(source, str(versions))

    assert copy.loader.encode() in path.read_bytes()


def test_a_link_that_leads_elsewhere_is_repaired(source: Bundle, versions: Path) -> None:
    copy = bundle.unpacked(source, str(versions))
    path = Path(copy.root, "bin/python")
    path.unlink()
    path.symlink_to("/nowhere")

    bundle.unpacked(source, str(versions))

    assert os.readlink(path) == "python3"


def test_what_is_right_is_not_touched(source: Bundle, versions: Path) -> None:
    """Processes may be running in it, and a repair is no upgrade."""
    copy = bundle.unpacked(source, str(versions))
    files = [Path(copy.root, path) for path in copy.listed["files"]]
    before = [path.lstat().st_ino for path in files]

    bundle.unpacked(source, str(versions))

    assert [path.lstat().st_ino for path in files] == before


@pytest.mark.parametrize("name", ["bin/python3", f"{standin.LIBRARY}/multus_py/shim.py"])
def test_a_damaged_bundle_is_not_copied(source: Bundle, versions: Path, name: str) -> None:
    spoil_content(Path(source.root, name))
    with pytest.raises(CniError, match=f"{name} is damaged"):
        bundle.unpacked(source, str(versions))
    assert not (versions / source.name).exists()


def test_what_an_earlier_attempt_has_left_is_in_nobodys_way(source: Bundle, versions: Path) -> None:
    left = versions / f".{source.name}.multus-py"
    (left / "bin/python3").mkdir(parents=True)

    copy = bundle.unpacked(source, str(versions))

    assert all(map(copy.is_whole, copy.listed["files"]))
    assert os.listdir(versions) == [copy.name]


def test_there_may_be_none() -> None:
    assert bundle.running() is None


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_a_list_that_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bundle.json").write_bytes(content)
    with pytest.raises(CniError, match=r"cannot read .*bundle\.json"):
        bundle.read(str(tmp_path))


def test_a_path_has_to_fit_into_the_program(source: Bundle) -> None:
    program = Path(source.program.interpreter).read_bytes()
    longest = "/" + "x" * 510
    assert longest.encode() + b"\0" in bundle.with_loader(program, longest)
    with pytest.raises(CniError, match="too long for a program"):
        bundle.with_loader(program, longest + "x")


@pytest.mark.parametrize("program", [b"#!/bin/sh\n", b"", b"\x7fELF\x01\x01"])
def test_only_programs_have_a_loader(program: bytes) -> None:
    with pytest.raises(CniError, match="no program of Linux"):
        bundle.with_loader(program, "/lib/loader.so")
