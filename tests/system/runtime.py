"""A container runtime for tests: runs the plugin as a process and looks at what is on the node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.system import books

PLUGIN = (sys.executable, "-m", "multus_py")


@dataclass(frozen=True)
class Answer:
    """How the plugin ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Standard output as JSON, None if there is nothing."""
        return json.loads(self.stdout) if self.stdout else None


@dataclass
class Runtime:
    """A node below one directory, with plugins that keep books, and a pod's namespace."""

    directory: Path
    netns: str
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = PLUGIN

    @property
    def cni_dir(self) -> Path:
        return self.directory / "cni"

    @property
    def bin_dir(self) -> Path:
        return self.directory / "bin"

    @property
    def books(self) -> Path:
        return self.directory / "books"

    def install(self, *types: str) -> None:
        """Install plugins that keep books."""
        books.install(str(self.bin_dir), str(self.books), *types)

    def behave(self, **behaviour: Any) -> None:
        """Say how plugins behave from now on: type={command: what}; see :mod:`books`."""
        (self.books / "books.json").write_text(json.dumps(behaviour))

    def request(
        self,
        command: str,
        *,
        container_id: str = "ctr",
        ifname: str = "eth0",
        pod: str = "web",
        stdin: bytes | None = None,
        environment: dict[str, str | None] | None = None,
        **changes: Any,
    ) -> Answer:
        """Make a request and wait for its answer; ``changes`` are keys of the configuration."""
        child = self.start(
            command,
            container_id=container_id,
            ifname=ifname,
            pod=pod,
            environment=environment,
        )
        raw = json.dumps(self.written(**changes)).encode() if stdin is None else stdin
        stdout, stderr = child.communicate(raw, timeout=120)
        return Answer(child.returncode, stdout.decode(), stderr.decode(errors="replace"))

    def start(
        self,
        command: str,
        *,
        container_id: str = "ctr",
        ifname: str = "eth0",
        pod: str = "web",
        environment: dict[str, str | None] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a request; its configuration has to be written to the process."""
        variables: dict[str, str | None] = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": self.netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(self.bin_dir),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}",
            **self.environment,
            **(environment or {}),
        }
        return subprocess.Popen(
            self.program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: value for name, value in variables.items() if value is not None},
        )

    def begin(
        self, command: str, *, container_id: str = "ctr", pod: str = "web", **changes: Any
    ) -> subprocess.Popen[bytes]:
        """Start a request with its whole configuration, and do not wait for its answer."""
        child = self.start(command, container_id=container_id, pod=pod)
        assert child.stdin
        child.stdin.write(json.dumps(self.written(**changes)).encode())
        child.stdin.close()
        child.stdin = None  # communicate() has nothing to write any more
        return child

    def written(self, **changes: Any) -> dict[str, Any]:
        """Return the configuration for standard input."""
        return {
            "cniVersion": "1.1.0",
            "name": "multus-net",
            "type": "multus-py",
            "cniDir": str(self.cni_dir),
            "confDir": str(self.directory / "net.d"),
            "binDir": str(self.bin_dir),
            **self.config,
            **changes,
        }

    # -- what is on the node

    def entries(self) -> list[str]:
        """Return what is in the plugins' books, sorted."""
        entries = self.books / "entries"
        return sorted(os.listdir(entries)) if entries.exists() else []

    def files(self) -> dict[str, bytes]:
        """Return the files of records and cached results, hidden ones included."""
        found = {}
        for directory, _, names in os.walk(self.cni_dir):
            for path in (Path(directory, name) for name in names):
                with suppress(FileNotFoundError):  # whoever releases takes them away meanwhile
                    found[str(path.relative_to(self.cni_dir))] = path.read_bytes()
        return found

    def calls(self) -> list[dict[str, Any]]:
        """Return all calls of plugins so far."""
        path = self.books / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def talk(self) -> list[str]:
        """Return all calls of plugins so far as ``COMMAND type interface``."""
        return [
            f"{call['CNI_COMMAND']} {call['type']} {call['CNI_IFNAME']}".strip()
            for call in self.calls()
        ]

    def state(self) -> tuple[list[str], dict[str, bytes]]:
        """Return all that a request may have changed."""
        return self.entries(), self.files()


def network(kind: str, name: str = "", **members: Any) -> dict[str, Any]:
    """Return the configuration of a network with one plugin."""
    return {"cniVersion": "1.1.0", "type": kind, **({"name": name} if name else {}), **members}


def manifest(name: str, kind: str = "Pod", **annotations: str) -> dict[str, Any]:
    """Return a pod, or another object, with annotations of our group."""
    keys = {"networks": "k8s.v1.cni.cncf.io/networks"}
    metadata = {"name": name, "annotations": {keys[key]: text for key, text in annotations.items()}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def definition(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return a NetworkAttachmentDefinition."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name},
        "spec": {"config": json.dumps(config)},
    }


def a_cluster(directory: Path, *objects: dict[str, Any]) -> dict[str, Any]:
    """Write objects as manifests and return the keys of a configuration that has them."""
    path = directory / "manifests.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    return {"manifests": [str(path)], "statusDir": str(directory / "status")}
