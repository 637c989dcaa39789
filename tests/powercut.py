"""Power cuts: something is done again and again, and each time it ends at another change of a file.

The process that does it is killed with SIGKILL, before the first call that may change a file, then
before the second, until it comes to its end. What is there before one call is what was there after
the call before it, so both sides of every call are seen.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_FUNCTIONS = frozenset(
    {
        os.chmod,
        os.chown,
        os.copy_file_range,
        os.fchmod,
        os.fchown,
        os.fdatasync,
        os.fsync,
        os.ftruncate,
        os.link,
        os.mkdir,
        os.mknod,
        os.open,
        os.posix_fallocate,
        os.pwrite,
        os.remove,
        os.rename,
        os.replace,
        os.rmdir,
        os.sendfile,
        os.setxattr,
        os.symlink,
        os.truncate,
        os.unlink,
        os.utime,
        os.write,
        os.writev,
    }
)
_METHODS = frozenset({"__exit__", "close", "flush", "truncate", "write", "writelines"})
_FAILED = 70
"""The exit code of a process in which what was done has failed."""


def at_every_call(
    act: Callable[[], object], prepare: Callable[[], object], check: Callable[[int], object]
) -> int:
    """Do ``act`` until it is no longer cut short; return how many calls there were.

    ``prepare`` comes before each time, ``check`` after it with the number of the calls that were
    made. The last check sees what an ``act`` that nobody disturbed has done. Only the thread that
    runs ``act`` is cut; programs that it starts are not.
    """
    calls = 0
    while True:
        prepare()
        done = _is_done(act, calls)
        check(calls)
        if done:
            return calls
        calls += 1


def _is_done(act: Callable[[], object], calls: int) -> bool:
    """Do it in another process, for so many calls; tell whether it came to its end."""
    with warnings.catch_warnings():
        # Whoever runs tests in parallel has threads; none of them is waited for in the copy.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _do(act, calls)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, f"it failed by itself when it was to be cut at call {calls}"
    return True


def _do(act: Callable[[], object], calls: int) -> NoReturn:
    """Do it in this process, which does not return to the test."""
    status = _FAILED
    try:
        sys.setprofile(_Fuse(calls))
        act()
        sys.setprofile(None)
        status = 0
    except BaseException:  # noqa: BLE001 - told here, as the test is in another process
        sys.setprofile(None)
        traceback.print_exc()
    finally:
        os._exit(status)


class _Fuse:
    """Lets a number of calls pass; the next one is the end of the process."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        del frame
        if event != "c_call" or not _may_change_a_file(function):
            return
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def _may_change_a_file(function: Any) -> bool:
    if function is io.open or function in _FUNCTIONS:
        return True
    return function.__name__ in _METHODS and isinstance(function.__self__, io.IOBase)
