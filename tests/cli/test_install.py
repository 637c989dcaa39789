"""``multus-py install``: what people give, and what they are told."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from multus_py.cli import install
from multus_py.node import manifest
from multus_py.node.manifest import Places
from tests.node import standin

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(install.command, arguments)
    return done.exit_code, done.output


def places(directory: Path) -> list[str]:
    """Return options for a node below a directory."""
    names = {
        "bin": "opt/cni/bin",
        "lib": "opt/cni/multus-py",
        "socket": "run/multus-py",
        "conf": "etc/cni/net.d",
        "cni": "var/lib/cni/multus",
    }
    return [f"--{name}-dir={directory / path}" for name, path in names.items()]


def test_it_says_what_is_where(tmp_path: Path) -> None:
    status, output = run(*places(tmp_path), "--as", "multus", "--as", "multus-shim")
    assert status == 0
    assert output.splitlines() == [
        f"no interpreter is carried: {sys.executable} is used where it lies",
        *(
            f"installed {tmp_path}/opt/cni/bin/{name}"
            for name in ("multus-py", "multus", "multus-shim", "passthru")
        ),
    ]
    assert b"1.1.0" in standin.run(tmp_path / "opt/cni/bin/multus-shim")


def test_all_directories_are_remembered_by_their_whole_paths(tmp_path: Path) -> None:
    given = [f"{option}/../{os.path.basename(option)}" for option in places(tmp_path)]
    assert run(*given)[0] == 0
    known = manifest.read(str(tmp_path / "opt/cni/multus-py"))
    assert known
    assert known.places == (
        Places(
            bin_dir=str(tmp_path / "opt/cni/bin"),
            socket_dir=str(tmp_path / "run/multus-py"),
            conf_dir=str(tmp_path / "etc/cni/net.d"),
            cni_dir=str(tmp_path / "var/lib/cni/multus"),
        ),
    )


def test_a_failure_is_one_line(tmp_path: Path) -> None:
    status, output = run(*places(tmp_path), "--as", "a/b")
    assert status == 1
    assert output.startswith("Error: the plugin cannot have the name 'a/b'. Next: ")
    assert len(output.splitlines()) == 1
