"""Containers for tests: a root directory of its own, with directories of a node mounted in it.

The interpreter, the package and the system's libraries are the machine's own, at their places;
everything else is there only if it is mounted.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import multus_py

_SYSTEM = ("/bin", "/lib", "/lib64", "/sbin", "/usr", "/dev", "/proc")
_PROGRAM = f"""\
#!{sys.executable}
import sys
from multus_py.__main__ import main
sys.exit(main())
"""


def prefix(root: Path, mounts: dict[str, Path], *links: str) -> tuple[str, ...]:
    """Return what executes a command in a container with this machine's system.

    Its root is an empty directory, ``mounts`` are directories by their path in it, ``links`` the
    names under which the one executable is called there.
    """
    root.mkdir(exist_ok=True)
    project = Path(multus_py.__file__).parents[1]
    needed = {Path(path) for path in (sys.prefix, sys.base_prefix, project)}
    own = {str(path): path for path in needed if not str(path).startswith("/usr/")}
    lines = [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(root))}"]
    for system in map(Path, _SYSTEM):
        if system.is_symlink():
            lines.append(f"ln -s {system.readlink()} {root}{system}")
        elif system.exists():
            lines += _mounted(root, str(system), system)
    program = root.parent / "program"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    lines += [f"mkdir -p {root}/tmp", f"cp {shlex.quote(str(program))} {root}/program"]
    lines += [f"ln -s /program {root}/{name}" for name in links]
    return entered(root, own | mounts, *lines)


def entered(root: Path, mounts: dict[str, Path], *lines: str) -> tuple[str, ...]:
    """Return what executes a command in a root directory, after lines of shell that prepare it."""
    binds = [line for place in sorted(mounts) for line in _mounted(root, place, mounts[place])]
    script = "\n".join([*lines, *binds, f'exec chroot {shlex.quote(str(root))} "$@"'])
    return ("unshare", "--mount", "sh", "-euc", script, "sh")


def _mounted(root: Path, place: str, source: Path) -> list[str]:
    target = shlex.quote(f"{root}{place}")
    return [f"mkdir -p {target}", f"mount --rbind {shlex.quote(str(source))} {target}"]
