"""Our own plugins are known, whatever they are called."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from multus_py import launcher
from multus_py.launcher import Program
from multus_py.models.config import OUR_TYPES
from multus_py.node.launchers import OwnTypes

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path) -> Path:
    text = launcher.text(
        str(path), program=Program(sys.executable, "/x"), socket="/x/s", directories=()
    )
    launcher.write(str(path), text)
    return path


def test_a_launcher_its_copies_and_links_are_ours(tmp_path: Path) -> None:
    ours = written(tmp_path / "net-attach")
    shutil.copy(ours, tmp_path / "copy")
    (tmp_path / "link").symlink_to(ours)
    (tmp_path / "hard").hardlink_to(ours)
    assert OwnTypes(str(tmp_path))() == OUR_TYPES | {"net-attach", "copy", "link", "hard"}


def test_other_plugins_are_not(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\nexec true\n")
    (tmp_path / "program").write_bytes(b"\x7fELF... multus-py")
    (tmp_path / "directory").mkdir()
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert OwnTypes(str(tmp_path))() == OUR_TYPES


def test_what_is_installed_later_is_found(tmp_path: Path) -> None:
    own_types = OwnTypes(str(tmp_path))
    assert own_types() == OUR_TYPES
    path = written(tmp_path / "other")
    assert own_types() == OUR_TYPES | {"other"}
    path.unlink()
    assert own_types() == OUR_TYPES


def test_a_directory_that_cannot_be_seen_has_none(tmp_path: Path) -> None:
    assert OwnTypes(str(tmp_path / "x"))() == OUR_TYPES
