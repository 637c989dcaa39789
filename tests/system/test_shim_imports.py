"""What the shim imports: nothing that is not compiled into the interpreter.

It starts for every request of a runtime, before anything else of ours.
"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import multus_py
from deploy import shim as shim_for_micropython
from multus_py import wire
from tests.shims import Installation, Scripted, interpreters, running

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPILED_IN = {"_signal", "_socket", "posix", "select", "sys", "time"}
"""Some interpreters have ``_socket`` and ``select`` as libraries of their own."""

OURS = {"child", "memory", "orders", "shim", "variables", "view", "wire"}

MICRO = {
    "builtin",
    "environ",
    "heap",
    "libc",
    "posix",
    "select",
    "signals",
    "sockets",
    "spawning",
    "time",
}
"""What is in their place on MicroPython, in ``multus_py.micro``, below everything of ours."""

OF_MICROPYTHON = {"ffi", "os", "struct", "sys", "uctypes"}

LATER = """
import posix, sys
def note(event, arguments):
    if event == "import":
        posix.write(2, b"imported %s\\n" % arguments[0].encode())
sys.addaudithook(note)
"""
"""The beginning of a launcher that tells what is imported, at any time."""


@pytest.fixture(params=interpreters())
def shim(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Installation]:
    installation = Installation(tmp_path, interpreter=request.param, first=LATER)
    yield installation
    installation.end()


def loaded(interpreter: str, *modules: str) -> set[str]:
    """Return what a bare interpreter has loaded with these modules."""
    program = "import sys\n" + "".join(f"import {name}\n" for name in modules)
    program += "print(*sys.modules)"
    done = subprocess.run([interpreter, "-IS", "-c", program], capture_output=True, check=True)
    return set(done.stdout.decode().split())


def test_every_order_is_carried_out_without_importing_anything(shim: Installation) -> None:
    plugin = shim.plugin("cat")
    with Scripted(shim.socket) as scripted:
        call = shim.start(stdin=b"{}")
        talk = scripted.accepted()
        talk.lend(0)
        talk.run(plugin, stdin=b"{}", CNI_COMMAND="ADD")
        talk.run("/nowhere/plugin")
        talk.order(wire.HELP, b"60", b"")
        for what in (wire.LINK, wire.FILE, wire.OWN_NETNS):
            talk.order(wire.LOOK, what, b"/proc/self/ns/net", b"lo")
        talk.order(wire.RETURN)
        talk.say(wire.RUN, *running(plugin, seconds=0.0))
        talk.heard()
        talk.answer(b"{}")
        told = call.ended().stderr.decode().splitlines()
    imported = {line.removeprefix("imported ") for line in told if line.startswith("imported ")}
    ours = {"multus_py"} | {f"multus_py.{name}" for name in OURS}
    assert ours <= imported
    assert imported <= ours | loaded(shim.interpreter, *COMPILED_IN)
    foreign = imported - ours - loaded(shim.interpreter)
    assert foreign <= COMPILED_IN


def test_none_of_what_it_imports_is_written_in_python(shim: Installation) -> None:
    program = "import sys\nfor name in sys.argv[1:]:\n"
    program += "    print(getattr(__import__(name), '__file__', 'compiled in'))\n"
    command = [shim.interpreter, "-IS", "-c", program, *COMPILED_IN]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    places = done.stdout.splitlines()
    assert len(places) == len(COMPILED_IN)
    assert all(place == "compiled in" or place.endswith(".so") for place in places)
    assert loaded(shim.interpreter, *COMPILED_IN) - loaded(shim.interpreter) <= COMPILED_IN


@pytest.mark.parametrize("module", sorted(OURS))
def test_its_modules_name_nothing_else(module: str) -> None:
    ours = {f"multus_py.{name}" for name in OURS}
    in_its_place = {
        "memory": {"multus_py.micro.heap"},
        "variables": {"multus_py.micro.environ"},
    }.get(module, set())
    assert set(named(module)) <= COMPILED_IN | ours | in_its_place


@pytest.mark.parametrize("module", sorted(MICRO))
def test_what_is_in_their_place_names_nothing_of_ours(module: str) -> None:
    micro = {f"multus_py.micro.{name}" for name in MICRO}
    assert set(named(f"micro/{module}")) <= OF_MICROPYTHON | micro


def test_a_bundle_has_each_of_them() -> None:
    assert multus_py.__file__
    directory = Path(multus_py.__file__).parent
    assert {path.stem for path in (directory / "micro").glob("*.py")} == {"__init__", *MICRO}
    assert set(shim_for_micropython.MODULES) == {"__init__", *OURS}


def test_what_belongs_to_it_is_all_that_its_modules_name() -> None:
    reached, found = {"shim"}, set[str]()
    while reached - found:
        module = (reached - found).pop()
        found.add(module)
        inner = {name.removeprefix("multus_py.") for name in named(module) if "." in name}
        reached |= {name for name in inner if not name.startswith("micro.")}
    assert found == OURS


def named(module: str) -> list[str]:
    """Return the modules that one of ours imports, anywhere in it but for its types."""
    assert multus_py.__file__
    tree: Any = ast.parse((Path(multus_py.__file__).parent / f"{module}.py").read_text())
    names = []
    for guarded in [
        node for node in tree.body if ast.unparse(node).startswith("if TYPE_CHECKING:")
    ]:
        tree.body.remove(guarded)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = str(node.module) in ("multus_py", "multus_py.micro")
            names += [
                f"{node.module}.{alias.name}" if inside else str(node.module)
                for alias in node.names
            ]
    return names
