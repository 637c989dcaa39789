"""What a runtime finds in a directory, whatever is in there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from multus_py.cni import document
from multus_py.node import listing
from tests.processes import eventually

if TYPE_CHECKING:
    from pathlib import Path


def names(directory: Path) -> list[str]:
    return [os.path.basename(file.path) for file in listing.files(str(directory))]


def test_files_are_listed_by_the_bytes_of_their_names(tmp_path: Path) -> None:
    for name in ("b.conf", "B.json", "10.conflist", "2.conf", ".x.conf", "a.bak", "conf"):
        (tmp_path / name).write_text(name)
    (tmp_path / os.fsdecode(b"\xff.conf")).touch()
    assert names(tmp_path) == [
        ".x.conf",
        "10.conflist",
        "2.conf",
        "B.json",
        "b.conf",
        os.fsdecode(b"\xff.conf"),
    ]
    assert listing.files(str(tmp_path))[1].content == b"10.conflist"


def test_other_suffixes_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.conf.old").touch()
    assert [f.path for f in listing.files(str(tmp_path), suffixes=(".conf.old",))] == [
        str(tmp_path / "a.conf.old")
    ]


def test_directories_are_none_and_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    (tmp_path / "directory.conf").mkdir()
    (tmp_path / "broken.conf").symlink_to("nowhere")
    (tmp_path / "to-directory.conf").symlink_to("directory.conf")
    os.mkfifo(tmp_path / "pipe.conf")
    assert names(tmp_path) == ["broken.conf", "pipe.conf", "to-directory.conf"]
    assert {file.content for file in listing.files(str(tmp_path))} == {b""}


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "a.conf").symlink_to("a")
    assert listing.files(str(tmp_path))[0].content == b"x"


def test_no_more_is_read_than_can_be_decoded(tmp_path: Path) -> None:
    with (tmp_path / "huge.conf").open("wb") as file:
        file.truncate(document.MAX_BYTES * 2)
    assert len(listing.files(str(tmp_path))[0].content) == document.MAX_BYTES + 1


def test_a_missing_directory_is_an_error_or_has_nothing_beside(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listing.files(str(tmp_path / "x"))
    assert listing.beside(str(tmp_path), "x") == ()
    assert listing.read(str(tmp_path / "x")) is None


def test_copies_are_found_by_their_content(tmp_path: Path) -> None:
    for name, content in {"a": "same", "b": "other", "c.bak": "same", "d": "sames"}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "e").symlink_to("nowhere")
    assert listing.same_content(str(tmp_path), b"same") == ["a", "c.bak"]


def test_looking_at_what_is_no_file_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "10-link.conf").symlink_to(tmp_path)
    before = os.listdir("/proc/self/fd")
    assert [file.content for file in listing.files(str(tmp_path))] == [b""]
    eventually(lambda: len(os.listdir("/proc/self/fd")) == len(before))
