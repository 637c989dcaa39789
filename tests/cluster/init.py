"""The first process of a machine: lays out its file system, starts programs, buries the dead.

It takes orders as lines of JSON and answers each with one. When the orders end, so does it, and the
kernel ends whatever runs in its process namespace: nothing of a machine outlives who gave orders,
not even if that was killed. Only ``detach`` lets a machine stay. It is run as a file: a machine
sees the root of whoever started it, and needs nothing of the package.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

OVERLAID = ("/etc", "/opt", "/var/lib")
"""What a machine sees as on this one, and changes for itself."""


class Children:
    """The programs that were started here, by their names."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._pids: dict[str, int] = {}
        self._ended: dict[str, int] = {}

    def start(self, *, name: str, argv: list[str], env: dict[str, str], log: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        usual = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT]  # Python ignores the first two
        pid = os.posix_spawnp(
            argv[0], argv, env, file_actions=files, setsid=True, setsigdef=usual, setsigmask=[]
        )
        self._names[pid] = name
        self._pids[name] = pid
        self._ended.pop(name, None)
        return pid

    def signal(self, *, name: str, number: int) -> None:
        if name in self._pids:
            os.kill(self._pids[name], number)

    def pid(self, *, name: str) -> int | None:
        return self._pids.get(name)

    def status(self, *, name: str) -> int | None:
        """Return what a program ended with; nothing while it runs."""
        return None if name in self._pids else self._ended.get(name, 0)

    def bury(self) -> None:
        """Take note of who ended, and of orphans that nobody else asks for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if name := self._names.pop(pid, None):
                del self._pids[name]
                self._ended[name] = os.waitstatus_to_exitcode(status)


def lay_out(data: Path, *, hostname: str, own: list[str], readings: dict[str, str]) -> None:
    """Make the file system: ``own`` directories are empty at first, ``readings`` are read as said.

    What is in them lives below ``data`` and is there again when the machine starts again; /run
    is not.
    """
    mount("-t", "proc", "proc", "/proc")
    _mount_sys(data / "sys")
    for place in OVERLAID:
        upper, work = data / "upper" / place[1:], data / "work" / place[1:]
        upper.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={place},upperdir={upper},workdir={work}"
        mount("-t", "overlay", "-o", layers, "overlay", place)
    for place in own:
        directory = data / "own" / place[1:]
        directory.mkdir(parents=True, exist_ok=True)
        Path(place).mkdir(parents=True, exist_ok=True)
        mount("--bind", str(directory), place)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for place in ("/run/lock", "/run/netns"):
        Path(place).mkdir()
    for number, (place, text) in enumerate(readings.items()):
        reading = data / f"reading-{number}"
        reading.write_text(text + "\n")
        mount("--bind", str(reading), place)
    socket.sethostname(hostname)
    mount("--make-rshared", "/")  # or mounts of pods could not be propagated


def _mount_sys(scratch: Path) -> None:
    """Mount /sys anew, for the links of this network namespace, and keep its control groups."""
    scratch.mkdir(exist_ok=True)
    mount("--rbind", "/sys/fs/cgroup", str(scratch))
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("--rbind", str(scratch), "/sys/fs/cgroup")
    subprocess.run(["umount", "--lazy", str(scratch)], check=True)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def serve(children: Children) -> None:
    """Do what is asked for until nobody can ask any more."""
    wakes, waker = socket.socketpair()
    wakes.setblocking(False)
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    sources: list[Any] = [wakes, sys.stdin.fileno()]
    pending = b""
    while True:
        ready = select.select(sources, [], [])[0]
        if wakes in ready:
            wakes.recv(4096)
        children.bury()
        if sys.stdin.fileno() not in ready:
            continue
        arrived = os.read(sys.stdin.fileno(), 1 << 20)
        if not arrived:
            return
        *lines, pending = (pending + arrived).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["do"] == "detach":
                sources = [wakes]
            answer(carry_out(children, order.pop("do"), order))


def carry_out(children: Children, verb: str, order: dict[str, Any]) -> Any:
    try:
        match verb:
            case "start":
                return children.start(**order)
            case "signal":
                return children.signal(**order)
            case "pid":
                return children.pid(**order)
            case "status":
                return children.status(**order)
            case _:  # detach: serve() has done it
                return None
    except OSError as error:
        return {"error": str(error)}


def answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    order = json.loads(sys.argv[1])
    pid = int(Path("/proc/self").readlink().name)  # as the namespace outside knows it
    lay_out(Path(order.pop("data")), **order)
    answer(pid)
    serve(Children())


if __name__ == "__main__":
    main()
