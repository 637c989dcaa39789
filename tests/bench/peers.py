"""The peers, deployed as their users deploy them, but for the directories."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.site import ANNOTATION, NODE, PRIMARY, PROGRAMS, Pod, Site
from tests.deploy import built
from tests.system.daemon import carriers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.turns import Call

OURS = "multus-py"
THEIRS = "Multus"
PAIR = (OURS, THEIRS)
_PATIENCE = 60.0
_CARRIER_STAYS = {"carrierIdle": 3600}
"""It counts, so it is not to end in the middle; it would after ten minutes without work."""
_CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"


@dataclass(frozen=True, slots=True)
class Peer:
    """Something that container runtimes call on a site."""

    name: str
    site: Site
    program: Path
    config: dict[str, Any]
    user: str
    """Who it is for the API server."""
    daemon: subprocess.Popen[bytes] | None = None

    def call(self, command: str, container: str, pod: Pod) -> Call:
        """Return a request for a container of a pod."""
        config = dict(self.config)
        if config.get("capabilities", {}).get(_POD_ANNOTATIONS):
            told = {ANNOTATION: pod.annotation} if pod.networks else {}
            config["runtimeConfig"] = {_POD_ANNOTATIONS: told}
        return self.site.call(self.program, config, command, container, pod)

    def processes(self) -> list[int]:
        """Return the processes that stay: the daemon, and the carrier if there is one."""
        return [*([self.daemon.pid] if self.daemon else []), *carriers(str(self.program))]


@dataclass(frozen=True, slots=True)
class Installation:
    """Ours, from the bundle, below a directory."""

    directory: Path

    @classmethod
    def made(cls, directory: Path) -> Installation:
        """Install from the bundle, as people do."""
        made = cls(directory)
        options = {
            "--bin-dir": made.bin_dir,
            "--lib-dir": directory / "lib",
            "--socket-dir": directory / "socket",
            "--conf-dir": directory / "net.d",
            "--cni-dir": directory / "cni",
        }
        words = [str(word) for option in options.items() for word in option]
        _ran(*built.PYTHON, "-I", "-m", "multus_py", "install", *words)
        return made

    @property
    def bin_dir(self) -> Path:
        return self.directory / "bin"

    @property
    def python(self) -> Path:
        """The carried interpreter."""
        return self.directory / "lib/current/bin/python3"

    def command(self, *words: str) -> tuple[str, ...]:
        """Return a command of ours."""
        return (str(self.python), "-I", "-m", "multus_py", *words)

    def launcher(self, site: Site, name: str, socket_dir: Path) -> Path:
        """Write the launcher that ``install`` writes, for other directories."""
        path = site.bin_dir / name
        places = [f"--socket-dir={socket_dir}", f"--bin-dir={site.bin_dir}"]
        _ran(*self.command("launcher", str(path), *places))
        return path


@contextmanager
def pair(site: Site, installation: Installation, **more: Any) -> Iterator[dict[str, Peer]]:
    """Have both daemons at work on a site, ours with more settings."""
    with ExitStack() as stack:
        yield {
            OURS: stack.enter_context(ours(site, installation, **more)),
            THEIRS: stack.enter_context(thick(site)),
        }


@contextmanager
def ours(site: Site, installation: Installation, **more: Any) -> Iterator[Peer]:
    """Have our daemon, with more settings than Multus's has."""
    place = _Place.made(site, OURS)
    port = free_port()
    settings = {**place.settings(), "healthPort": port, **_CARRIER_STAYS, **more}
    program = installation.launcher(site, OURS, place.sockets)
    config = place.write("daemon.json", settings)
    command = installation.command(
        "daemon", "--config", str(config), "--kubeconfig", str(place.kubeconfig())
    )
    with _running(command, place, {}) as process:
        _wait(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), process)
        generated = _wait(place.generated, process)
        yield Peer(OURS, site, program, generated, place.name, process)


