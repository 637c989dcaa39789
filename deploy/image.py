"""Make an image for containers out of a bundle: that, its commands, and what a root needs.

The image is an OCI layout in a tar archive, of one layer. The same bundle gives the same bytes.
``--root`` writes the root directory instead, for those who build images by other means.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, Any

from deploy import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = _EXECUTABLE = 0o755
_PLAIN = 0o644
_DIRECTORIES = {"tmp": 0o1777, "run": _DIRECTORY}
_FILES = {
    "etc/group": "root:x:0:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/passwd": "root:x:0:0:root:/:/bin/multus-py\n",
}
_LINKS = {
    "var/lib/dpkg/status.d": "/share/dpkg/status.d",  # where scanners look
    "var/run": "/run",
    # as the images of Multus have them, so that its manifests go on working
    "cert-approver": "/bin/cert-approver",
    "install_multus": "/bin/install_multus",
    "kubeconfig_generator": "/bin/kubeconfig_generator",
    "thin_entrypoint": "/bin/thin_entrypoint",
    "usr/src/multus-cni/bin": "/bin",
}
_COMMANDS = {
    "multus-py": ("multus_py.__main__", "main()"),
    "passthru": ("multus_py.passthru", "main()"),
    # as the images of Multus have them
    "cert-approver": ("multus_py.cli.commands", "main('cert-approver')"),
    "install_multus": ("multus_py.cli.commands", "main('install-multus')"),
    "kubeconfig_generator": ("multus_py.cli.commands", "main('kubeconfig-generator')"),
    "thin_entrypoint": ("multus_py.cli.commands", "main('thin-entrypoint')"),
}
"""In ``bin``: name, module, and what is called there. A bundle elsewhere has launchers instead."""
_COMMAND = """\
#!/bin/python3 -I
import sys

from {module} import main

sys.exit({call})
"""
_COMPRESS = """\
import gzip, sys
sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), 6, mtime=0))
"""
_OCI = "application/vnd.oci.image"


def layer(bundle: str) -> bytes:
    """Return an archive of the image's root."""
    moment = _moment()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, data in sorted(_members(bundle), key=lambda member: member[0].name):
            info.mtime = moment
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


def image(bundle: str, cache: str) -> bytes:
    """Return the archive of the image, compressed by the carried library: others differ in bits."""
    with open(os.path.join(bundle, "bundle.json"), "rb") as file:
        description = json.load(file)
    root = layer(bundle)
    compressed = subprocess.run(
        [*runtime.compiler(cache), "-I", "-B", "-c", _COMPRESS],
        input=root,
        check=True,
        capture_output=True,
    ).stdout
    config = _json(_config(description["architecture"], root))
    manifest = _json(_manifest(config, compressed))
    return _layout(_index(description, manifest), [compressed, config, manifest])


def _moment() -> int:
    """Return the time that all of it is from, in seconds since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def _members(bundle: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Yield what the root has, with content."""
    directories = {name: _DIRECTORY for path in (*_FILES, *_LINKS) for name in _above(path)}
    for parent, _, files in os.walk(bundle):
        for name in files:
            path = os.path.join(parent, name)
            inner = os.path.relpath(path, bundle)
            directories.update(dict.fromkeys(_above(inner), _DIRECTORY))
            yield _carried(path, inner)
    for name, mode in {**directories, **_DIRECTORIES}.items():
        info = tarfile.TarInfo(name)
        info.type, info.mode = tarfile.DIRTYPE, mode
        yield info, b""
    for name, text in _FILES.items():
        yield _file(name, text, _PLAIN)
    for name, (module, call) in _COMMANDS.items():
        yield _file(f"bin/{name}", _COMMAND.format(module=module, call=call), _EXECUTABLE)
    for name, target in _LINKS.items():
        yield _link(name, target), b""


def _above(path: str) -> Iterator[str]:
    """Yield the directories that a path is in."""
    while path := os.path.dirname(path):
        yield path


def _carried(path: str, inner: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of the bundle; numbers of users are left at root's."""
    if os.path.islink(path):
        return _link(inner, os.readlink(path)), b""
    with open(path, "rb") as file:
        data = file.read()
    info = tarfile.TarInfo(inner)
    info.size, info.mode = len(data), stat.S_IMODE(os.stat(path).st_mode)
    return info, data


def _file(name: str, text: str, mode: int) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text), mode
    return info, text.encode()


def _link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info


def _config(architecture: str, root: bytes) -> dict[str, Any]:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_moment()))
    return {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/bin/multus-py"], "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(root)]},
        "history": [{"created": created, "created_by": "multus-py's bundle"}],
    }


def _manifest(config: bytes, compressed: bytes) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _descriptor("config.v1+json", config),
        "layers": [_descriptor("layer.v1.tar+gzip", compressed)],
    }


def _index(description: dict[str, Any], manifest: bytes) -> bytes:
    """Return the entry of the layout. It names the image as a kubelet will ask for it."""
    version = description["version"]
    names = {
        "io.containerd.image.name": f"docker.io/library/multus-py:{version}",
        "org.opencontainers.image.ref.name": version,
    }
    platform = {"architecture": description["architecture"], "os": "linux"}
    entry = {
        **_descriptor("manifest.v1+json", manifest),
        "annotations": names,
        "platform": platform,
    }
    return _json({"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [entry]})


def _layout(index: bytes, blobs: list[bytes]) -> bytes:
    """Return the archive with everything in its place."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    files |= {f"blobs/sha256/{_digest(blob).partition(':')[2]}": blob for blob in blobs}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("blobs", "blobs/sha256"):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, _DIRECTORY, _moment()
            archive.addfile(info)
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(files[name]), _moment()
            archive.addfile(info, io.BytesIO(files[name]))
    return content.getvalue()


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_OCI}.{kind}", "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def unpack(archive: bytes, directory: str) -> None:
    """Make a root directory of a layer."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(directory, filter="fully_trusted")  # noqa: S202 - made above


def main() -> None:
    """Make an image out of a bundle."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("bundle", help="directory that deploy.bundle has made")
    parser.add_argument("target", help="archive to write, or directory with --root")
    parser.add_argument("--root", action="store_true", help="write the root directory")
    parser.add_argument("--cache", default=".cache/deploy", help="directory for the next time")
    given = parser.parse_args()
    if given.root:
        unpack(layer(given.bundle), given.target)
        return
    content = image(given.bundle, os.path.abspath(given.cache))
    os.makedirs(os.path.dirname(os.path.abspath(given.target)), exist_ok=True)
    with open(given.target, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    main()
