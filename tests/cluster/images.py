"""Images for pods, out of programs of this machine: nothing is fetched from anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.places import BIN, ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAUSE = "registry.k8s.io/pause:3.10"
BUSYBOX = "docker.io/library/busybox:latest"
"""Pods call it ``busybox``."""

_OCI = "application/vnd.oci.image"
_BUSYBOX_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": b"root:x:0:\n",
}
_DIRECTORIES = ("root", "run", "tmp", "var")


def write_all(directory: Path) -> list[Path]:
    """Write the images that every node has; return their archives."""
    pause, busybox = directory / "pause.tar", directory / "busybox.tar"
    write(pause, PAUSE, files={"pause": (BIN / "pause").read_bytes()}, command=["/pause"])
    write_with_busybox(busybox, BUSYBOX, {})
    return [pause, busybox]


def write_with_busybox(
    path: Path, name: str, programs: Mapping[str, Path], *, command: Sequence[str] = ("/bin/sh",)
) -> None:
    """Write an image of programs in its root, and busybox with all that it can do as commands."""
    busybox = shutil.which("busybox", path=ENVIRONMENT["PATH"])
    assert busybox, "busybox is not on this machine"
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    links = {f"bin/{name}": "/bin/busybox" for name in listed.stdout.split() if name != "busybox"}
    files = {place: program.read_bytes() for place, program in programs.items()}
    files |= {**_BUSYBOX_FILES, "bin/busybox": Path(busybox).read_bytes()}
    write(path, name, files=files, links={**links, "var/run": "/run"}, command=command)


def write(
    path: Path,
    name: str,
    *,
    files: Mapping[str, bytes],
    links: Mapping[str, str] | None = None,
    command: Sequence[str],
) -> None:
    """Write an image of executable files and links, as an archive of one layer."""
    layer = _layer(files, links or {})
    blobs: dict[str, bytes] = {}
    config = {
        "architecture": {"aarch64": "arm64"}.get(platform.machine(), "amd64"),
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _blob(blobs, "config.v1+json", json.dumps(config).encode()),
        "layers": [_blob(blobs, "layer.v1.tar", layer)],
    }
    top = _blob(blobs, "manifest.v1+json", json.dumps(manifest).encode())
    top["annotations"] = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [top]}
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for digest, data in blobs.items():
            _add(archive, f"blobs/{digest.replace(':', '/')}", data)


def _layer(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        parents = {str(Path(name).parent) for name in [*files, *links]} - {"."}
        for name in sorted({*parents, *_DIRECTORIES}):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(info)
        for name, data in files.items():
            _add(archive, name, data)
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return content.getvalue()


def _blob(blobs: dict[str, bytes], kind: str, data: bytes) -> dict[str, Any]:
    digest = _digest(data)
    blobs[digest] = data
    return {"mediaType": f"{_OCI}.{kind}", "digest": digest, "size": len(data)}


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755
    archive.addfile(info, io.BytesIO(data))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
