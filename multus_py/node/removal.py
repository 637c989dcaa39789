"""Removing: exactly what the manifest names, in the order in which a node can do without it.

First the configuration, so that runtimes call the primary plugin again. Then everything else:
executables before what they start, the manifest last. What is done twice is done once: a removal
that was cut short is finished by the next.

Runtimes release a pod by the configuration that they have at that time. So while further networks
are attached, which the primary plugin knows nothing of, the configuration stays as well, and calls
an executable that needs no daemon and removes the rest when the last of them is released.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from multus_py import launcher
from multus_py.adapters import locks, presence
from multus_py.adapters.disk import Disk
from multus_py.cni.errors import CniError, Code
from multus_py.core import inventory
from multus_py.models.config import OUR_TYPES
from multus_py.node import (
    aside,
    attached,
    beside,
    bundle,
    configurations,
    installation,
    kept,
    kubeconfig,
    manifest,
)
from multus_py.node.aside import Aside
from multus_py.node.launchers import OwnTypes
from multus_py.node.manifest import temporary
from multus_py.node.place import REPLACED, TEMPORARY
from multus_py.node.steps import Step, clearance, deletion, emptied, listed, rmdir, unlink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.core.inventory import Entry
    from multus_py.launcher import Program
    from multus_py.node.manifest import Manifest, Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal has come to, or would."""

    steps: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    """Those that are waited for; if nothing is left to wait, those that were abandoned."""
    waiting: bool = False
    """Whether something stays for them, and removes itself when they are released."""
    daemons: tuple[str, ...] = ()
    """Directories of sockets in which a daemon is still at work."""
    left: tuple[str, ...] = ()
    """Configurations that were there before the installation and call a plugin that has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How an installation is removed."""

    now: bool = False
    """What is attached is abandoned; else what is needed to release it stays until it is."""
    hand_back: bool = False
    """The configuration of Multus whose place was taken is put back."""
    dry_run: bool = False
    """Nothing is done, only said."""


def uninstall(lib_dir: str, way: Way) -> Removed:
    """Remove an installation. Raises :class:`CniError`."""
    with _io():
        known = manifest.read(lib_dir)
        if known is None:
            return _nothing_known(lib_dir, dry_run=way.dry_run)
        with nullcontext() if way.dry_run else installation.held(lib_dir):
            known = manifest.read(lib_dir) or known
            back = way.hand_back or (known.leaving and known.handed_back)
            return _done(_Removal(lib_dir, replace(known, handed_back=back)), way)


def finish(lib_dir: str) -> None:
    """Remove the rest of an installation that only waits for attachments, if there are none."""
    with _io():
        if manifest.read(lib_dir) is None:
            return
        with installation.held(lib_dir):
            known = manifest.read(lib_dir)
            if known is None or not known.leaving:
                return  # somebody else was faster, or has installed it again
            removal = _Removal(lib_dir, known)
            if not removal.attachments():
                for step in chain(removal.configuration(), removal.rest()):
                    step.do()


def forget_daemon(socket_dir: str) -> None:
    """Remove what a daemon has left that ended after everything else was removed."""
    with _io():
        for path in beside.files(socket_dir):
            unlink(path)
        rmdir(socket_dir)


def _done(removal: _Removal, way: Way) -> Removed:
    """Do all steps, or tell them. Those of later stages depend on what earlier ones leave."""
    attachments = removal.attachments()
    waiting = bool(attachments) and not way.now
    further = [removal.staying] if waiting else [removal.configuration, removal.rest]
    told = []
    for stage in (removal.announcement, *further):
        for step in stage():
            told.append(step.text)
            if not way.dry_run:
                step.do()
    return Removed(
        steps=tuple(told),
        attachments=tuple(attachments),
        waiting=waiting,
        daemons=removal.daemons(),
        left=removal.left(),
    )


