"""Errors as a container runtime gets to see them.

One tree under :class:`CniError`. An error is raised where it happens with its cause and the next
step for a person; every level it passes adds where that was (:func:`located`). Only here is it
decided how the parts become one readable message. This module prints nothing and ends no process.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MESSAGE_LIMIT = 300
"""Characters. kubelet and container runtimes show a message in one line of an event."""

_PLACE_LIMIT = 72
_HINT_LIMIT = 96


class Code(IntEnum):
    """Error codes: up to 99 by the CNI specification ("Error"), then ours (docs/errors.md)."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIGURATION = 7
    INVALID_NETNS = 8  # not in the specification, but what libcni answers
    TRY_AGAIN_LATER = 11
    PLUGIN_NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51

    DELEGATE_FAILED = 100
    DELEGATE_MISSING = 101
    DELEGATE_TIMEOUT = 102
    DELEGATE_OUTPUT = 103
    RECURSION = 104
    DELEGATE_UNTRUSTED = 105
    NETWORK_NOT_FOUND = 110
    NETWORK_FORBIDDEN = 111
    ANNOTATION = 112
    INTERFACE_TAKEN = 113
    DEFAULT_ROUTE = 114
    DEVICE = 115
    API_FAILURE = 120
    API_REFUSED = 121
    POD_REPLACED = 122
    INTERNAL = 999


SPECIFIED = range(1, 100)
"""Codes whose meaning the specification owns; a delegate's own code is passed on within these."""

_TOLD = 5
"""So many of several errors are told in one message."""


class CniError(Exception):
    """A failure with a code, a cause and, where there is one, the next step for a person.

    ``where`` names the places from the outside in ("pod default/web", "network default/storage").
    """

    def __init__(
        self, code: int, cause: str, hint: str = "", *, where: tuple[str, ...] = ()
    ) -> None:
        super().__init__(code, cause, hint)
        self.code = int(code)
        self.cause = cause
        self.hint = hint
        self.where = where

    def at(self, *where: str) -> CniError:
        """Return the same error, seen from one level further out."""
        outer = copy.copy(self)
        outer.where = where + self.where
        return outer

    def leaving(self, leftovers: Sequence[CniError]) -> CniError:
        """Return the same error, extended by what could not be undone after it."""
        if not leftovers:
            return self
        longer = copy.copy(self)
        longer.cause = f"{self.cause} (not undone: {_without_hint(joined(leftovers)).message(160)})"
        return longer

    def message(self, limit: int = MESSAGE_LIMIT) -> str:
        """Return places, cause and next step in ``limit`` characters.

        The cause gives way first, down to a quarter of them, then the places.
        """
        cause = _one_line(self.cause).rstrip(". ")
        hint = clip(_one_line(self.hint), min(_HINT_LIMIT, limit // 3))
        tail = f". Next: {hint}" if hint else ""
        room = limit - len(tail) - min(len(cause), limit // 4) - 2
        places = clip(", ".join(clip(_one_line(place), _PLACE_LIMIT) for place in self.where), room)
        head = f"{places}: " if places else ""
        return clip(head + clip(cause, limit - len(head) - len(tail)) + tail, limit)

    def __str__(self) -> str:
        return self.message()

    def document(self, cni_version: str) -> dict[str, Any]:
        """Return the error object of the specification ("Error")."""
        return {"cniVersion": cni_version, "code": self.code, "msg": self.message()}


class NotFoundError(CniError):
    """What was asked for is not there: an object, a file, a plugin. Callers may go on without."""


def joined(errors: Sequence[CniError]) -> CniError:
    """Return one error that reports them, each with a fair share of the message.

    A fair share of many would be a few letters: then the first are told and the others counted.
    """
    if len(errors) == 1:
        return errors[0]
    told = errors[:_TOLD]
    share = (MESSAGE_LIMIT - 80) // len(told)
    causes = [_without_hint(error).message(share) for error in told]
    if len(errors) > len(told):
        causes.append(f"and {len(errors) - len(told)} more")
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else Code.DELEGATE_FAILED
    return CniError(code, f"{len(errors)} failures: {' / '.join(causes)}", errors[0].hint)


@contextmanager
def located(*where: str) -> Iterator[None]:
    """Add these places to every :class:`CniError` that passes."""
    try:
        yield
    except CniError as error:
        raise error.at(*where) from error.__cause__


def clip(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` characters; what is missing in the middle shows as …."""
    if len(text) <= limit:
        return text
    if limit < 1:
        return ""
    tail = limit // 3
    return text[: limit - tail - 1] + "…" + text[len(text) - tail :]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _without_hint(error: CniError) -> CniError:
    bare = copy.copy(error)
    bare.hint = ""
    return bare
