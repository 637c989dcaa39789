"""Packages of Debian: locked for every architecture, refused if they are others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy import debian
from deploy.architecture import ARCHITECTURES
from deploy.debian import Package

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_architectures_get_the_same_versions() -> None:
    versions = [
        {(package.name, package.version) for package in debian.locked(architecture)}
        for architecture in ARCHITECTURES
    ]

    assert len(versions[0]) > 10
    assert all(others == versions[0] for others in versions)


def test_a_package_that_was_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    package = Package("amd64", "zlib1g", "1:1.3", EMPTY)
    file = tmp_path / "zlib1g_1%3a1.3_amd64.deb"
    file.touch()

    assert debian.fetch([package], str(tmp_path)) == [str(file)]


def test_a_package_with_another_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "libc6_2.41_arm64.deb").write_bytes(b"something else")

    with pytest.raises(SystemExit, match=r"libc6_2\.41_arm64\.deb is not what debian\.lock names"):
        debian.fetch([Package("arm64", "libc6", "2.41", EMPTY)], str(tmp_path))


class Shelf(debian.Apt):
    """An archive that has one version of each package."""

    def __init__(self, version: str) -> None:
        super().__init__("/nowhere", "amd64")
        self.version = version

    def has(self, package: Package) -> bool:
        return package.version == self.version

    def __call__(self, *arguments: str, directory: str = "/") -> None:
        name = arguments[1].partition("=")[0]
        Path(directory, f"{name}_{self.version}_amd64.deb").touch()


def test_of_a_package_whose_version_has_gone_the_newest_is_taken_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = debian.downloaded(Shelf("2.0"), Package("amd64", "libc6", "1.0", EMPTY), str(tmp_path))
    assert file == str(tmp_path / "libc6_2.0_amd64.deb")
    assert os.path.exists(file)
    assert "Debian has no libc6 1.0 any more" in capsys.readouterr().err


def test_a_version_that_is_there_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = debian.downloaded(Shelf("1.0"), Package("amd64", "libc6", "1.0", EMPTY), str(tmp_path))
    assert file == str(tmp_path / "libc6_1.0_amd64.deb")
    assert capsys.readouterr().err == ""
