"""What a plugin can reach on the throw-away node of ``multus-py try``, as root and as a user."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.cli import sandbox
from tests import nodes
from tests.cli import trials
from tests.cli.trials import EXAMPLES, ORDINARY_USER, tried

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = f"""#!{sys.executable} -IS
# A plugin that looks for what it can write to, and says so on standard error.
import json, os, re, sys
def mounts():
    for line in open("/proc/self/mountinfo"):
        yield re.sub(r"\\\\([0-7]{{3}})", lambda code: chr(int(code[1], 8)), line.split()[4])
def opens(path, flags):
    try:
        os.close(os.open(path, flags))
    except OSError:
        return False
    return True
places = {{"/etc", "/home", "/tmp", "/usr", "/dev", "/dev/shm", "/run", "/var/lib", *mounts(), "."}}
files = [f"/proc/sys/{{name}}" for name in ("vm/swappiness", "kernel/core_pattern")]
files += ["/proc/sysrq-trigger", "/proc/sys/net/ipv4/ip_forward", "/dev/null"]
for top, _, names in os.walk("/sys"):
    files += [os.path.join(top, name) for name in names if name in {{"uevent", "mtu"}}][:20]
found = {{
    "places": [p for p in places if opens(os.path.join(p, "probe"), os.O_CREAT | os.O_WRONLY)],
    "files": [file for file in files if opens(file, os.O_WRONLY)],
    "devices": sorted(os.listdir("/dev") + os.listdir("/dev/net")),
}}
if os.environ["CNI_COMMAND"] == "ADD":
    print("PROBE " + json.dumps(found), file=sys.stderr)
    print(json.dumps({{"cniVersion": "1.0.0"}}))
"""


@pytest.fixture(params=[(), ORDINARY_USER], ids=["root", "user"])
def user(request: pytest.FixtureRequest) -> Any:
    """Whether the user who tries has privileges."""
    return request.param


@pytest.fixture
def mount(node: None, tmp_path: Path) -> Iterator[Path]:
    """A mount with options that a user namespace has to keep, and a blank in its name."""
    with nodes.mounted(tmp_path / "a mount", "nosuid,nodev,noexec,noatime,mode=777") as made:
        yield made


@pytest.fixture
def in_run(node: None) -> Iterator[Path]:
    """A working directory in a place that the throw-away node covers."""
    made = Path(f"/run/working-directory-{os.getpid()}")
    made.mkdir()
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def found(directory: Path, **options: Any) -> dict[str, list[str]]:
    """Return what the probe finds."""
    path = trials.plugin(directory / "bin", "bridge", PROBE)
    answer = tried(str(EXAMPLES / "named-interface.yaml"), path=path, **options)
    line = next(line for line in answer.stderr.splitlines() if "PROBE " in line)
    made: dict[str, list[str]] = json.loads(line.partition("PROBE ")[2])
    return made


def test_plugins_can_write_to_memory_only(
    mount: Path, in_run: Path, tmp_path: Path, user: tuple[str, ...]
) -> None:
    probed = found(tmp_path, before=user, cwd=in_run)

    assert set(probed["places"]) == {"/run", "/run/netns", "/var/lib/cni", "/dev/shm"}
    assert set(probed["files"]) == {"/proc/sys/net/ipv4/ip_forward", "/dev/null"}
    assert not any(Path(place, "probe").exists() for place in probed["places"])
    assert not list(mount.iterdir())
    assert not list(in_run.iterdir())


def test_plugins_find_no_devices_but_harmless_ones(
    node: None, tmp_path: Path, user: tuple[str, ...]
) -> None:
    harmless = {"null", "zero", "full", "random", "urandom", "net", "tun", "shm"}
    links = {"fd", "stdin", "stdout", "stderr"}

    assert set(found(tmp_path, before=user)["devices"]) <= harmless | links


def test_a_mount_that_cannot_be_protected_is_named(mount: Path, tmp_path: Path) -> None:
    refusal = f"case $* in *remount*'{mount}') exit 32;; esac"
    program = f'#!/bin/sh\n{refusal}\nexec {shutil.which("mount")} "$@"\n'
    refusing = trials.plugin(tmp_path / "sbin", "mount", program)
    path = f"PATH={refusing}:{os.environ['PATH']}"

    answer = tried(str(EXAMPLES / "named-interface.yaml"), before=("env", path))

    assert answer.stderr == f"Plugins can write to this machine's {mount}.\n"
    assert answer.status == 0


def test_a_mount_is_protected_with_other_options_than_those_in_fstab(
    mount: Path, tmp_path: Path
) -> None:
    """mount(8) takes options from there, and a user namespace may take none of a mount's away."""
    fstab = tmp_path / "fstab"
    place = str(mount).replace(" ", "\\040")
    fstab.write_text(f"tmpfs {place} tmpfs defaults,suid,exec,dev 0 0\n")
    with_fstab = f'mount --bind {fstab} /etc/fstab; exec "$@"'
    before = ("unshare", "--mount", "sh", "-c", with_fstab, "sh", *ORDINARY_USER)

    answer = tried(str(EXAMPLES / "named-interface.yaml"), before=before)

    assert (answer.status, answer.stderr) == (0, "")


@pytest.mark.parametrize("program", ["unshare", "setpriv"])
def test_a_program_that_is_missing_is_named(node: None, tmp_path: Path, program: str) -> None:
    for name in ("unshare", "setpriv", "ip", "mount"):
        if name != program:
            (tmp_path / name).symlink_to(str(shutil.which(name)))

    answer = tried(str(EXAMPLES / "demo.yaml"), before=("/usr/bin/env", f"PATH={tmp_path}"))

    assert answer.status == 1
    assert f"{program} is missing. Next: install util-linux" in answer.stderr


def test_interfaces_are_told_as_they_are(netns: nodes.Netns) -> None:
    netns.add_link("one", "10.0.0.2/24", "fd00::2/64")
    netns.ip("link", "add", "idle", "type", "bridge")

    found = {entry.name: entry for entry in sandbox.Pod(netns.name).interfaces()}

    assert set(found) == {"one", "one-peer"}  # not the loopback, and not what is down
    assert found["one"].addresses == ("10.0.0.2/24", "fd00::2/64")  # not fe80::
    assert found["one"].mac in netns.ip("link", "show", "one")
    assert found["one-peer"].addresses == ()
