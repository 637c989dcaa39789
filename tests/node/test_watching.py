"""Being woken by real changes, with and without inotify."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from multus_py.node.watching import Watching
from tests.processes import PATIENCE, python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Bell:
    """Notes that it was rung."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    def heard(self) -> bool:
        heard = self.rung.wait(PATIENCE)
        self.rung.clear()
        return heard


@contextmanager
def watching(*directories: Path) -> Iterator[tuple[Bell, Watching]]:
    bell = Bell()
    made = Watching(bell.rung.set)
    made.cover(list(map(str, directories)))
    try:
        yield bell, made
    finally:
        made.stop()


def test_every_change_wakes(tmp_path: Path) -> None:
    path, other = tmp_path / "a.conf", tmp_path / "b.conf"
    with watching(tmp_path) as (bell, made):
        for change in (
            lambda: path.write_text("x"),
            lambda: path.write_text("y"),
            lambda: path.rename(other),
            other.unlink,
        ):
            change()
            assert bell.heard()
        assert not made.polling


def test_reading_does_not_wake(tmp_path: Path) -> None:
    """Else each look would cause the next one."""
    path = tmp_path / "a.conf"
    path.write_text("x")
    with watching(tmp_path) as (bell, _):
        for _ in range(100):
            path.read_text()
            list(tmp_path.iterdir())
        assert not bell.rung.wait(0.3)
        path.unlink()
        assert bell.heard()


def test_a_directory_that_comes_later_or_again_is_watched(tmp_path: Path) -> None:
    directory = tmp_path / "net.d"
    with watching(directory) as (bell, made):
        for _ in range(2):
            directory.mkdir()
            made.cover([str(directory)])
            (directory / "a.conf").touch()
            assert bell.heard()
            (directory / "a.conf").unlink()
            directory.rmdir()
            made.cover([str(directory)])
            bell.rung.clear()


def test_several_directories_are_watched(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    with watching(first, second) as (bell, _):
        for directory in (first, second):
            (directory / "a").touch()
            assert bell.heard()


def test_without_inotify_it_looks_again_and_again(tmp_path: Path) -> None:
    """The user namespace has no inotify instance left."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    program = """
import ctypes, os, sys, threading
users, groups = os.getuid(), os.getgid()
assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0
for file, text in ("setgroups", "deny"), ("uid_map", f"0 {users} 1"), ("gid_map", f"0 {groups} 1"):
    with open(f"/proc/self/{file}", "w") as map:
        map.write(text)
with open("/proc/sys/user/max_inotify_instances", "w") as limit:
    limit.write("0")
from multus_py.node.watching import Watching
rung = threading.Event()
watching = Watching(rung.set)
directories = sys.argv[1:]
watching.cover(directories)
for directory in directories:
    open(f"{directory}/a.conf", "w").close()
    assert rung.wait(60)
    rung.clear()
watching.cover(directories)
print(watching.polling)
watching.stop()
"""
    process = python(program, tmp_path / "1", tmp_path / "2")
    out, complaint = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "True\n"), complaint
    assert complaint.count("no inotify") == 1


def test_it_can_be_stopped_before_it_has_begun() -> None:
    Watching(lambda: None).stop()
