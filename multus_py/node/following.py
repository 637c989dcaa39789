"""Following a node's primary network over time.

What is half-written, renamed or gone for a moment is no reason to take another one. What each file
is, :mod:`multus_py.core.primary` says.
"""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.core import primary
from multus_py.core.primary import LeadsBackError, Primary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multus_py.core.ports import ConfigFile
    from multus_py.core.primary import Beside

    Judged = list[tuple[str, "Primary | CniError"]]


class SettlingError(CniError):
    """Another file is about to be followed, in ``seconds`` from now if nothing changes."""

    seconds = 0.0


class Follower:
    """Chooses the primary network again and again, and remembers which one it was.

    ``named`` is the only file that may be it, if given. ``expected`` is the name of the network in
    the configuration that is there already.
    """

    def __init__(
        self, *, named: str, settle: float, clock: Callable[[], float], expected: str = ""
    ) -> None:
        """``settle`` is for how many seconds a change has to last that may be half of one."""
        self._named = named
        self._settle = settle
        self._clock = clock
        self._expected = expected
        self._followed = ""
        self._doubt: tuple[str, ...] = ()
        self._since = 0.0

    def choose(
        self, files: Sequence[ConfigFile], *, own_types: frozenset[str], beside: Beside
    ) -> Primary:
        """Return the primary network among the files of a directory.

        An error if there is none that can be used now: then what was made from the last one stays.
        """
        judged = [
            (posixpath.basename(file.path), _judged(file, own_types, beside))
            for file in primary.candidates(files, self._named)
        ]
        best = next((found for _, found in judged if isinstance(found, Primary)), None)
        if best is None:
            self._doubt = ()
            faults = [fault for _, fault in judged if isinstance(fault, CniError)]
            raise primary.none(faults, self._named)
        if not self._is_plain(best, judged):
            self._wait(best, judged)
        self._followed, self._doubt = best.name, ()
        return best

    def _is_plain(self, best: Primary, judged: Judged) -> bool:
        """Tell whether nothing speaks against following this file at once."""
        if self._followed:
            return os.fsencode(best.name) <= os.fsencode(self._followed)
        expected = self._expected in {"", best.network.name}
        return expected and not _broken_before(best, judged)

    def _wait(self, best: Primary, judged: Judged) -> None:
        """Raise an error, unless this has been the best file for long enough."""
        fault = dict(judged).get(self._followed)
        if isinstance(fault, CniError) and not isinstance(fault, LeadsBackError):
            self._doubt = ()
            raise fault  # it is there, and somebody may be writing it
        doubt = (best.name, *_broken_before(best, judged))
        now = self._clock()
        if doubt != self._doubt:
            self._doubt, self._since = doubt, now
        left = self._since + self._settle - now
        if left > 0:
            gone = self._followed or "a file that sorts before it"
            error = SettlingError(
                Code.TRY_AGAIN_LATER, f"{gone} is not usable; {best.name} is about to be followed"
            )
            error.seconds = left
            raise error


def _judged(file: ConfigFile, own_types: frozenset[str], beside: Beside) -> Primary | CniError:
    try:
        return primary.read(file, own_types=own_types, beside=beside)
    except CniError as error:
        return error


def _broken_before(best: Primary, judged: Judged) -> list[str]:
    """Return the files that would be preferred, were they not broken as half-written ones are."""
    return [
        name
        for name, fault in judged
        if os.fsencode(name) < os.fsencode(best.name) and not isinstance(fault, LeadsBackError)
    ]
