"""The one executable. What it is depends on how it is called, and only that life is imported.

A container runtime sets ``CNI_COMMAND``; people give arguments.
"""

from __future__ import annotations

import os
import sys

_ABOUT = """\
multus-py: a CNI meta-plugin that attaches several networks to one pod.
Container runtimes call it with CNI_COMMAND set; multus-py --help is for people.
CNI protocol versions supported: {}
"""


def main() -> int:
    """Be the plugin, the command line, or an explanation; return the exit code."""
    if len(sys.argv) > 1:
        from multus_py.cli import commands

        return commands.main()
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


if __name__ == "__main__":
    sys.exit(main())
