"""The one executable. What it is depends on how it is called, and only that life is imported.

A container runtime sets ``CNI_COMMAND``; people give arguments.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

_ABOUT = """\
multus-py: a CNI meta-plugin that attaches several networks to one pod.
Container runtimes call it with CNI_COMMAND set; multus-py --help is for people.
CNI protocol versions supported: {}
"""

_COMMANDS = {
    "entrypoint.sh": "thin-entrypoint",
    "thin_entrypoint": "thin-entrypoint",
    "install_multus": "install-multus",
    "kubeconfig_generator": "kubeconfig-generator",
    "cert-approver": "cert-approver",
    "multus-daemon": "daemon",
}
"""Programs of Multus's images, which are links to this one in ours, and what they are here."""


def _named() -> str:
    """Return the command that the program's name stands for, if it does for any."""
    return _COMMANDS.get(sys.argv[0].rpartition("/")[2], "")


def main() -> int:
    """Be the plugin, the command line, or an explanation; return the exit code."""
    name = _named()
    if name or len(sys.argv) > 1:
        from multus_py.cli import commands

        return commands.main(name)
    command = os.environ.get("CNI_COMMAND")
    if command and command != "VERSION":
        from multus_py import inprocess

        return inprocess.main()
    from multus_py import output
    from multus_py.cni import version

    if command:
        return 0 if output.printed(version.answer()) else 1
    sys.stderr.write(_ABOUT.format(", ".join(version.SUPPORTED)))
    return 0


def run() -> NoReturn:
    """Be what :func:`main` decides, as a process of its own.

    A plugin lives for one answer: it collects no garbage, and it does not take the interpreter
    apart in the end. Together that is a tenth of its time, for memory that the kernel takes anyway.
    """
    if _named() or len(sys.argv) > 1:
        sys.exit(main())
    gc.disable()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # it may be closed, or not be there
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
