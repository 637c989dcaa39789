"""The image in a manifest that was made for Multus, on a node where nothing else is."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from tests.deploy.built import root_of_image
from tests.processes import PATIENCE, eventually
from tests.system import container

ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
}
ENTRYPOINT = (
    "/thin_entrypoint",
    "--multus-conf-file=auto",
    "--multus-autoconfig-dir=/host/etc/cni/net.d",
    "--cni-conf-dir=/host/etc/cni/net.d",
)
KERNEL = {path: Path(path) for path in ("/dev", "/proc")}


def test_a_manifest_of_multus_takes_over_a_bare_node(node: None, tmp_path: Path) -> None:
    net_d, plugins = tmp_path / "etc/cni/net.d", tmp_path / "opt/cni/bin"
    account = tmp_path / "account"
    for directory in (net_d, plugins, account):
        directory.mkdir(parents=True)
    (account / "token").write_text("a token")
    (account / "ca.crt").write_text("an authority")
    primary = {"cniVersion": "1.0.0", "name": "primary", "type": "bridge"}
    (net_d / "10-primary.conf").write_text(json.dumps(primary))
    mounts = {
        "/host/etc/cni/net.d": net_d,
        "/host/opt/cni/bin": plugins,
        "/run/secrets/kubernetes.io/serviceaccount": account,  # where /var/run leads to
    }
    image = root_of_image(tmp_path / "image").directory
    inside = container.entered(image, KERNEL | mounts)

    subprocess.run([*inside, "/install_multus", "--type", "thin"], env=ENVIRONMENT, check=True)
    process = subprocess.Popen([*inside, *ENTRYPOINT], env=ENVIRONMENT)
    eventually(lambda: (net_d / "00-multus.conflist").exists() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0

    host = container.entered(tmp_path / "host", KERNEL | {"/opt/cni/bin": plugins})
    done = subprocess.run(
        [*host, "/opt/cni/bin/multus"],
        env={"PATH": ENVIRONMENT["PATH"], "CNI_COMMAND": "VERSION"},
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert "1.1.0" in json.loads(done.stdout)["supportedVersions"], done.stderr
