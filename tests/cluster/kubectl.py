"""The cluster's kubectl, on the network of the API server and with this machine's files."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.cluster.places import BIN, ENVIRONMENT
from tests.cluster.waiting import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.machine import Machine


class Kubectl:
    """Runs kubectl as a user does."""

    def __init__(self, control: Machine, kubeconfig: Path) -> None:
        self._control = control
        self._kubeconfig = kubeconfig

    def command(self) -> list[str]:
        """Return what comes before the arguments."""
        return [
            *("nsenter", f"--net=/proc/{self._control.pid}/ns/net", str(BIN / "kubectl")),
            f"--kubeconfig={self._kubeconfig}",
            f"--cache-dir={self._kubeconfig.parent}/kubectl-cache",
        ]

    def attempt(
        self, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl, which may fail."""
        return subprocess.run(
            [*self.command(), *arguments],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            env=ENVIRONMENT,
        )

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl, which has to succeed; return what it printed."""
        done = self.attempt(*arguments, stdin=stdin)
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.returncode}: {said}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run kubectl, which has to succeed; return the JSON that it printed."""
        return json.loads(self(*arguments, "--output=json"))

    def apply(self, *objects: dict[str, Any]) -> str:
        """Apply objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        return self("apply", "--filename=-", stdin=json.dumps(listed))

    def write_script(self, path: Path) -> None:
        """Write an executable that is this kubectl."""
        settings = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        words = " ".join(["env", *settings, *self.command()])
        path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        path.chmod(0o755)
