"""The bundle: complete, small, of nothing but itself."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

from multus_py.models.kubeconfig import encode
from multus_py.node import bundle
from multus_py.version import VERSION
from tests.deploy.built import BUNDLE, LOADER, PYTHON, described

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1_000_000
GUARDED = "TYPE_CHECKING"
OF_MICROPYTHON = ("import ffi", "import uctypes")


def files() -> dict[str, Path]:
    found = (path for path in BUNDLE.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(BUNDLE)): path for path in found}


def ours(
    *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the carried interpreter where the bundle lies."""
    return subprocess.run(
        [*PYTHON, *words], env=environment or {}, capture_output=True, text=True, check=False
    )


def test_the_list_has_every_file_as_it_is() -> None:
    listed = described()["files"]

    assert set(listed) | {"bundle.json"} == set(files())
    for name, path in files().items():
        if name != "bundle.json":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert listed[name] == {"mode": stat.S_IMODE(path.stat().st_mode), "sha256": digest}


def test_the_list_says_what_is_where() -> None:
    said = described()

    assert (said["version"], said["python"], said["loader"]) == (VERSION, "bin/python3", LOADER)
    assert (BUNDLE / said["library"] / "multus_py" / "__main__.py").exists()
    canonical = json.dumps(said["files"], sort_keys=True, separators=(",", ":"))
    assert said["digest"] == hashlib.sha256(canonical.encode()).hexdigest()


def test_it_has_at_most_100_megabytes() -> None:
    assert sum(path.lstat().st_size for path in files().values()) <= 100 * MEGABYTE


def test_nothing_is_writable_by_others_or_more_than_it_has_to_be() -> None:
    executable = {name for name, path in files().items() if path.stat().st_mode & 0o111}

    assert executable == {"bin/python3", "bin/micropython", LOADER}
    assert not any(path.stat().st_mode & 0o7022 for path in files().values())


def test_a_path_of_255_bytes_fits_into_the_interpreter() -> None:
    program = (BUNDLE / "bin/python3").read_bytes()
    path = "/" + 254 * "x"

    moved = bundle.with_loader(program, path)

    assert len(moved) == len(program)
    assert path.encode() + b"\0" in moved


def test_everything_that_the_package_imports_is_there_and_compiled() -> None:
    """Imports in functions and for the rare case included, which nobody would meet before."""
    before = set(files())
    code = "\n".join(["import warnings; warnings.simplefilter('ignore')", *sorted(imports())])

    done = ours("-I", "-c", code)

    assert (done.returncode, done.stderr) == (0, "")
    assert set(files()) == before


def imports() -> set[str]:
    """Return all import statements of the package, and one for each of its modules."""
    found = set()
    library = BUNDLE / described()["library"]
    for path in (library / "multus_py").rglob("*.py"):
        module = ".".join(path.relative_to(library).with_suffix("").parts)
        found.add(f"import {module.removesuffix('.__init__')}")
        found.update(ast.unparse(node) for node in _imports(ast.parse(path.read_text())))
    elsewhere = ("__future__", "multus_py.micro", *OF_MICROPYTHON)
    return {line for line in found if not any(name in line for name in elsewhere)}


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    if not (isinstance(node, ast.If) and ast.unparse(node.test) == GUARDED):
        for child in ast.iter_child_nodes(node):
            yield from _imports(child)


ASK = """
import sys
from multus_py.adapters import connection, credentials
link = connection.Connection(lambda: credentials.from_kubeconfig(sys.argv[1]))
try:
    link.ask("GET", "/api/v1/namespaces/default/pods/web", seconds=1)
except connection.RefusedError as error:
    print(error.status)
print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""


def test_an_api_server_is_asked_with_few_libraries(tmp_path: Path) -> None:
    """Half of the time of an ADD without a daemon once went into what is not needed for it."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_bytes(encode({"server": "https://127.0.0.1:1"}, {"token": "secret"}))

    done = ours("-I", "-c", ASK, str(kubeconfig))

    assert done.returncode == 0, done.stderr
    status, modules = done.stdout.splitlines()
    assert status == "0"
    libraries = ["kubernetes", "multus_py", "typing_extensions", "urllib3"]
    assert [name for name in modules.split() if not name.startswith("__")] == libraries


def test_micropython_has_the_shim_compiled_and_runs_it(tmp_path: Path) -> None:
    interpreter, image = described()["micropython"]
    code = """
import sys, vfs
with open(sys.argv[1], "rb") as image:
    vfs.mount(vfs.VfsRom(image.read()), "/x")
sys.path[:] = ["/x"]
from multus_py.micro import builtin
from multus_py import shim
print(shim.main, shim.__file__)
"""
    loader, program = str(BUNDLE / LOADER), str(BUNDLE / interpreter)
    script = tmp_path / "script.py"
    script.write_text(code)

    done = subprocess.run(
        [
            loader,
            "--library-path",
            str(BUNDLE / "lib"),
            program,
            str(script),
            str(BUNDLE / image),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "function main" in done.stdout
    assert "/x/multus_py/shim.mpy" in done.stdout


USE_LIBRARIES = """
import _ctypes, cryptography.x509, google.protobuf.message, grpc, pydantic, pyroute2, sqlite3, ssl
for line in open("/proc/self/maps"):
    print(line.split(maxsplit=5)[5].strip() if line.count(" /") else "")
"""


def test_no_library_of_the_machine_is_used_nor_one_that_somebody_recommends(
    tmp_path: Path,
) -> None:
    for path in (BUNDLE / "lib").glob("*.so*"):
        (tmp_path / path.name).write_bytes(b"no library")

    done = ours("-I", "-c", USE_LIBRARIES, environment={"LD_LIBRARY_PATH": str(tmp_path)})

    assert done.returncode == 0, done.stderr
    used = {line for line in done.stdout.split("\n") if ".so" in line}
    assert len(used) > 10
    assert {path for path in used if not path.startswith(f"{BUNDLE}/")} == set()


def test_no_python_of_the_machine_is_used_nor_one_that_somebody_recommends() -> None:
    recommended = {"PYTHONHOME": "/usr", "PYTHONPATH": os.path.dirname(os.__file__)}

    done = ours("-c", "import sys, json; print(json.dumps(sys.path))", environment=recommended)

    assert done.returncode == 0, done.stderr
    assert all(path.startswith(f"{BUNDLE}/") for path in json.loads(done.stdout))


def test_licences_are_carried() -> None:
    wheels = [path.name for path in (BUNDLE / "share/python").iterdir()]

    assert any(name.startswith("pydantic-") for name in wheels)
    assert (BUNDLE / "share/doc/libc6/copyright").exists()
    assert (BUNDLE / "share/dpkg/status.d/libc6").read_text().startswith("Package: libc6\n")
