"""The image: what registries take, and a root in which everything works with nothing else there."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy import bundle, image
from deploy.architecture import here
from multus_py.cni.version import SUPPORTED
from multus_py.version import VERSION
from tests import nodes
from tests.deploy.built import BUNDLE, CACHE, Root, described, root_of_image
from tests.system.daemon import a_pod, daemon_on
from tests.system.runtime import Runtime, a_cluster, definition, manifest
from tests.system.test_real_plugins import REAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kubeapi import KubeApi
    from tests.nodes import Netns

BESIDES = {
    *("bin/cert-approver", "bin/install_multus", "bin/kubeconfig_generator", "bin/multus-py"),
    *("bin/passthru", "bin/thin_entrypoint", "cert-approver", "install_multus"),
    *("etc/group", "etc/nsswitch.conf", "etc/passwd", "kubeconfig_generator", "thin_entrypoint"),
    *("usr/src/multus-cni/bin", "var/lib/dpkg/status.d", "var/run"),
}
"""What is no part of the bundle."""


class Layout:
    """An image as those see it who take it apart."""

    def __init__(self, archive: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            opened = ((member.name, members.extractfile(member)) for member in members)
            self.files = {name: file.read() for name, file in opened if file}
        (self.entry,) = json.loads(self.files["index.json"])["manifests"]
        self.manifest = self.blob(self.entry)
        self.config = self.blob(self.manifest["config"])
        (layer,) = self.manifest["layers"]
        self.layer = gzip.decompress(self.content(layer))

    def content(self, descriptor: dict[str, Any]) -> bytes:
        algorithm, _, digest = descriptor["digest"].partition(":")
        content = self.files[f"blobs/{algorithm}/{digest}"]
        assert hashlib.new(algorithm, content).hexdigest() == digest
        assert len(content) == descriptor["size"]
        return content

    def blob(self, descriptor: dict[str, Any]) -> Any:
        return json.loads(self.content(descriptor))


@pytest.fixture(scope="module")
def archive() -> bytes:
    return image.image(str(BUNDLE), str(CACHE))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return root_of_image(tmp_path_factory.mktemp("root"))


def test_it_is_an_image_of_one_layer(archive: bytes) -> None:
    layout = Layout(archive)

    assert json.loads(layout.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert layout.entry["platform"] == {"architecture": here(), "os": "linux"}
    assert layout.entry["annotations"] == {
        "io.containerd.image.name": f"docker.io/library/multus-py:{VERSION}",
        "org.opencontainers.image.ref.name": VERSION,
    }
    assert layout.config["config"]["Entrypoint"] == ["/bin/multus-py"]
    assert (layout.config["architecture"], layout.config["os"]) == (here(), "linux")
    digest = hashlib.sha256(layout.layer).hexdigest()
    assert layout.config["rootfs"] == {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    assert len(layout.files) == 5


def test_it_has_the_bundle_and_what_a_root_needs(archive: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(Layout(archive).layer)) as members:
        inside = {member.name: member for member in members if not member.isdir()}
        listed = described()["files"]

        assert set(inside) == {*listed, "bundle.json"} | BESIDES
        for name, item in listed.items():
            file = members.extractfile(inside[name])
            assert file
            assert hashlib.sha256(file.read()).hexdigest() == item["sha256"]
            assert inside[name].mode == item["mode"]
        assert {(member.uid, member.gid) for member in members} == {(0, 0)}
        assert members.getmember("tmp").mode == 0o1777


def test_it_is_the_same_bit_for_bit_when_all_is_built_anew(tmp_path: Path, archive: bytes) -> None:
    cache, again = tmp_path / "cache", tmp_path / "bundle"
    cache.mkdir()
    for fetched in (*CACHE.glob("debian-*"), *CACHE.glob("wheels-*")):
        (cache / fetched.name).symlink_to(fetched)
    package = BUNDLE / described()["library"] / "multus_py"

    bundle.build(here(), package=str(package), cache=str(cache), target=str(again))

    assert json.loads((again / "bundle.json").read_bytes()) == described()
    assert image.image(str(again), str(cache)) == archive


def test_the_plugin_answers_and_knows_its_version(node: None, root: Root) -> None:
    assert root.run("/bin/multus-py", "--version").stdout == f"multus-py: version:{VERSION}\n"
    answer = root.run("/bin/multus-py", environment={"CNI_COMMAND": "VERSION"})
    assert json.loads(answer.stdout)["supportedVersions"] == list(SUPPORTED)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        ("/bin/multus-py",),
        ("/bin/multus-py", "daemon"),
        ("/bin/multus-py", "install"),
        ("/bin/multus-py", "uninstall"),
        ("/bin/python3", "-m", "multus_py"),
        ("/cert-approver",),
        ("/install_multus",),
        ("/kubeconfig_generator",),
        ("/thin_entrypoint",),
        ("/usr/src/multus-cni/bin/install_multus",),
        ("/usr/src/multus-cni/bin/thin_entrypoint",),
    ],
    ids=" ".join,
)
def test_commands_are_there_also_where_multus_has_them(
    node: None, root: Root, command: tuple[str, ...]
) -> None:
    help_ = root.run(*command, "--help")

    assert (help_.returncode, help_.stderr) == (0, "")
    assert help_.stdout.startswith("Usage: multus-py")


def test_passthru_is_a_plugin(node: None, root: Root) -> None:
    answer = root.run("/bin/passthru", environment={"CNI_COMMAND": "VERSION"})

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1.0.0" in json.loads(answer.stdout)["supportedVersions"]


class Host(Runtime):
    """A node below a directory, and containers of the image that have parts of it."""

    root: Root
    network: Netns

    def multus_py(self, *words: str) -> str:
        """Run a command in a container with the node's directories; return what it says."""
        done = self.root.sharing(self.directory, Path("/dev")).run("/bin/multus-py", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def put_plugin(self, sockets: Path) -> None:
        """Install it as the first container of a pod does, and call it from now on."""
        places = {
            "bin": self.bin_dir,
            "lib": self.directory / "lib",
            "socket": sockets,
            "conf": self.directory / "etc",
            "cni": self.cni_dir,
        }
        self.multus_py("install", *(f"--{name}-dir={path}" for name, path in places.items()))
        launcher = str(self.bin_dir / "multus-py")
        self.program = ("ip", "netns", "exec", self.network.name, launcher)

    def ipam(self, subnet: str) -> dict[str, Any]:
        return {"type": "host-local", "subnet": subnet, "dataDir": str(self.directory / "ipam")}

    def macvlan(self) -> dict[str, Any]:
        ipam = self.ipam("10.72.0.0/24")
        return {"cniVersion": "1.0.0", "type": "macvlan", "master": "image0", "ipam": ipam}


@pytest.fixture
def host(tmp_path: Path, netns: Netns, root: Root) -> Iterator[Host]:
    """Return a node whose pods get a bridge, and macvlan on it if they ask for that."""
    with nodes.network_namespace() as network:
        host = Host(tmp_path / "host", netns.path)
        for directory in ("etc", "bin"):
            (host.directory / directory).mkdir(parents=True)
        host.root, host.network = root, network
        host.environment = {"CNI_PATH": REAL}
        ipam = host.ipam("10.71.0.0/24")
        primary = {"name": "primary", "type": "bridge", "bridge": "image0", "ipam": ipam}
        host.config = {"delegates": [{"cniVersion": "1.0.0", **primary}], "binDir": REAL}
        yield host


def addresses(netns: Netns) -> dict[str, list[str]]:
    rows = json.loads(netns.ip("-json", "-4", "address", "show"))
    found = {row["ifname"]: [one["local"] for one in row["addr_info"]] for row in rows}
    del found["lo"]
    return found


def tree(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_what_it_installs_on_a_node_attaches_and_releases_a_pod(host: Host, netns: Netns) -> None:
    """Without a daemon: the launcher, the carried interpreter, the real plugins."""
    host.config |= a_cluster(
        host.directory, manifest("web", networks="second"), definition("second", host.macvlan())
    )
    before = tree(host.directory)
    host.put_plugin(host.directory / "socket")

    added = host.request("ADD")
    assert added.status == 0, added.stdout + added.stderr
    assert addresses(netns) == {"eth0": ["10.71.0.2"], "net1": ["10.72.0.2"]}
    deleted = host.request("DEL")
    assert deleted.status == 0, deleted.stdout + deleted.stderr
    assert addresses(netns) == {}

    host.multus_py("uninstall", f"--lib-dir={host.directory / 'lib'}")
    left = tree(host.directory) - before
    assert {path for path in left if path.split("/")[0] not in {"ipam", "status"}} == set()


def test_its_daemon_serves_what_it_installed(host: Host, netns: Netns, kubeapi: KubeApi) -> None:
    """A container of the image on a node of a cluster."""
    kubeapi.add(
        "NetworkAttachmentDefinition", "second", spec={"config": json.dumps(host.macvlan())}
    )
    a_pod(kubeapi, "web", networks="second")
    shared = [host.directory, *(Path(path) for path in ("/dev", "/proc", "/run"))]
    with daemon_on(
        host.directory,
        kubeconfig=kubeapi.kubeconfig(host.directory),
        prefix=host.root.sharing(*shared).command(),
        python="/bin/python3",
        cniDir=str(host.cni_dir),
    ) as daemon:
        host.put_plugin(daemon.sockets)

        added = host.request("ADD")
        assert added.status == 0, added.stdout + added.stderr + daemon.log()
        assert addresses(netns) == {"eth0": ["10.71.0.2"], "net1": ["10.72.0.2"]}
        deleted = host.request("DEL")
        assert deleted.status == 0, deleted.stdout + deleted.stderr
        assert addresses(netns) == {}

        assert daemon.metric("multus_py_requests_total", outcome="ok") == 2
