"""Real daemons for tests: started, ended, killed and started again on the node of a runtime.

A :class:`Daemon` is one place where daemons work, one after the other: its socket, its log, its
ports and the launcher that container runtimes execute stay the same.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from multus_py import launcher
from multus_py.launcher import Program
from tests.micropython import micropython
from tests.processes import PATIENCE, alive, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubeapi import KubeApi

NODE = "node"
"""The name of the node that pods in tests are bound to."""

SHORT_PATIENCE = 1.0
"""Seconds that shims wait here for a daemon that does not answer."""


@dataclass
class Daemon:
    """Daemons with one configuration. ``prefix`` is a command that executes another one."""

    directory: Path
    sockets: Path
    """Short: the path of a unix socket has 107 bytes."""
    kubeconfig: Path | None
    settings: dict[str, Any]
    prefix: tuple[str, ...] = ()
    python: str = sys.executable
    port: int = field(default_factory=lambda: free_port())  # noqa: PLW0108 - it is defined below
    _process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where the shims are answered."""
        return self.sockets / "multus-py.sock"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def program(
        self, *, at: Path | None = None, patience: float = SHORT_PATIENCE
    ) -> tuple[str, ...]:
        """Write a launcher for the socket, or for that ``at`` another path; return its command."""
        asked = at or self.socket
        path = str(self.directory / f"launcher-{asked.stem}")
        text = launcher.text(
            path,
            program=Program(sys.executable, launcher.package_directory(), micropython()),
            socket=str(asked),
            directories=(),
            patience=patience,
        )
        launcher.write(path, text)
        return (path,)

    def start(self) -> None:
        """Start a daemon and wait until it is ready."""
        self.begin()
        eventually(self._is_ready)

    def begin(self) -> None:
        """Start a daemon."""
        assert not self.running
        config = self.directory / "daemon.json"
        ours = {"socketDir": str(self.sockets), "healthPort": self.port, "metricsPort": self.port}
        ours["kubernetes"] = self.kubeconfig is not None
        ours["multusConfigFile"] = ""  # the node's own configuration is none of theirs
        config.write_text(json.dumps(ours | self.settings))
        cluster = ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []
        own = [self.python, "-m", "multus_py", "daemon", "--config", str(config), *cluster]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *own],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "MULTUS_NODE_NAME": NODE},
            )

    def kill(self) -> None:
        """End the daemon as an empty memory does."""
        self._send(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """Ask the daemon to end."""
        self._send(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until the daemon has ended; return its exit code."""
        assert self._process
        return self._process.wait(PATIENCE)

    def stop(self) -> None:
        """Let the daemon end in good order."""
        self.terminate()
        assert self.wait() == 0, self.log()

    # -- what it says of itself

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels."""
        families = text_string_to_metric_families(self._page("/metrics")[1])
        samples = (sample for family in families for sample in family.samples)
        return sum(
            sample.value
            for sample in samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def kilobytes(self, what: str) -> int:
        """Return a line of its memory in ``/proc``: VmRSS, now, or VmHWM, the most it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0])

    def forget_peak(self) -> None:
        """Let VmHWM begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def _log(self) -> Path:
        return self.directory / "daemon.log"

    def _is_ready(self) -> bool:
        assert self.running, self.log()
        return self._page("/readyz")[0] == 200

    def _page(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def _send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


@contextmanager
def daemon_on(
    directory: Path,
    *,
    kubeconfig: Path | None = None,
    prefix: tuple[str, ...] = (),
    python: str = sys.executable,
    **settings: Any,
) -> Iterator[Daemon]:
    """Have a daemon that is ready. None of them may have met a bug."""
    with tempfile.TemporaryDirectory(prefix="multus-", dir="/run") as sockets:
        daemon = Daemon(directory, Path(sockets), kubeconfig, settings, prefix, python)
        try:
            daemon.start()
            yield daemon
        finally:
            if daemon.running:
                daemon.kill()
        assert "Traceback" not in daemon.log(), daemon.log()


def a_pod(kubeapi: KubeApi, name: str, *, networks: str = "") -> None:
    """Add a pod that runs on the node."""
    annotations = {"k8s.v1.cni.cncf.io/networks": networks} if networks else {}
    kubeapi.add(
        "Pod",
        name,
        uid=f"uid-{name}",
        annotations=annotations,
        spec={"nodeName": NODE},
        status={"phase": "Running"},
    )


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def carriers(launcher_path: str) -> list[int]:
    """Return the processes of a launcher that no runtime waits for."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if launcher_path.encode() in command:
                found.append(int(entry.name))
    return found
