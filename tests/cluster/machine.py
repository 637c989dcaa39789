"""Machines: namespaces that a first process holds, and the programs in them.

A machine has its own processes, network, mounts and host name. Ending its first process is pulling
the plug: the kernel ends everything in it, and its mounts and links are gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import cgroups, init
from tests.cluster.waiting import ClusterError, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UNSHARE = ("unshare", "--kill-child", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc")
NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc")
# What the kubelet wants of a kernel and would change for the whole machine: it finds it done.
KERNEL = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}


class Machine:
    """One machine. It is off at first."""

    def __init__(self, name: str, directory: Path, *, own: Sequence[str], cgroup: str) -> None:
        self.name = name
        self.directory = directory
        """Where everything is that the machine keeps."""
        self.cgroup = f"/{cgroup}/{name}"
        self.pid = 0
        """Of its first process; 0: the machine is off."""
        self._own = list(own)
        self._holder: subprocess.Popen[str] | None = None
        self._orders = threading.Lock()
        self.logs.mkdir(parents=True, exist_ok=True)

    @property
    def logs(self) -> Path:
        """The directory with what programs print."""
        return self.directory / "logs"

    @property
    def root(self) -> Path:
        """The root directory as the machine sees it, while it is on."""
        return Path(f"/proc/{self.pid}/root")

    def start(self) -> None:
        """Switch the machine on; it has lo and nothing else, and runs nothing."""
        cgroups.make(self.cgroup)
        boot = Path("/proc/sys/kernel/random/uuid").read_text().strip()
        readings = {f"/proc/sys/{place}": text for place, text in KERNEL.items()}
        readings["/proc/sys/kernel/random/boot_id"] = boot
        order = {"hostname": self.name, "own": self._own, "readings": readings}
        with (self.logs / "init").open("a") as log:
            self._holder = subprocess.Popen(
                [
                    *(*UNSHARE, sys.executable, "-I", init.__file__),
                    json.dumps({"data": str(self.directory), **order}),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # an interrupt from a terminal is for who gives the orders
            )
        pid = int(self._answer())
        (self.directory / "pid").write_text(f"{pid} {started(pid)}")
        self.pid = pid
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    def stop(self) -> None:
        """Pull the plug."""
        if self._holder is not None:
            end(self.directory)
            self._holder.communicate()
            self._holder = None
        self.pid = 0
        cgroups.remove(self.cgroup)

    def detach(self) -> None:
        """Let the machine stay when this process ends."""
        self.order("detach")

    def order(self, verb: str, **details: Any) -> Any:
        """Have the first process do something."""
        with self._orders:
            assert self._holder is not None, f"{self.name} is off"
            assert self._holder.stdin is not None
            try:
                self._holder.stdin.write(json.dumps({"do": verb, **details}) + "\n")
                self._holder.stdin.flush()
            except BrokenPipeError:
                raise self._died() from None
            answer = self._answer()
        if isinstance(answer, dict):
            raise ClusterError(f"{self.name}: {verb} {details.get('name')}: {answer['error']}")
        return answer

    def command(self, *command: str) -> list[str]:
        """Return what runs a command on the machine."""
        assert self.pid, f"{self.name} is off"
        return inside(self.pid, *command)

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Run a command that has to succeed on the machine; return what it printed."""
        done = subprocess.run(
            self.command(*command), check=False, capture_output=True, text=True, input=stdin
        )
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise ClusterError(f"{self.name}: {' '.join(command)}: {done.returncode}: {said}")
        return done.stdout

    def _answer(self) -> Any:
        assert self._holder is not None
        assert self._holder.stdout is not None
        line = self._holder.stdout.readline()
        if not line:
            raise self._died()
        return json.loads(line)

    def _died(self) -> ClusterError:
        return ClusterError(f"machine {self.name} ended:\n{tail(self.logs / 'init')}")


class Program:
    """A program that runs on a machine until it is stopped, as under a supervisor."""

    def __init__(
        self,
        machine: Machine,
        *command: str,
        environment: Mapping[str, str],
        ready: Callable[[], object],
    ) -> None:
        self.machine = machine
        self.name = Path(command[0]).name
        self.command = list(command)
        """What is executed at the next start; a test may change it."""
        self._environment = dict(environment)
        self.ready = ready
        """Tells whether it is of use."""

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.machine.order("status", name=self.name) is None

    @property
    def pid(self) -> int:
        """The process, as this process sees it."""
        inside = self.machine.order("pid", name=self.name)
        for entry in Path("/proc").glob("[0-9]*/status"):
            try:
                status = dict(line.split(":\t") for line in entry.read_text().splitlines())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if (status["PPid"], status["NSpid"].split()[-1]) == (
                str(self.machine.pid),
                str(inside),
            ):
                return int(entry.parent.name)
        raise ClusterError(f"{self.name} does not run on {self.machine.name}")

    @property
    def log(self) -> Path:
        """The file with what it prints."""
        return self.machine.logs / self.name

    def launch(self) -> None:
        """Start it; it may not be of use yet."""
        self.machine.order(
            "start", name=self.name, argv=self.command, env=self._environment, log=str(self.log)
        )

    def start(self) -> None:
        """Start it and wait until it is of use."""
        self.launch()
        self.wait()

    def wait(self) -> None:
        """Wait until it is of use."""
        until(self._alive_and_ready, f"{self.name} on {self.machine.name} to be ready", self.said)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without asking, and wait."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.machine.order("signal", name=self.name, number=number)

    def said(self) -> str:
        """Return the end of what it printed."""
        return tail(self.log)

    def _end(self, number: int) -> None:
        self.signal(number)
        until(lambda: not self.running, f"{self.name} on {self.machine.name} to end", self.said)

    def _alive_and_ready(self) -> object:
        status = self.machine.order("status", name=self.name)
        if status is not None:
            raise ClusterError(
                f"{self.name} on {self.machine.name} ended with {status}:\n{self.said()}"
            )
        return self.ready()


def inside(pid: int, *command: str) -> list[str]:
    """Return what runs a command on the machine that a process is on."""
    return ["nsenter", f"--target={pid}", *NAMESPACES, "--", *command]


def end(directory: Path) -> None:
    """End the machine that a directory tells of, if it is on; whoever started it."""
    if pid := pid_of(directory):
        os.kill(pid, signal.SIGKILL)
        until(lambda: not pid_of(directory), f"machine {directory.name} to end")
    (directory / "pid").unlink(missing_ok=True)


def pid_of(directory: Path) -> int:
    """Return the first process of the machine that a directory tells of; 0: it is off."""
    try:
        pid, moment = (directory / "pid").read_text().split()
    except FileNotFoundError:
        return 0
    return int(pid) if started(int(pid)) == moment else 0


def started(pid: int) -> str:
    """Return when a process started, in ticks since this machine did; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def tail(log: Path, lines: int = 20) -> str:
    """Return the end of a file."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return f"the end of {log}:\n" + "\n".join(text.splitlines()[-lines:])
