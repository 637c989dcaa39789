"""The tool that cuts the power: it finds every change, and disturbs nothing else."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters import atomic
from tests import powercut

if TYPE_CHECKING:
    from pathlib import Path


def states(directory: Path, act: object) -> tuple[int, list[dict[str, bytes]]]:
    """Return how many calls there were, and what was there after each number of them."""
    seen: list[dict[str, bytes]] = []

    def prepare() -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()

    def check(calls: int) -> None:
        assert calls == len(seen)
        seen.append(
            {
                path.name: path.read_bytes() if path.is_file() else b""
                for path in directory.iterdir()
            }
        )

    assert callable(act)
    return powercut.at_every_call(act, prepare, check), seen


def test_every_step_of_a_write_is_seen_once(tmp_path: Path) -> None:
    directory = tmp_path / "node"
    path = str(directory / "file")
    calls, seen = states(directory, lambda: atomic.write(path, b"new", temporary=f"{path}.new"))

    distinct = [
        state for state, before in zip(seen, [None, *seen], strict=False) if state != before
    ]
    assert distinct == [{}, {"file.new": b""}, {"file.new": b"new"}, {"file": b"new"}]
    assert len(seen) == calls + 1


def test_whatever_writes_is_cut(tmp_path: Path) -> None:
    directory = tmp_path / "node"
    path = str(directory / "file")

    def act() -> None:
        with open(path, "w") as file:  # flushed when it is closed
            file.write("text")
        os.symlink("file", f"{path}.link")
        os.mkdir(f"{path}.d")
        os.rmdir(f"{path}.d")
        shutil.copyfile(path, f"{path}.copy")
        os.unlink(path)

    _, seen = states(directory, act)
    sizes = [len(state) for state in seen]
    assert {frozenset(state) for state in seen} >= {frozenset(), frozenset({"file"})}
    assert sorted(seen[-1]) == ["file.copy", "file.link"]
    assert {0, 1, 2, 3} <= set(sizes)


def test_what_fails_by_itself_is_no_power_cut() -> None:
    with pytest.raises(AssertionError, match="failed by itself"):
        powercut.at_every_call(lambda: os.rmdir("/nowhere"), lambda: None, lambda _: None)
