"""A node without a daemon, taken over by manifests that were made for Multus.

The real commands run as processes in containers: with the host's directories below ``/host``, and
with a service account whose token rotates.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import nodes
from tests.processes import PATIENCE, eventually
from tests.system import books, container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubeapi import KubeApi

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MANIFEST = (
    "/thin_entrypoint",
    "--multus-conf-file=auto",
    "--multus-autoconfig-dir=/host/etc/cni/net.d",
    "--cni-conf-dir=/host/etc/cni/net.d",
)
"""The command of Multus's thin DaemonSet."""

PRIMARY = {
    "cniVersion": "1.0.0",
    "name": "primary",
    "plugins": [{"type": "main", "capabilities": {"portMappings": True}}],
}


@dataclass
class Node:
    """The directories of a node, and the service account of the pod on it."""

    directory: Path
    server: str = "10.0.0.1:443"
    memory: bool = False
    """Whether the manifest mounts the host's memory for the token."""
    said: str = ""
    """What the last run said."""
    running: subprocess.Popen[str] | None = field(default=None)

    def __post_init__(self) -> None:
        for inner in ("etc/cni/net.d", "opt/cni/bin", "run", "account", "var/lib/cni"):
            (self.directory / inner).mkdir(parents=True, exist_ok=True)
        self.rotate("first")
        (self.directory / "account" / "ca.crt").write_text("an authority")

    @property
    def net_d(self) -> Path:
        return self.directory / "etc/cni/net.d"

    @property
    def bin(self) -> Path:
        return self.directory / "opt/cni/bin"

    @property
    def kubeconfig(self) -> Path:
        return self.net_d / "multus.d/multus.kubeconfig"

    def rotate(self, token: str) -> None:
        """Renew the token, as the kubelet does."""
        new = self.directory / "account" / "new"
        new.write_text(token)
        new.rename(new.with_name("token"))

    def write(self, name: str, value: object) -> None:
        """Write a configuration, whole."""
        new = self.directory / "new"
        new.write_text(json.dumps(value))
        new.rename(self.net_d / name)

    def names(self) -> list[str]:
        """Return the configurations that a runtime sees, in its order."""
        return sorted(path.name for path in self.net_d.iterdir() if path.suffix.startswith(".conf"))

    def plugin(self) -> dict[str, Any]:
        """Return our plugin in the configuration that a runtime takes."""
        config = json.loads((self.net_d / self.names()[0]).read_bytes())
        plugins = config.get("plugins", [config])
        assert len(plugins) == 1
        assert plugins[0]["type"] == "multus"
        return dict(plugins[0])

    def primary(self) -> str:
        """Return the name of the network in our configuration, nothing if there is none."""
        if not self.names() or not self.names()[0].startswith("00-multus."):
            return ""
        return str(self.plugin()["delegates"][0]["name"])

    def token(self) -> str:
        """Return the token that the plugin uses now, nothing if there is none."""
        if not self.kubeconfig.exists():
            return ""
        user = json.loads(self.kubeconfig.read_bytes())["users"][0]["user"]
        if "tokenFile" in user:
            assert user["tokenFile"] == "/run/multus-py/multus.token"
            return (self.directory / "run/multus.token").read_text()
        return str(user["token"])

    def on_disk(self, text: str) -> list[Path]:
        """Return the files of the host's disk with a text in them."""
        tops = (self.net_d, self.bin)
        files = [path for top in tops for path in top.rglob("*") if path.is_file()]
        return [path for path in files if text.encode() in path.read_bytes()]

    def command(self, *command: str) -> list[str]:
        """Return what executes a command of an image in a container of this node."""
        host, _, port = self.server.rpartition(":")
        mounts = {
            "/host/etc/cni/net.d": self.net_d,
            "/host/opt/cni/bin": self.bin,
            ACCOUNT: self.directory / "account",
        }
        if self.memory:
            mounts["/run/multus-py"] = self.directory / "run"
        links = ("thin_entrypoint", "install_multus")
        inside = container.prefix(self.directory / "container", mounts, *links)
        address = [f"KUBERNETES_SERVICE_HOST={host}", f"KUBERNETES_SERVICE_PORT={port}"]
        return ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *address, *inside, *command]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of an image until it ends by itself."""
        return subprocess.run(
            self.command(*command), capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    @contextmanager
    def entrypoint(self, *flags: str) -> Iterator[subprocess.Popen[str]]:
        """Have the entry point run; at the end it gets SIGTERM, and has to end in good order."""
        process = subprocess.Popen(
            self.command(*MANIFEST, *flags), stderr=subprocess.PIPE, text=True
        )
        try:
            yield process
            assert process.poll() is None, process.communicate()
            process.send_signal(signal.SIGTERM)
            _, self.said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, self.said
        assert "Traceback" not in self.said

    def on_host(self, *further: Path, **environment: str) -> subprocess.Popen[bytes]:
        """Start the installed plugin on the host, as a runtime does."""
        places = ("/etc/cni/net.d", "/opt/cni/bin", "/var/lib/cni")
        mounts = {place: self.directory / place[1:] for place in places}
        mounts |= {"/run/multus-py": self.directory / "run", "/run/netns": Path("/run/netns")}
        mounts |= {str(path): path for path in further}
        return subprocess.Popen(
            [*container.prefix(self.directory / "host", mounts), "/opt/cni/bin/multus"],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def host(node: None, tmp_path: Path) -> Node:
    return Node(tmp_path)


# -- what is taken over


def test_a_manifest_of_multus_takes_over_and_follows(host: Node) -> None:
    done = host.run("/install_multus", "--type", "thin")
    assert "/opt/cni/bin/multus is installed" in done.stdout, done.stderr
    with host.entrypoint():
        eventually(lambda: host.token() == "first")
        assert host.names() == []  # it waits for the primary network

        host.write("10-a.conflist", PRIMARY)
        eventually(lambda: host.primary() == "primary")
        assert host.names() == ["00-multus.conflist", "10-a.conflist"]
        plugin = host.plugin()
        assert plugin["delegates"] == [PRIMARY]
        assert plugin["capabilities"]["portMappings"] is True
        assert plugin["kubeconfig"] == "/etc/cni/net.d/multus.d/multus.kubeconfig"
        assert plugin["confDir"] == "/etc/cni/multus/net.d"
        assert "cniConf" not in plugin

        host.rotate("second")
        eventually(lambda: host.token() == "second")
        (host.directory / "account" / "ca.crt").write_text("another")
        eventually(lambda: "YW5vdGhlcg==" in host.kubeconfig.read_text())

        host.write("10-a.conflist", {**PRIMARY, "name": "renamed", "cniVersion": "0.4.0"})
        eventually(lambda: host.names() == ["00-multus.conf", "10-a.conflist"])
        assert host.primary() == "renamed"

        (host.net_d / "00-multus.conf").unlink()
        eventually(lambda: host.primary() == "renamed")
    assert host.primary() == "renamed"
    assert "nothing in memory is mounted at /run/multus-py" in host.said


def test_the_executable_is_installed_by_the_hosts_paths(host: Node) -> None:
    host.write("10-a.conflist", PRIMARY)
    (host.bin / "multus").write_text("Multus's own")
    with host.entrypoint():
        eventually(lambda: host.primary() == "primary")
    process = host.on_host(CNI_COMMAND="VERSION")
    said, complaint = process.communicate(b"{}", timeout=PATIENCE)
    assert json.loads(said)["cniVersion"] == "1.1.0", complaint
    assert "/host" not in (host.bin / "multus").read_text()
    assert {path.name for path in host.bin.iterdir()} >= {"multus", "multus-py", "passthru"}
    assert (host.bin / ".multus-py/replaced/opt/cni/bin/multus").read_text() == "Multus's own"


@pytest.mark.parametrize("memory", [False, True])
def test_pods_get_their_networks_by_the_credential(
    node: None, netns: nodes.Netns, tmp_path: Path, kubeapi: KubeApi, *, memory: bool
) -> None:
    with _memory(tmp_path / "node/run", wanted=memory):
        host = Node(tmp_path / "node", f"127.0.0.1:{kubeapi.port}", memory)
        kubeapi.token = "the-token-of-an-hour"
        host.rotate(kubeapi.token)
        (host.directory / "account/ca.crt").write_bytes(kubeapi.certificate.path.read_bytes())
        books.install(str(host.bin), str(tmp_path / "books"), "main", "one")
        definition = json.dumps({"cniVersion": "1.0.0", "type": "one"})
        kubeapi.add("NetworkAttachmentDefinition", "one", spec={"config": definition})
        asked = {"k8s.v1.cni.cncf.io/networks": "one"}
        kubeapi.add("Pod", "web", uid="1", annotations=asked)
        host.write("10-a.conflist", PRIMARY)
        with host.entrypoint():
            eventually(lambda: host.primary() == "primary")
            said = _attached(host, netns, tmp_path / "books")
        assert "interfaces" in said, (said, host.said)
        assert sorted(os.listdir(tmp_path / "books/entries")) == ["ctr-eth0-main", "ctr-net1-one"]


def _attached(host: Node, netns: nodes.Netns, books_dir: Path) -> dict[str, Any]:
    """Attach a pod as a runtime does; return the answer."""
    process = host.on_host(
        books_dir,
        CNI_COMMAND="ADD",
        CNI_CONTAINERID="ctr",
        CNI_NETNS=netns.path,
        CNI_IFNAME="eth0",
        CNI_PATH="/opt/cni/bin",
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
    )
    config = json.loads((host.net_d / host.names()[0]).read_bytes())
    stdin = {**config["plugins"][0], "name": config["name"], "cniVersion": config["cniVersion"]}
    said, complaint = process.communicate(json.dumps(stdin).encode(), timeout=PATIENCE)
    assert said, complaint
    return dict(json.loads(said))


# -- what is left


@contextmanager
def _memory(directory: Path, *, wanted: bool = True) -> Iterator[None]:
    if not wanted:
        yield
        return
    with nodes.mounted(directory, "mode=755"):
        yield


def test_a_token_that_lives_seconds_is_never_on_a_disk(node: None, tmp_path: Path) -> None:
    with _memory(tmp_path / "node/run"):
        host = Node(tmp_path / "node", memory=True)
        host.write("10-a.conflist", PRIMARY)
        with host.entrypoint():
            for number in range(4):
                token = f"a-short-lived-token-{number}"
                host.rotate(token)
                eventually(lambda token=token: host.token() == token)  # type: ignore[misc] # bound
                assert host.on_disk("a-short-lived-token") == []
        assert host.on_disk("a-short-lived-token") == []
        assert host.token() == "a-short-lived-token-3"  # for pods that start meanwhile
        assert "nothing in memory" not in host.said
        token_file = tmp_path / "node/run/multus.token"
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_a_token_on_a_disk_is_for_root_and_goes_with_the_process(host: Node) -> None:
    host.write("10-a.conflist", PRIMARY)
    with host.entrypoint("--skip-multus-binary-copy"):
        eventually(lambda: host.primary() == "primary")
        assert host.on_disk("first") == [host.kubeconfig]
        assert stat.S_IMODE(host.kubeconfig.stat().st_mode) == 0o600
    assert host.on_disk("first") == []
    assert host.primary() == "primary"
    assert list(host.bin.iterdir()) == []


def test_the_end_can_remove_the_configuration(node: None, tmp_path: Path) -> None:
    with _memory(tmp_path / "node/run"):
        host = Node(tmp_path / "node", memory=True)
        host.write("10-a.conflist", PRIMARY)
        with host.entrypoint("--skip-multus-binary-copy", "--cleanup-config-on-exit=true"):
            eventually(lambda: host.primary() == "primary")
        assert [path.name for path in host.net_d.rglob("*")] == ["10-a.conflist"]
        assert list((tmp_path / "node/run").iterdir()) == []


def test_a_failure_leaves_the_configuration(host: Node) -> None:
    host.write("10-a.conflist", PRIMARY)
    flags = ("--skip-multus-binary-copy", "--cleanup-config-on-exit")
    with host.entrypoint("--skip-multus-binary-copy"):
        eventually(lambda: host.primary() == "primary")
    (host.directory / "account/token").unlink()
    done = host.run(*MANIFEST, *flags)
    assert done.returncode == 1
    assert "cannot read /var/run/secrets/kubernetes.io/serviceaccount/token" in done.stderr
    assert host.primary() == "primary"


# -- the other flags


def test_the_primary_networks_file_can_be_renamed(host: Node) -> None:
    host.write("10-a.conflist", PRIMARY)
    host.write("20-b.conflist", {**PRIMARY, "name": "other"})
    flags = ("--skip-multus-binary-copy", "--rename-conf-file")
    ours, others = "00-multus.conflist", "20-b.conflist"
    with host.entrypoint(*flags):
        eventually(lambda: host.names() == [ours, others])
        assert host.primary() == "primary"
        host.write("10-a.conflist", {**PRIMARY, "name": "second"})
        eventually(lambda: host.primary() == "second" and host.names() == [ours, others])
    with host.entrypoint(*flags, "--cleanup-config-on-exit"):
        eventually(lambda: host.token() == "first")
        host.write("10-a.conflist", {**PRIMARY, "name": "third"})
        eventually(lambda: host.primary() == "third" and host.names() == [ours, others])
    assert host.names() == ["10-a.conflist", others]
    assert json.loads((host.net_d / "10-a.conflist").read_text())["name"] == "third"


def test_a_given_file_is_the_configuration(host: Node) -> None:
    given = {
        "cniVersion": "1.0.0",
        "name": "mine",
        "type": "multus",
        "delegates": [{"cniVersion": "1.0.0", "name": "a", "type": "bridge"}],
    }
    (host.directory / "account" / "70-mine.conf").write_text(json.dumps(given))
    flags = (f"--multus-conf-file={ACCOUNT}/70-mine.conf", "--cleanup-config-on-exit")
    host.write("80-a.conflist", PRIMARY)
    with host.entrypoint("--skip-multus-binary-copy", *flags):
        eventually(lambda: host.names() == ["70-mine.conf", "80-a.conflist"])
        assert json.loads((host.net_d / "70-mine.conf").read_text()) == given
        (host.net_d / "70-mine.conf").unlink()
        eventually(lambda: host.names() == ["70-mine.conf", "80-a.conflist"])
    assert host.names() == ["80-a.conflist"]


def test_a_given_file_that_is_none_is_a_failure(host: Node) -> None:
    (host.directory / "account" / "70-mine.conf").write_text("{")
    done = host.run(*MANIFEST, f"--multus-conf-file={ACCOUNT}/70-mine.conf")
    assert done.returncode == 1
    assert "no configuration is written: 70-mine.conf" in done.stderr
    assert host.on_disk("first") == []


def test_without_the_watch_only_the_credential_is_followed(host: Node) -> None:
    flags = ("--skip-multus-binary-copy", "--skip-config-watch")
    with host.entrypoint(*flags):
        eventually(lambda: host.token() == "first")
        host.write("10-a.conflist", PRIMARY)
        eventually(lambda: host.primary() == "primary")
        host.write("10-a.conflist", {**PRIMARY, "name": "changed"})
        for number in range(3):  # as many rounds in which it could have been followed
            host.rotate(str(number))
            eventually(lambda number=number: host.token() == str(number))  # type: ignore[misc] # bound
        assert host.primary() == "primary"


def test_an_executable_that_is_given_is_copied_also_while_it_runs(host: Node) -> None:
    host.write("10-a.conflist", PRIMARY)
    for content in ("#!/bin/sh\nsleep 600\n", "#!/bin/sh\necho new\n"):
        (host.directory / "account" / "multus").write_text(content)
        (host.directory / "account" / "multus").chmod(0o755)
        with host.entrypoint(f"--multus-bin-file={ACCOUNT}/multus"):
            eventually(lambda: host.primary() == "primary" and host.token())
        assert (host.bin / "multus").read_text() == content
        assert stat.S_IMODE((host.bin / "multus").stat().st_mode) == 0o755
    assert [path.name for path in host.bin.iterdir()] == ["multus"]


def test_another_directory_than_the_hosts_is_refused(host: Node, tmp_path: Path) -> None:
    host.bin.rename(tmp_path / "opt/cni/plugins")
    host.bin.symlink_to("plugins")
    done = host.run(*MANIFEST)
    assert done.returncode == 1
    assert "/host/opt/cni/bin is taken for /opt/cni/bin of the host" in done.stderr
    assert "--cni-bin-dir-host" in done.stderr
    assert list((tmp_path / "opt/cni/plugins").iterdir()) == []


def test_the_end_does_not_have_to_wait_for_anything(host: Node) -> None:
    """It is told to end while it waits for a primary network that never comes."""
    with host.entrypoint("--skip-multus-binary-copy"):
        eventually(lambda: host.token() == "first")
    assert host.names() == []
