"""The host at the far side of a connection: a shim, or the carrier, runs what the core asks for.

One thread speaks over one connection, question and answer in turn. If the connection is lost
:class:`multus_py.wire.LostError` flies, which nothing in the core catches: nothing more can be run,
and what was begun stays in the record.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from multus_py import wire
from multus_py.adapters import locks
from multus_py.cni import names
from multus_py.cni.errors import CniError, Code
from multus_py.core import mishaps
from multus_py.core.ports import PluginExit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from multus_py.core.ports import PluginCall

_ANSWER_SECONDS = 15.0
"""For looking at something, and beyond the time that a plugin may take: it may be busy at first
("text file busy"), and be ended at last."""

_RUN_LIMIT = wire.LIMIT - 1024
"""Bytes in all fields of an order to run a plugin."""

_HELPER_SECONDS = 30.0
_LOOK_INTERVAL = 0.2
_ORPHANS_INTERVAL = 1.0


class FarHost:
    """See :class:`multus_py.core.ports.Host`."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        level: int,
        seen: Mapping[str, bool] | None = None,
        stays: bool = False,
    ) -> None:
        """``level`` is what the other side knows.

        ``seen`` are paths of which it has told whether they lead to its own namespace. One that
        ``stays`` goes on after this work, so it has to give back what it was lent.
        """
        self._connection = connection
        self._conditional = level >= wire.CONDITIONAL
        self._seen = seen or {}
        self._stays = stays
        self._has_loan = False
        self._next_look_for_orphans = 0.0

    def run(self, call: PluginCall) -> PluginExit:
        """Have a plugin found and run."""
        with mishaps.keeping_off() if call.new_link else nullcontext():
            order = _order(call)
            reply = self._unless_there(call, order)
        how, detail, status, stdout, stderr = reply or self._ask(
            wire.RUN, *order, seconds=call.seconds
        )
        if how == wire.ENDED:
            return PluginExit(status=self._number(status), stdout=stdout, stderr=stderr)
        raise _mishap(how, _text(detail), call)

    def _unless_there(self, call: PluginCall, order: Sequence[bytes]) -> list[bytes] | None:
        """Return the reply to an order that holds if a link is not there, None if it needs none.

        That is so where no link has to be new, and after it was looked for by other means, as who
        is older cannot look, or knows no conditions.
        """
        if not call.new_link:
            return None
        netns = call.environment["CNI_NETNS"]
        if self._conditional:
            link = b"\0".join((_encoded(netns), _encoded(call.new_link)))
            reply = self._ask(wire.RUN, *order, link, seconds=call.seconds)
            if reply[0] == wire.TAKEN:
                raise mishaps.taken(call.new_link)
            if reply[0] == wire.BLIND:
                raise mishaps.blind(netns, _text(reply[1]))
            if reply[0] != wire.UNABLE:
                return reply
            self._conditional = False
        if self.link_exists(netns, call.new_link):
            raise mishaps.taken(call.new_link)
        return None

    def own_netns(self, netns: str) -> bool:
        """Tell whether the path leads to the namespace that plugins are executed in."""
        if netns in self._seen:
            return self._seen[netns]
        return self._look(wire.OWN_NETNS, netns) == wire.YES

    def link_exists(self, netns: str, ifname: str) -> bool:
        """Tell whether a link of this name is in the namespace."""
        seen = self._look(wire.LINK, netns, ifname)
        if seen == wire.UNABLE:
            return bool(self._help(do="link_exists", netns=netns, ifname=ifname))
        return seen == wire.YES

    def default_route_families(self, netns: str, ifname: str) -> frozenset[int]:
        """Return the families for which a default route leads through the link."""
        return frozenset(self._help(do="default_route_families", netns=netns, ifname=ifname))

    def replace_default_routes(
        self, netns: str, ifname: str, *, families: Iterable[int], gateways: Sequence[str]
    ) -> None:
        """Remove the link's default routes of these families, then add one for each gateway."""
        self._help(
            do="replace_default_routes",
            netns=netns,
            ifname=ifname,
            families=sorted(families),
            gateways=list(gateways),
        )

    def wait_for_file(self, path: str, seconds: float) -> bool:
        """Wait until the file exists on the host; tell whether it does."""
        deadline = time.monotonic() + seconds
        while self._look(wire.FILE, path) != wire.YES:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_INTERVAL)
        return True

    @contextmanager
    def lock(self, path: str, seconds: float) -> Iterator[None]:
        """Hold a lock, and let all that is run meanwhile hold it too, come what may to the shim.

        That it can be lent shows that the other side still waits for us; nothing is begun before.
        """
        with locks.held(
            path, seconds, end_orphans=self._end_orphans, leave_to_heirs=(wire.LostError,)
        ) as descriptor:
            self._lend(descriptor)
            try:
                yield
            except wire.LostError:
                raise
            except BaseException:
                self._take_back()
                raise
            self._take_back()

    def _lend(self, descriptor: int) -> None:
        if self._has_loan:
            self._ask(wire.RETURN)
        self._has_loan = True
        try:
            with self._hanging_up_if_lost():
                wire.lend(self._connection, descriptor)
                how, detail, *_ = self._reply(_ANSWER_SECONDS)
                if how != wire.ENDED:
                    raise wire.GarbledError(f"cannot lend a lock: {_text(detail)}")
        except wire.LostError:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # nothing is done under it, whoever has it
            raise

    def _take_back(self) -> None:
        """Have what was lent returned; who goes after the answer returns it with that."""
        if self._stays:
            self._ask(wire.RETURN)
            self._has_loan = False

    def _end_orphans(self, path: str) -> None:
        """End what a shim that was killed has left running under this lock."""
        if time.monotonic() < self._next_look_for_orphans:
            return
        self._next_look_for_orphans = time.monotonic() + _ORPHANS_INTERVAL
        if not locks.held_here(path):
            self._help(do="end_orphans", path=path)

    def _look(self, what: bytes, path: str, name: str = "") -> bytes:
        seen, detail, *_ = self._ask(wire.LOOK, what, _encoded(path), _encoded(name))
        if seen == wire.FAILED:
            raise mishaps.blind(path, _text(detail))
        return seen

    def _help(self, **task: Any) -> Any:
        """Return what the helper answers to a task."""
        how, detail, status, stdout, stderr = self._ask(
            wire.HELP,
            str(_HELPER_SECONDS).encode(),
            json.dumps(task).encode(),
            seconds=_HELPER_SECONDS,
        )
        outcome = _outcome(stdout)
        if "error" in outcome:
            raise CniError(**outcome["error"])
        if "answer" not in outcome:
            said = detail or stderr[-200:] or b"exit code " + status
            raise CniError(
                Code.INTERNAL,
                f"the helper on the host {_text(how)}: {_text(said)}",
                "see whether the installation on this node is complete",
            )
        return outcome["answer"]

    def _ask(self, kind: int, *fields: bytes, seconds: float = 0.0) -> list[bytes]:
        """Return the five fields of the reply to an order that may take so many seconds."""
        with self._hanging_up_if_lost():
            self._connection.settimeout(_ANSWER_SECONDS)
            wire.send(self._connection, kind, *fields)
            return self._reply(seconds + _ANSWER_SECONDS)

    def _reply(self, seconds: float) -> list[bytes]:
        self._connection.settimeout(seconds)
        kind, fields = wire.receive(self._connection, least=5)
        if kind != wire.REPLY:
            raise wire.GarbledError(f"frame {kind} instead of a reply")
        return fields[:5]

    def _number(self, field: bytes) -> int:
        with self._hanging_up_if_lost():
            return wire.number(field)

    @contextmanager
    def _hanging_up_if_lost(self) -> Iterator[None]:
        """Ask nothing more after a loss: a reply that comes late would be taken for another."""
        try:
            yield
        except wire.LostError:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            raise


