"""The manifest: there with its directory, and only ever a whole one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from multus_py.cni.errors import CniError
from multus_py.node import manifest
from tests.nodes import mounted


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2}', '{"format": 1, "x": 1}'])
def test_a_manifest_of_somebody_else_is_not_acted_on(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(CniError, match="is no manifest of multus-py"):
        manifest.read(str(tmp_path))


def test_a_manifest_says_what_it_said(tmp_path: Path) -> None:
    places = manifest.Places(bin_dir="/a", cni_dir="/b")
    written = manifest.Manifest(
        places=(places, replace(places, bin_dir="/c")),
        launchers=("/a/x",),
        versions=("1", "2"),
        made=("/a",),
        given=("/d/e",),
        leaving=True,
    )
    lib_dir = str(tmp_path / "deep/er/lib")
    manifest.write(lib_dir, written)
    assert manifest.read(lib_dir) == written
    manifest.write(lib_dir, replace(written, leaving=False))
    assert manifest.read(lib_dir) == replace(written, leaving=False)
    assert os.listdir(lib_dir) == ["manifest.json"]


def test_there_may_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert manifest.read(str(tmp_path)) is None
    assert manifest.read(str(tmp_path / "file/below")) is None


def test_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(CniError, match=r"cannot read .*manifest\.json: Is a directory"):
        manifest.read(str(tmp_path))


def test_what_was_begun_is_forgotten(tmp_path: Path) -> None:
    begun = Path(manifest.temporary(str(tmp_path / "opt")))
    (begun / "cni/multus-py").mkdir(parents=True)
    manifest.forget(str(tmp_path / "opt/cni/multus-py"))
    assert os.listdir(tmp_path) == []


def test_missing_directories_are_named_from_the_outside(tmp_path: Path) -> None:
    inner = tmp_path / "a/b"
    assert manifest.missing(str(inner)) == (str(tmp_path / "a"), str(inner))
    assert manifest.missing(str(tmp_path)) == ()


def test_it_is_written_where_its_directory_is_a_file_system_of_its_own(
    node: None, tmp_path: Path
) -> None:
    known = manifest.Manifest(places=(manifest.Places(),))
    with mounted(tmp_path / "lib", "size=64k") as directory:
        manifest.write(str(directory), known)
        assert manifest.read(str(directory)) == known
    assert os.listdir(tmp_path) == ["lib"]
