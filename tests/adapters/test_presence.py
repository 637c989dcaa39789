"""Whether a daemon is there, as daemons and requests find it."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters import presence
from multus_py.cni.errors import CniError

if TYPE_CHECKING:
    from pathlib import Path

LONG = presence.GONE_SECONDS + 1


def age(directory: Path, seconds: float) -> None:
    """Let the first request that missed the daemon have come so long ago."""
    moment = time.monotonic() - seconds
    os.utime(directory / "missed", (moment, moment))


def dead_socket(directory: Path) -> Path:
    path = directory / presence.SOCKET
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(path))
    return path


def test_a_node_has_one_daemon(tmp_path: Path) -> None:
    first = presence.claim(str(tmp_path))
    with pytest.raises(CniError, match="another daemon works"):
        presence.claim(str(tmp_path))
    os.close(first)
    os.close(presence.claim(str(tmp_path)))


def test_a_daemon_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    first = presence.claim(str(tmp_path))
    end = threading.Timer(0.2, os.close, (first,))
    end.start()
    os.close(presence.claim(str(tmp_path)))
    end.join()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CniError, match=f"cannot use {tmp_path}/file/sockets"):
        presence.claim(str(tmp_path / "file" / "sockets"))


def test_the_first_request_starts_the_clock(tmp_path: Path) -> None:
    directory = tmp_path / "sockets"
    assert presence.missed(str(directory)) < presence.GONE_SECONDS
    assert directory.stat().st_mode & 0o777 == 0o700
    age(directory, LONG)
    assert presence.missed(str(directory)) >= LONG


def test_a_daemon_stops_the_clock(tmp_path: Path) -> None:
    presence.missed(str(tmp_path))
    age(tmp_path, LONG)
    lock = presence.claim(str(tmp_path))
    assert presence.missed(str(tmp_path)) == 0.0
    os.close(lock)
    assert presence.missed(str(tmp_path)) < presence.GONE_SECONDS


def test_a_daemon_that_is_at_work_but_busy_is_not_missed(tmp_path: Path) -> None:
    lock = presence.claim(str(tmp_path))
    assert presence.missed(str(tmp_path)) == 0.0
    assert not (tmp_path / "missed").exists()
    os.close(lock)


def test_the_time_of_day_says_nothing(tmp_path: Path) -> None:
    presence.missed(str(tmp_path))
    moment = time.time() - LONG
    os.utime(tmp_path / "missed", (moment, moment))
    assert presence.missed(str(tmp_path)) == 0.0


def test_a_file_of_another_start_of_the_node_counts_from_now_on(tmp_path: Path) -> None:
    presence.missed(str(tmp_path))
    age(tmp_path, -LONG)
    assert presence.missed(str(tmp_path)) == 0.0
    made = (tmp_path / "missed").stat().st_mtime
    assert made <= time.monotonic()
    presence.missed(str(tmp_path))
    assert (tmp_path / "missed").stat().st_mtime == made


def test_nothing_is_known_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert presence.missed(str(tmp_path / "file" / "sockets")) == 0.0


def test_nobody_waits_at_a_socket_that_leads_nowhere(tmp_path: Path) -> None:
    path = dead_socket(tmp_path)
    presence.missed(str(tmp_path))
    assert path.exists()
    age(tmp_path, LONG)
    presence.missed(str(tmp_path))
    assert not path.exists()


def test_a_socket_where_somebody_listens_is_left(tmp_path: Path) -> None:
    path = tmp_path / presence.SOCKET
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        listening.listen()
        presence.missed(str(tmp_path))
        age(tmp_path, LONG)
        presence.missed(str(tmp_path))
    assert path.exists()


def test_the_directory_is_for_its_owner_only_whoever_made_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    os.close(presence.claim(str(tmp_path)))
    assert tmp_path.stat().st_mode & 0o777 == 0o700