class _Removal:
    """The steps, of which each finds out for itself whether there is anything to do."""

    def __init__(self, lib_dir: str, known: Manifest) -> None:
        self._lib_dir = lib_dir
        self._known = known
        self._made = set(known.made)

    # -- what is there

    def attachments(self) -> list[str]:
        """Return what is to be released by us, in words."""
        found = [
            attached.told(entry)
            for place in self._known.places
            for entry in self._entries(place)
            if attached.needs_us(entry, handed_back=self._known.handed_back)
        ]
        return found + [
            f"a request for container {name}"
            for place in self._known.places
            for name in attached.under_way(place.cni_dir)
        ]

    def daemons(self) -> tuple[str, ...]:
        """Return where a daemon is at work."""
        places = dict.fromkeys(place.socket_dir for place in self._known.places)
        return tuple(directory for directory in places if beside.has_daemon(directory))

    def left(self) -> tuple[str, ...]:
        """Return the configurations that stay and call a plugin that goes."""
        calling = [path for place in self._known.places for path in self._calling(place)]
        return tuple(path for path in calling if path in self._known.given)

    def _entries(self, place: Places) -> list[Entry]:
        """Return the attachments that are ours: not those that Multus made, where it stays."""
        return [
            entry
            for entry in inventory.entries(Disk(place.cni_dir, lock=locks.held))
            if entry.record and (entry.record.owner or not self._multus_stays(place))
        ]

    def _multus_stays(self, place: Places) -> bool:
        """Tell whether the node has, or gets back, a configuration that calls Multus."""
        calling = configurations.calling(place.conf_dir, OUR_TYPES - {installation.PLUGIN})
        return self._known.handed_back or bool(set(calling) - set(self._going(place)))

    def _going(self, place: Places) -> list[str]:
        """Return the configurations that nobody can use without us, but those from before us."""
        calling = [path for path in self._calling(place) if path not in self._known.given]
        return [*configurations.generated(place.conf_dir), *calling]

    def _calling(self, place: Places) -> tuple[str, ...]:
        """Return the configurations of others whose plugin goes."""
        types = {installation.PLUGIN} | {
            os.path.basename(path)
            for path in self._known.launchers
            if not os.path.lexists(self._kept(path))
            and (installation.is_launcher(path) or not os.path.lexists(path))
        }
        return configurations.calling(place.conf_dir, types)

    # -- the steps

    def announcement(self) -> Iterator[Step]:
        """Yield what makes a daemon keep no configuration any more."""
        for place in self._known.places:
            path = os.path.join(place.socket_dir, presence.LEAVING)
            if not os.path.exists(path):
                yield Step(f"tell the daemon by {path}", partial(_touch, path))
        leaving = replace(self._known, leaving=True)
        if manifest.read(self._lib_dir) != leaving:
            text = f"note in {self._lib_dir} that it is being left"
            yield Step(text, partial(manifest.write, self._lib_dir, leaving))

    def configuration(self) -> Iterator[Step]:
        """Yield what gives runtimes the configuration that they are to have from now on."""
        if self._known.handed_back:
            yield from self._replaced()
            for place in self._known.places:
                yield from _handed_back(place.conf_dir)
        for place in self._known.places:
            if os.path.isdir(stage := os.path.join(place.conf_dir, aside.STAGE)):
                renamed = Aside(place.conf_dir, stage, own_types=OwnTypes(place.bin_dir))
                yield Step("give the primary network's file its name back", renamed.undo)
            for path in self._going(place):
                yield deletion("configuration", path)
            if os.path.exists(path := os.path.join(place.conf_dir, TEMPORARY)):
                yield deletion("file", path)
            if os.path.isdir(path := os.path.join(place.conf_dir, REPLACED)):
                yield clearance(path)

    def staying(self) -> Iterator[Step]:
        """Yield what lets the executables remove the rest when they are no longer needed."""
        for path in self._known.launchers:
            if installation.is_launcher(path) and os.path.basename(path) != installation.PASSTHRU:
                yield Step(f"leave {path} for attachments", partial(self._leave, path))

    def rest(self) -> Iterator[Step]:
        """Yield what removes everything else."""
        yield from self._replaced()
        for path in self._known.launchers:
            if installation.is_launcher(path) and not os.path.lexists(self._kept(path)):
                yield deletion("executable", path)
            if os.path.lexists(temporary(path)):
                yield deletion("file", temporary(path))
        yield from self._without_program()
        for place in self._known.places:
            yield from self._without_state(place)
        yield from self._without_directories()

    def _replaced(self) -> Iterator[Step]:
        """Yield what puts files back where launchers are; others that came since stay."""
        for path in self._known.launchers:
            ours = installation.is_launcher(path) or not os.path.lexists(path)
            place = self._kept(path)
            if ours and os.path.lexists(place) and os.path.isdir(os.path.dirname(path)):
                yield Step(f"put {path} back", partial(kept.put_back, place, path))

    def _kept(self, path: str) -> str:
        return kept.place(self._lib_dir, path)

    def _leave(self, path: str) -> None:
        program = self._program()
        text = launcher.leaving_text(
            program,
            socket_dir=self._known.places[0].socket_dir,
            lib_dir=self._lib_dir,
        )
        installation.put_launcher(path, text)

    def _without_program(self) -> Iterator[Step]:
        current = os.path.join(self._lib_dir, installation.CURRENT)
        for path in (temporary(current), current):
            if os.path.lexists(path):
                yield deletion("link", path)
        for name in (installation.VERSIONS, kept.DIRECTORY):
            path = os.path.join(self._lib_dir, name)
            if os.path.isdir(path):
                yield clearance(path)

    def _without_state(self, place: Places) -> Iterator[Step]:
        """Yield what removes records and what lies beside the socket."""
        for path in self._state(place):
            yield deletion("file", path)
        credential = os.path.join(place.conf_dir, kubeconfig.PLACE)
        if kubeconfig.is_ours(credential):
            yield deletion("file", credential)
            yield emptied(os.path.dirname(credential))
        if beside.has_daemon(place.socket_dir):
            return  # it would keep a configuration again, were it not told by a file there
        if place.socket_dir in self._made and os.path.isdir(place.socket_dir):
            yield clearance(place.socket_dir)
        for path in beside.files(place.socket_dir):
            yield deletion("file", path)
        if os.path.basename(place.socket_dir) == installation.PLUGIN:
            yield emptied(place.socket_dir)  # made for a mount before anything was installed

    def _state(self, place: Places) -> list[str]:
        results = os.path.join(place.cni_dir, "results")
        hidden = [
            path
            for directory in (place.cni_dir, results)
            for path in listed(directory)
            if os.path.basename(path).startswith(".") and path.endswith((".lock", ".new"))
        ]
        entries = [] if self._known.handed_back else self._entries(place)
        names = {entry.attachment.container_id for entry in entries}
        records = [
            path
            for path in listed(place.cni_dir)
            if os.path.basename(path).partition("@")[0] in names
        ]
        unclaimed = results in self._made and not self._known.handed_back
        cached = [
            path
            for path in listed(results)
            if unclaimed or any(f"-{name}-" in os.path.basename(path) for name in names)
        ]
        return list(dict.fromkeys((*hidden, *records, *cached)))

    def _without_directories(self) -> Iterator[Step]:
        """Yield what removes the directories that were not there; the manifest goes between them.

        As long as it is there, the removal can be finished; so it goes when nothing is left but
        the directories that it is in.
        """
        deepest_first = sorted(self._made, key=len, reverse=True)
        above = [path for path in deepest_first if f"{self._lib_dir}/".startswith(f"{path}/")]
        for path in deepest_first:
            if path not in above and os.path.isdir(path):
                yield emptied(path)
        yield Step("remove the manifest", partial(_delete_manifest, self._lib_dir))
        for path in above:
            yield emptied(path)

    def _program(self) -> Program:
        """Return what is installed; if it is lost, what runs this, carried there again."""
        versions = os.path.join(self._lib_dir, installation.VERSIONS)
        for name in self._known.versions:
            if carried := bundle.read(os.path.join(versions, name)):
                return carried.program
        if source := bundle.running():
            os.makedirs(versions, mode=0o755, exist_ok=True)
            return bundle.unpacked(source, versions).program
        return launcher.own_program()


