"""From a request to what is answered and logged about it, in whatever life it came."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multus_py.cni import version
from multus_py.cni.errors import CniError, Code, located
from multus_py.core import add, collect, readiness, release

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject
    from multus_py.cni.request import Request
    from multus_py.core.session import Session

_LOG = logging.getLogger(__name__)


def to(session: Session) -> JsonObject | None:
    """Return what a request is answered with on standard output, if anything."""
    with located(session.place):
        match session.request.command:
            case "ADD":
                return add.add(session).document
            case "DEL":
                release.delete(session)
            case "CHECK":
                release.check(session)
            case "STATUS":
                readiness.status(session)
            case "GC":
                collect.collect(session)
            case command:
                raise AssertionError(f"{command} needs no session")
    return None


def failure(error: Exception) -> CniError:
    """Return the error that is reported for an exception; all but a ``CniError`` are bugs."""
    if isinstance(error, CniError):
        return error
    _LOG.debug("unexpected", exc_info=error)
    return CniError(Code.INTERNAL, f"{type(error).__name__}: {error}", "report this as a bug")


def described(error: CniError, asked: Request | None) -> JsonObject:
    """Return the error object for an error, which begins with the command it is about."""
    named = error.at(asked.command) if asked else error
    return named.document(asked.cni_version if asked else version.CURRENT)


def log(
    asked: Request | None, error: CniError | None, *, milliseconds: int, stages: str = ""
) -> None:
    """Leave the one line of a request in the log."""
    outcome = error.message() if error else "ok"
    spent = f"ms={milliseconds}{stages and ' '}{stages}"
    about = "request"
    if asked:
        about = (
            f"{asked.command} container={asked.container_id} ifname={asked.ifname} "
            f"netns={asked.netns}"
        )
    _LOG.log(logging.ERROR if error else logging.INFO, "%s %s: %s", about, spent, outcome)
