"""What one request works with: what was asked, and the ports to answer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni import arguments
from multus_py.models.objects import ObjectRef

if TYPE_CHECKING:
    from multus_py.cni.arguments import Arguments
    from multus_py.cni.request import Request
    from multus_py.core.budget import Budget
    from multus_py.core.ports import Cluster, Host, Store
    from multus_py.models.config import MultusConfig
    from multus_py.models.objects import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One request. ``cluster`` is None stand-alone, where neither pod nor definitions exist."""

    request: Request
    config: MultusConfig
    arguments: Arguments
    host: Host
    cluster: Cluster | None
    store: Store
    budget: Budget
    keeps_pending: bool = False
    """Whether somebody goes on with a release after the runtime was told that it is done."""
    abandoned: bool = False
    """Whether the node's daemon is gone, and not merely being restarted."""

    @property
    def pod_ref(self) -> ObjectRef:
        """The pod as the runtime names it; both names are empty for callers without Kubernetes."""
        return ObjectRef(
            self.arguments.get(arguments.POD_NAMESPACE), self.arguments.get(arguments.POD_NAME)
        )

    @property
    def place(self) -> str:
        """What messages call the pod, or the container where there is no pod."""
        if self.pod_ref.name:
            return f"pod {self.pod_ref}"
        return f"container {self.request.container_id}" if self.request.container_id else "node"

    def pod_label(self, pod: Pod | None) -> str:
        """Return the pod as log lines name it, in the form that tools know from Multus."""
        ref = self.pod_ref
        return f"{ref.namespace}:{ref.name}:{pod.uid if pod else 'unknownUID'}"

    @property
    def plugin_path(self) -> tuple[str, ...]:
        """The directories where plugins are looked for, each once."""
        return tuple(dict.fromkeys((self.config.bin_dir, *self.request.path)))
