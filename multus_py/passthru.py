"""``passthru``: a CNI plugin that does nothing, to head a chain that only needs the others.

Multus's auxiliary chain begins with it. ADD answers an empty result, everything else succeeds.
"""

from __future__ import annotations

import json
import os
import sys

from multus_py.cni import request, version
from multus_py.cni.errors import CniError, Code

SUPPORTED = version.SUPPORTED[2:]
"""The versions that have results without addresses: 0.3.0 and later."""


def main() -> int:
    """Answer the request in environment and standard input; return the exit code."""
    try:
        asked = request.parse(os.environ, sys.stdin.buffer.read() if sys.stdin else b"")
        answer = _answer(asked)
    except CniError as error:
        answer, status = error.document(version.CURRENT), 1
    else:
        status = 0
    if answer:
        sys.stdout.write(json.dumps(answer))
    return status


def _answer(asked: request.Request) -> dict[str, object]:
    if asked.command == "VERSION":
        return version.answer(SUPPORTED)
    if asked.cni_version not in SUPPORTED:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"cniVersion {asked.cni_version} cannot express an empty result",
            f"use one of {', '.join(SUPPORTED)}",
        )
    return {"cniVersion": asked.cni_version} if asked.command == "ADD" else {}


if __name__ == "__main__":
    sys.exit(main())
