"""A delegate in a few lines of shell, for tests that run it a thousand times.

It enters attachments into ``entries`` as :mod:`tests.system.books` does, and counts how many of it
run at once. Files in its directory say how it behaves: ``links`` (it makes one in the pod's
namespace), ``megabytes``, which ADD takes for a while, and ``mood-TYPE-COMMAND`` with ``fail``,
``fail after`` (it has done its work and says it has not) or ``wait`` (until the file is gone).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.processes import alive

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = r"""#!/bin/sh
books=@BOOKS@
kind=${0##*/}
entry=$books/entries/$CNI_CONTAINERID-$CNI_IFNAME-$kind
mood_file=$books/mood-$kind-$CNI_COMMAND
IFS= read -r config
echo "$CNI_COMMAND $kind $CNI_CONTAINERID $CNI_IFNAME" >>"$books/calls"
running=$books/running/$$
: >"$running"
trap 'rm -f "$running"' EXIT
set -- "$books"/running/*
echo $# >>"$books/crowds"

fail() {
    echo '{"cniVersion": "1.1.0", "code": 7, "msg": "out of sorts"}'
    exit 1
}

mood=
if [ -e "$mood_file" ]; then read -r mood <"$mood_file"; fi
while [ "$mood" = wait ] && [ -e "$mood_file" ]; do sleep 0.02; done
if [ "$mood" = fail ]; then fail; fi
case $CNI_COMMAND in
ADD)
    : >"$entry"
    if [ -e "$books/megabytes" ]; then
        read -r megabytes <"$books/megabytes"
        dd if=/dev/zero of=/dev/null bs="${megabytes}M" count=1 2>/dev/null || fail
    fi
    if [ -e "$books/links" ]; then
        ip -n "${CNI_NETNS##*/}" link add "$CNI_IFNAME" type veth peer name "$CNI_IFNAME-p" || fail
    fi
    if [ "$mood" = "fail after" ]; then fail; fi
    printf '{"cniVersion": "1.1.0", "interfaces": [{"name": "%s", "sandbox": "%s"}],
        "ips": [{"address": "10.1.0.2/24", "interface": 0}]}' "$CNI_IFNAME" "$CNI_NETNS"
    ;;
DEL)
    if [ -e "$books/links" ] && [ -e "$CNI_NETNS" ]; then
        ip -n "${CNI_NETNS##*/}" link del "$CNI_IFNAME" 2>/dev/null
    fi
    rm -f "$entry"
    if [ "$mood" = "fail after" ]; then fail; fi
    ;;
esac
exit 0
"""


@dataclass(frozen=True)
class Ledger:
    """The delegates of one node."""

    directory: Path

    def install(self, bin_dir: Path, *types: str) -> None:
        """Install the delegate under each of these types."""
        for made in (bin_dir, self.directory / "entries", self.directory / "running"):
            made.mkdir(parents=True, exist_ok=True)
        for kind in types:
            path = bin_dir / kind
            path.write_text(_TEXT.replace("@BOOKS@", str(self.directory)))
            path.chmod(0o755)

    def behave(self, kind: str, command: str, mood: str = "") -> None:
        """Let a delegate be in a mood, or in none."""
        path = self.directory / f"mood-{kind}-{command}"
        if mood:
            made = path.with_suffix(".new")
            made.write_text(f"{mood}\n")
            made.rename(path)
        else:
            path.unlink(missing_ok=True)

    def make_links(self) -> None:
        """Let each ADD make a link."""
        (self.directory / "links").touch()

    def take(self, megabytes: int) -> None:
        """Let each ADD take so much memory."""
        (self.directory / "megabytes").write_text(f"{megabytes}\n")

    def entries(self, container_id: str = "") -> list[str]:
        """Return what is attached, of all containers or of one, sorted."""
        found = sorted(path.name for path in (self.directory / "entries").iterdir())
        return [name for name in found if name.startswith(f"{container_id}-") or not container_id]

    def at_work(self) -> bool:
        """Tell whether any delegate runs."""
        found = (path.name for path in (self.directory / "running").iterdir())
        return any(alive(int(pid)) for pid in found)

    def calls(self) -> list[str]:
        """Return all calls as ``COMMAND type container interface``."""
        path = self.directory / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def largest_crowd(self) -> int:
        """Return how many delegates have run at once, at the most."""
        return max(map(int, (self.directory / "crowds").read_text().split()))
