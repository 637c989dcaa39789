from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from multus_py import wire
from tests.micropython import micropython
from tests.shims import Installation, Scripted, Talk, interpreters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.nodes import Netns

SMALL = "micropython"
INTERPRETERS = [*interpreters(), SMALL]


def enters(interpreter: str) -> bool:
    """Tell whether an interpreter can enter a network namespace by itself."""
    if interpreter == SMALL:
        return True
    program = "import posix; raise SystemExit(not hasattr(posix, 'setns'))"
    return subprocess.run([interpreter, "-c", program], check=False).returncode == 0


@pytest.fixture(params=INTERPRETERS)
def interpreter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def talk(tmp_path: Path, interpreter: str) -> Iterator[Talk]:
    """A shim that waits for orders."""
    if interpreter == SMALL:
        shim = Installation(tmp_path, micropython=micropython())
    else:
        shim = Installation(tmp_path, interpreter=interpreter)
    with Scripted(shim.socket) as scripted:
        shim.start()
        yield scripted.accepted()
    shim.end()


def look(talk: Talk, what: bytes, path: object, name: str = "") -> bytes:
    return talk.order(wire.LOOK, what, str(path).encode(), name.encode()).how


def test_a_file_is_seen_when_it_is_there(tmp_path: Path, talk: Talk) -> None:
    assert look(talk, wire.FILE, tmp_path / "file") == wire.NO
    (tmp_path / "file").touch()
    assert look(talk, wire.FILE, tmp_path / "file") == wire.YES
    assert look(talk, wire.FILE, tmp_path / "file/below") == wire.NO
    assert look(talk, wire.FILE, "") == wire.NO


def test_a_path_that_can_be_none_does_no_harm(talk: Talk) -> None:
    for what in (wire.FILE, wire.OWN_NETNS, wire.LINK):
        assert look(talk, what, "/a\0b") == wire.FAILED


def test_what_an_older_shim_has_no_eyes_for_is_told(talk: Talk) -> None:
    assert look(talk, b"future", "/nowhere") == wire.UNABLE
    assert look(talk, b"future", "/") == wire.UNABLE


def test_the_namespace_of_plugins_is_known_by_any_path(tmp_path: Path, talk: Talk) -> None:
    (tmp_path / "link").symlink_to(f"/proc/{os.getpid()}/ns/net")
    assert look(talk, wire.OWN_NETNS, "/proc/self/ns/net") == wire.YES
    assert look(talk, wire.OWN_NETNS, tmp_path / "link") == wire.YES
    assert look(talk, wire.OWN_NETNS, "/proc/self/ns/mnt") == wire.NO
    assert look(talk, wire.OWN_NETNS, tmp_path / "none") == wire.NO


def test_a_pods_namespace_is_not_that_of_plugins(netns: Netns, talk: Talk) -> None:
    assert look(talk, wire.OWN_NETNS, netns.path) == wire.NO


def test_a_link_is_seen_in_a_pods_namespace(netns: Netns, talk: Talk, interpreter: str) -> None:
    netns.add_link("net1")
    yes, no = (wire.YES, wire.NO) if enters(interpreter) else (wire.UNABLE, wire.UNABLE)
    assert look(talk, wire.LINK, netns.path, "net1") == yes
    assert look(talk, wire.LINK, netns.path, "net2") == no
    assert look(talk, wire.LINK, netns.path, "lo") == yes
    assert look(talk, wire.OWN_NETNS, "/proc/self/ns/net") == wire.YES, "it has come back"


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("path", ["/nowhere", "/proc/self/ns/mnt", "/etc/passwd"])
def test_what_is_no_namespace_is_told(talk: Talk, path: str, interpreter: str) -> None:
    seen = wire.FAILED if enters(interpreter) else wire.UNABLE
    assert look(talk, wire.LINK, path, "net1") == seen


# -- the same by the helper, which has the whole package


@pytest.mark.parametrize("interpreter", INTERPRETERS[:1])
def test_the_helper_sees_a_link_too(netns: Netns, talk: Talk) -> None:
    netns.add_link("net1")
    for name, seen in (("net1", True), ("net2", False)):
        task = {"do": "link_exists", "netns": netns.path, "ifname": name}
        reply = talk.order(wire.HELP, b"60", json.dumps(task).encode())
        assert json.loads(reply.stdout) == {"answer": seen}


@pytest.mark.parametrize("interpreter", INTERPRETERS[:1])
def test_the_helper_tells_what_is_no_namespace(netns: Netns, talk: Talk) -> None:
    task = {"do": "link_exists", "netns": "/nowhere", "ifname": "net1"}
    reply = talk.order(wire.HELP, b"60", json.dumps(task).encode())
    assert set(json.loads(reply.stdout)["error"]) == {"code", "cause", "hint"}
