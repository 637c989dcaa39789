"""``install_multus`` as Multus's init containers call it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from multus_py.cli.install_multus import command

if TYPE_CHECKING:
    from collections.abc import Iterator


def install(directory: Path, *flags: str) -> tuple[int, str]:
    socket_dir = f"--socket-dir={directory.parent}/run"
    host = f"--dest-dir-host={directory}"
    done = CliRunner().invoke(command, [*flags, "-d", str(directory), socket_dir, host])
    return done.exit_code, done.output


@pytest.fixture
def directory(node: None) -> Iterator[Path]:
    """A directory with a path so short that sockets can be beside it."""
    with tempfile.TemporaryDirectory(dir="/run") as made:
        directory = Path(made, "bin")
        directory.mkdir()
        yield directory


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["-t", "thin"], "multus"),
        (["--type", "thin"], "multus"),
        (["--type=thick"], "multus-shim"),
    ],
)
def test_the_plugin_gets_the_name_of_multus(directory: Path, flags: list[str], name: str) -> None:
    status, output = install(directory, *flags)
    assert status == 0, output
    names = {"multus-py", "passthru", name}
    assert {path.name for path in directory.iterdir()} == {".multus-py", *names}
    assert {line.split()[0] for line in output.splitlines()} == {f"{directory}/{n}" for n in names}


def test_the_package_can_go_elsewhere(directory: Path) -> None:
    lib_dir = directory.parent / "lib"
    status, output = install(directory, "-t", "thin", f"--multus-lib-dir={lib_dir}")
    assert status == 0, output
    assert (lib_dir / "manifest.json").exists()
    assert not (directory / ".multus-py").exists()


@pytest.mark.parametrize("flags", [[], ["-t", "large"]])
def test_the_type_is_needed(directory: Path, flags: list[str]) -> None:
    status, output = install(directory, *flags)
    assert status == 2
    assert "--type" in output
    assert list(directory.iterdir()) == []


def test_a_failure_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "bin").write_text("a file")
    status, output = install(tmp_path / "bin", "-t", "thin")
    assert status == 1
    assert output.startswith("Error: ")
