"""Printing the one answer of a plugin, whatever has become of standard output."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def printed(answer: Mapping[str, object]) -> bool:
    """Print an answer; tell whether there was somewhere to print it to."""
    if sys.stdout is None:
        _complain("standard output is closed")
        return False
    try:
        sys.stdout.write(json.dumps(answer, indent=4))
        sys.stdout.flush()
    except OSError as error:
        _complain(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return False
    return True


def _complain(reason: object) -> None:
    if sys.stderr:
        sys.stderr.write(f"multus-py: cannot print the answer: {reason}\n")
