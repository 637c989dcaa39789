"""A node without a daemon: what Multus's ``thin_entrypoint`` does, with the same flags.

Decides what of it is done when. Knows nothing of signals and of the command line.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from multus_py.adapters import credentials
from multus_py.cni.errors import CniError, Code
from multus_py.node import configurations, kubeconfig, mounts, plugin
from multus_py.node.aside import Aside
from multus_py.node.keeper import Keeper
from multus_py.node.kubeconfig import Kubeconfig
from multus_py.node.launchers import OwnTypes
from multus_py.node.options import PLUGIN
from multus_py.node.task import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from multus_py.node.options import Options

_LOG = logging.getLogger(__name__)

_TURN = 1.0
"""Seconds between two looks at what is followed here."""


class Entrypoint:
    """One run, from the first look at the node to leaving it."""

    def __init__(
        self,
        options: Options,
        *,
        environ: Mapping[str, str],
        account: str = credentials.SERVICE_ACCOUNT,
    ) -> None:
        """``environ`` is that of a container in a pod, whose service account is a directory."""
        options.check()
        self._options = options
        memory = options.multus_token_dir
        in_memory = mounts.is_in_memory(memory)
        self._kubeconfig = Kubeconfig(
            options.kubeconfig,
            server=kubeconfig.server_url(environ),
            verified=not options.skip_tls_verify,
            token_dir=memory if in_memory else "",
            token_dir_on_host=mounts.on_host(memory),
            account=account,
        )
        if not in_memory:
            _LOG.warning(
                "the token for the API server is written to a disk: nothing in memory is mounted"
                " at %s (--multus-token-dir)",
                memory or "any directory",
            )
        self._keeper = Keeper(options.task())
        self._aside = Aside(
            options.multus_autoconfig_dir,
            options.stage,
            own_types=OwnTypes(options.cni_bin_dir),
            named=options.multus_master_cni_file_name,
        )
        self._troubles: dict[str, str] = {}

    def run(self, ended: Callable[[float], bool]) -> None:
        """Take over the node, and follow what changes until ``ended``, which waits for seconds.

        An error tells that the node could not be taken over.
        """
        self._install()
        self._make_directory()
        orderly = False
        try:
            self._kubeconfig.renew()
            self._begin()
            while not ended(_TURN):
                self._follow()
            orderly = True
        finally:
            self._keeper.stop()
            self._leave(everything=orderly and self._options.cleanup_config_on_exit)

    def _install(self) -> None:
        options = self._options
        if options.skip_multus_binary_copy:
            return
        if options.copies_binary:
            target = os.path.join(options.cni_bin_dir, PLUGIN)
            plugin.copy(options.multus_bin_file, target)
            _LOG.info("%s is a copy of %s", target, options.multus_bin_file)
        else:
            with suppress(CniError):  # what calls us there already is to be known, if it can be
                mounts.link(options.cni_conf_dir, options.conf_dir_host)
            done = plugin.install(options.target(), [PLUGIN])
            _LOG.info("installed: %s", ", ".join(done.launchers))

    def _make_directory(self) -> None:
        """Make the directory for definitions, which need not be on the host."""
        try:
            os.makedirs(self._options.multus_cni_conf_dir, mode=0o755, exist_ok=True)
        except OSError as error:
            _LOG.info("%s is not made: %s", self._options.multus_cni_conf_dir, error.strerror)

    def _begin(self) -> None:
        """Write the configuration if there is anything to write it from."""
        self._look()
        waits = self._options.generates and self._keeper.state is not State.FAILED
        if not waits and not self._keeper.path:
            raise CniError(
                Code.IO_FAILURE,
                f"no configuration is written: {self._keeper.trouble}",
                "correct it; this is tried again when the container is restarted",
            )
        if not self._options.skip_config_watch:
            self._keeper.start()

    def _follow(self) -> None:
        """Follow what the keeper does not: the credential, and the files that are renamed."""
        if not self._options.skip_config_watch:
            self._attempt(self._rename)
        elif self._keeper.state is not State.KEPT:
            self._attempt(self._look)
        self._attempt(self._renew)

    def _attempt(self, what: Callable[[], None]) -> None:
        """Do something that is done again soon; a failure is told when it is another one."""
        trouble = ""
        try:
            what()
        except CniError as error:
            trouble = str(error)
        if trouble and trouble != self._troubles.get(what.__name__):
            _LOG.error("%s", trouble)
        self._troubles[what.__name__] = trouble

    def _renew(self) -> None:
        if self._kubeconfig.renew():
            _LOG.info("the credential for the plugin is renewed")

    def _look(self) -> None:
        """Let the keeper look in this thread, between the halves of a renaming."""
        self._stage()
        self._keeper.step()
        self._rename()

    def _stage(self) -> None:
        if self._options.renames:
            with self._renaming():
                self._aside.look()

    def _rename(self) -> None:
        """Rename what is embedded in a configuration of ours, or will be: it stays on the stage."""
        self._stage()
        if self._options.renames and os.path.exists(self._keeper.path):
            with self._renaming():
                self._aside.rename()

    @contextmanager
    def _renaming(self) -> Iterator[None]:
        directory = self._options.multus_autoconfig_dir
        try:
            yield
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"no file is renamed in {directory}: {error.strerror}",
                "see that the directory is there and can be written",
            ) from error

    def _leave(self, *, everything: bool) -> None:
        """Remove what is not to stay: a token on a disk never is.

        The configuration stays after a failure: pods must not start without their networks.
        """
        try:
            if everything:
                self._aside.undo()
                self._remove_configuration()
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"the configuration stays in {self._options.cni_conf_dir}: {error.strerror}",
                "remove it by hand",
            ) from error
        finally:
            self._kubeconfig.remove(everything=everything)

    def _remove_configuration(self) -> None:
        """Remove what this process keeps, and what was generated and got another name."""
        generated = configurations.generated(self._options.cni_conf_dir)
        for path in filter(None, {*generated, self._keeper.path}):
            with suppress(FileNotFoundError):
                os.unlink(path)
            _LOG.info("%s is removed", path)
