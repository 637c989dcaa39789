from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from multus_py.daemon.listener import is_trusted, listening
from tests.processes import output, python

if TYPE_CHECKING:
    from pathlib import Path

CONNECT = """
import os, socket, sys

os.chdir(sys.argv[1])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as connection:
    try:
        connection.connect("multus-py.sock")
        print(connection.recv(10).decode(), end="")
    except OSError as error:
        print(error.strerror, end="")
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "run/multus-py.sock")


def connected(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True


def test_the_socket_is_for_its_owner_and_nothing_else_is_there(path: str) -> None:
    with listening(path).socket:
        status = os.stat(path)
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
        assert os.listdir(os.path.dirname(path)) == ["multus-py.sock"]
        assert connected(path)


def test_a_socket_that_somebody_left_is_replaced(path: str) -> None:
    listening(path).socket.close()
    assert not connected(path)
    with listening(path).socket:
        assert connected(path)


def test_a_socket_that_was_replaced_or_removed_is_noticed(path: str) -> None:
    first = listening(path)
    assert first.reachable
    second = listening(path)
    assert (first.reachable, second.reachable) == (False, True)
    os.unlink(path)
    assert not second.reachable
    first.socket.close()
    second.socket.close()


def test_who_stops_listening_leaves_the_file(path: str) -> None:
    listener = listening(path)
    listener.stop()
    with pytest.raises(OSError, match="Invalid argument"):
        listener.socket.accept()
    listener.socket.close()
    assert listener.reachable
    assert not connected(path)
    listener.stop()


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        listening(str(tmp_path / "file/multus-py.sock"))


def test_nothing_is_left_of_a_socket_that_could_not_be_made(tmp_path: Path) -> None:
    path = tmp_path / "multus-py.sock"
    (path / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        listening(str(path))
    assert os.listdir(tmp_path) == ["multus-py.sock"]


def test_root_and_ourselves_are_trusted(path: str) -> None:
    with listening(path).socket as listener:
        client = python(CONNECT, os.path.dirname(path), os.getuid())
        connection, _ = listener.accept()
        with connection:
            assert is_trusted(connection)
            connection.sendall(b"hello")
        assert output(client) == "hello"


@pytest.mark.usefixtures("node")
def test_nobody_else_is(path: str, caplog: pytest.LogCaptureFixture) -> None:
    user = 65534
    directory = os.path.dirname(path)
    with listening(path).socket as listener:
        assert output(python(CONNECT, directory, user)) == "Permission denied"
        os.chmod(path, 0o666)
        os.chmod(directory, 0o755)
        client = python(CONNECT, directory, user)
        connection, _ = listener.accept()
        with connection:
            assert not is_trusted(connection)
        assert output(client) == ""
    assert f"user {user}" in caplog.text