def _order(call: PluginCall) -> tuple[bytes, ...]:
    """Return the fields of an order to run a plugin, without a condition."""
    if not names.is_plugin_type(call.plugin):
        raise CniError(Code.INVALID_CONFIGURATION, f"{call.plugin!r} is not the name of a plugin")
    mark = mishaps.marked(call.environment.get("CNI_CONTAINERID", ""))
    environment = {**call.environment, **mark}
    order = (
        f"{call.seconds:.3f}".encode(),
        str(mishaps.OUTPUT_LIMIT).encode(),
        call.stdin,
        b"\0".join(_encoded(os.path.join(place, call.plugin)) for place in call.path),
        b"\0".join(_encoded(f"{name}={value}") for name, value in environment.items()),
    )
    if sum(map(len, order)) > _RUN_LIMIT:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"its configuration has more than {_RUN_LIMIT >> 20} MiB",
            "make it smaller",
        )
    return order


def _encoded(text: str) -> bytes:
    """Return a path or a variable as the kernel takes it."""
    with suppress(UnicodeEncodeError):
        if "\0" not in text:
            return os.fsencode(text)
    raise CniError(
        Code.INVALID_CONFIGURATION,
        f"{text!r} cannot be passed to a plugin",
        "remove the characters that are none (NUL, halves of a pair) from the configuration",
    )


def _text(field: bytes) -> str:
    return field.decode(errors="replace")


def _outcome(stdout: bytes) -> dict[str, Any]:
    """Return what a helper has printed, nothing if that is none of its answers."""
    try:
        outcome = json.loads(stdout)
    except ValueError:
        return {}
    return outcome if isinstance(outcome, dict) else {}


def _mishap(how: bytes, detail: str, call: PluginCall) -> CniError:
    """Return the error for a plugin that did not run to its end."""
    match how:
        case wire.MISSING:
            return mishaps.missing(call)
        case wire.LATE:
            return mishaps.late(call)
        case wire.FLOOD:
            return mishaps.flood()
        case wire.OURSELVES:
            return mishaps.recursion(detail)
        case wire.UNTRUSTED:
            return mishaps.untrusted(detail)
        case _:
            return mishaps.unexecutable(detail or f"the shim answers {_text(how)!r}")
