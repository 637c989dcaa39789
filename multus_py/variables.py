"""The variables of this process: a request's are read, all others only passed on.

There may be thousands of them: a runtime that runs in a pod has seven for each Service. Like the
shim this runs on MicroPython, which copies none of what is passed on.
"""

import posix
import sys

if sys.implementation.name != "micropython":

    def value(name: bytes) -> bytes:
        """Return a variable, nothing if it is not there."""
        return posix.environ.get(name, b"")

    def beginning_with(prefix: bytes) -> list[bytes]:
        """Return those that begin like this, as ``NAME=VALUE``."""
        found = [name + b"=" + content for name, content in posix.environ.items()]
        return [variable for variable in found if variable.startswith(prefix)]

    def passed_on(own: dict[bytes, bytes], *, but: list[bytes]) -> dict[bytes, bytes]:
        """Return those for another program: ``own`` ones, and ours but what begins like these."""
        passed = {
            name: content
            for name, content in posix.environ.items()
            if not any((name + b"=").startswith(prefix) for prefix in but)
        }
        passed.update(own)
        return passed

else:
    from multus_py.micro import environ

    value, beginning_with, passed_on = environ.value, environ.beginning_with, environ.passed_on  # type: ignore[assignment] # to the same effect