@contextmanager
def thick(site: Site) -> Iterator[Peer]:
    """Have Multus's daemon. It knows the API server as programs in a cluster do."""
    place = _Place.made(site, THEIRS)
    _CREDENTIALS.mkdir(parents=True, exist_ok=True)
    (_CREDENTIALS / "token").write_text(THEIRS)
    (_CREDENTIALS / "ca.crt").write_bytes(site.api.certificate.path.read_bytes())
    settings = {**place.settings(), "daemonSocketDir": str(place.sockets), "cniVersion": "1.0.0"}
    config = place.write("daemon.json", settings)
    environment = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(site.api.port),
    }
    command = (str(PROGRAMS / "multus-daemon"), "-config", str(config))
    with _running(command, place, environment) as process:
        generated = _wait(place.generated, process)
        yield Peer(THEIRS, site, PROGRAMS / "multus-shim", generated, place.name, process)


def thin(site: Site, *, cluster: bool) -> Peer:
    """Return Multus without a daemon, with or without an API server."""
    place = _Place.made(site, f"{THEIRS}-thin")
    config = place.alone("multus", cluster=cluster)
    return Peer(THEIRS, site, PROGRAMS / "multus", config, place.name)


def alone(site: Site, installation: Installation, *, cluster: bool) -> Peer:
    """Return ours without a daemon: its socket is not there."""
    place = _Place.made(site, f"{OURS}-alone")
    program = installation.launcher(site, f"{OURS}-alone", place.sockets / "none")
    return Peer(OURS, site, program, place.alone(OURS, cluster=cluster), place.name)


@dataclass(frozen=True, slots=True)
class _Place:
    """The directories of one peer."""

    site: Site
    name: str
    directory: Path = field(default=Path())

    @classmethod
    def made(cls, site: Site, name: str) -> _Place:
        place = cls(site, name, site.directory / name)
        place.conf_dir.mkdir(parents=True, exist_ok=True)
        place.sockets.mkdir(exist_ok=True)
        (place.conf_dir / "10-primary.conflist").write_text(json.dumps(PRIMARY))
        return place

    @property
    def conf_dir(self) -> Path:
        return self.directory / "net.d"

    @property
    def sockets(self) -> Path:
        return self.site.sockets / self.name

    @property
    def records(self) -> Path:
        return self.directory / "cni"

    def settings(self) -> dict[str, Any]:
        """Return what both manifests say, with the directories here."""
        return {
            "binDir": str(self.site.bin_dir),
            "cniConfigDir": str(self.conf_dir),
            "cniDir": str(self.records),
            "confDir": str(self.directory / "definitions"),
            "logLevel": "verbose",
            "logToStderr": True,
            "multusAutoconfigDir": str(self.conf_dir),
            "socketDir": str(self.sockets),
        }

    def alone(self, kind: str, *, cluster: bool) -> dict[str, Any]:
        """Return a configuration for a peer without a daemon."""
        return {
            "cniVersion": "1.0.0",
            "name": "multus-cni-network",
            "type": kind,
            "binDir": str(self.site.bin_dir),
            "cniDir": str(self.records),
            "delegates": [PRIMARY],
            **({"kubeconfig": str(self.kubeconfig())} if cluster else {}),
        }

    def kubeconfig(self) -> Path:
        """Write a kubeconfig whose credential is the peer's name."""
        self.site.api.token = self.name
        return self.site.api.kubeconfig(self.directory)

    def write(self, name: str, value: dict[str, Any]) -> Path:
        path = self.directory / name
        path.write_text(json.dumps(value))
        return path

    def generated(self) -> dict[str, Any] | None:
        """Return the configuration that a daemon has generated, as runtimes pass it."""
        for path in self.conf_dir.glob("00-multus.conf*"):
            with suppress(ValueError):  # it is being written
                whole: dict[str, Any] = json.loads(path.read_text())
                (plugin,) = whole.pop("plugins", [{}])
                return {**whole, **plugin}
        return None


@contextmanager
def _running(
    command: tuple[str, ...], place: _Place, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    path = place.directory / "log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "MULTUS_NODE_NAME": NODE, **environment},
        )
    try:
        yield process
    except BaseException:
        print(f"-- {place.name} said last:\n{path.read_text()[-2000:]}")
        raise
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _wait(question: Any, process: subprocess.Popen[bytes]) -> Any:
    """Return the first answer that is true, while a process runs."""
    end = time.monotonic() + _PATIENCE
    while not (answer := question()):
        assert process.poll() is None, f"{process.args!r} has ended"
        assert time.monotonic() < end, f"{process.args!r} is not ready"
        time.sleep(0.05)
    return answer


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def _ran(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