def _nothing_known(lib_dir: str, *, dry_run: bool) -> Removed:
    """Return the outcome where nothing is installed; an error if something lies there.

    What was cut short at its very beginning or end has left next to nothing.
    """
    if dry_run and not os.path.isdir(lib_dir):
        return Removed()
    if not dry_run:
        manifest.forget(lib_dir)
        unlink(os.path.join(lib_dir, installation.LOCK))
        rmdir(lib_dir)
    if os.path.isdir(lib_dir) and set(os.listdir(lib_dir)) - {installation.LOCK}:
        raise CniError(
            Code.DECODING_FAILURE,
            f"{lib_dir} has no manifest of what was installed",
            "name the right --lib-dir; or install there again, and uninstall then",
        )
    return Removed()


def _delete_manifest(lib_dir: str) -> None:
    manifest.delete(lib_dir)
    unlink(os.path.join(lib_dir, installation.LOCK))


def _touch(path: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "ab"):
        pass


def _handed_back(conf_dir: str) -> Iterator[Step]:
    for source in listed(os.path.join(conf_dir, REPLACED)):
        target = os.path.join(conf_dir, os.path.basename(source))
        if os.path.basename(source) != TEMPORARY:
            yield Step(f"put {target} back", partial(kept.put_back, source, target))


@contextmanager
def _io() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot remove it completely: {error}",
            "look at that file system on the node, and uninstall again",
        ) from error
