"""The machine that etcd, the API server, the controllers and the scheduler run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster import network
from tests.cluster.certificates import Authority, Pair, signing_key, write_kubeconfig
from tests.cluster.kubectl import Kubectl
from tests.cluster.machine import Machine, Program
from tests.cluster.places import BIN, ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

URL = f"https://{network.CONTROL}"
_ETCD = "http://127.0.0.1:2379"
HOSTS = (
    *(network.CONTROL, network.SERVICE, "127.0.0.1", "localhost", "kubernetes"),
    *("kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
)
_MASTERS = ("system:masters",)


class ControlPlane:
    """The machine and its programs, which tests stop and start as they like."""

    def __init__(self, directory: Path, cgroup: str) -> None:
        self.machine = Machine(
            "control",
            directory / "machines/control",
            own=["/var/lib/etcd", "/var/log"],
            cgroup=cgroup,
        )
        self.pki = directory / "pki"
        self.authority = Authority(self.pki)
        self._accounts = signing_key(self.pki, "accounts")
        admin = self.authority.issue("admin", "admin", groups=_MASTERS)
        self.kubeconfig = self.access(directory / "kubeconfig", admin)
        self.kubectl = Kubectl(self.machine, self.kubeconfig)
        self.etcd = self._etcd()
        self.api = self._api()
        self.controllers = self._controllers()
        self.scheduler = self._scheduler()

    def access(self, path: Path, user: Pair) -> Path:
        """Write a kubeconfig for a user."""
        authority = self.authority.pair.certificate
        return write_kubeconfig(path, server=URL, authority=authority, user=user)

    def _program(self, name: str, port: int, *options: str) -> Program:
        return Program(
            self.machine,
            str(BIN / name),
            *options,
            environment=ENVIRONMENT,
            ready=lambda: network.listens(self.machine, port),
        )

    def _etcd(self) -> Program:
        peers = "http://127.0.0.1:2380"
        return self._program(
            "etcd",
            2379,
            "--data-dir=/var/lib/etcd/data",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # this machine does not crash, or the cluster is gone with it
            "--log-level=warn",
        )

    def _api(self) -> Program:
        server = self.authority.issue("apiserver", "kube-apiserver", hosts=HOSTS)
        kubelets = self.authority.issue("kubelets", "kube-apiserver-kubelets", groups=_MASTERS)
        authority = self.authority.pair.certificate
        api = self._program(
            "kube-apiserver",
            443,
            f"--etcd-servers={_ETCD}",
            "--secure-port=443",
            f"--advertise-address={network.CONTROL}",
            f"--service-cluster-ip-range={network.SERVICES}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={authority}",
            f"--kubelet-client-certificate={kubelets.certificate}",
            f"--kubelet-client-key={kubelets.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._accounts.certificate}",
            f"--service-account-signing-key-file={self._accounts.key}",
            "--service-account-extend-token-expiration=false",  # tokens live as long as asked for
            "--shutdown-watch-termination-grace-period=1s",  # watches would be waited for a minute
        )
        api.ready = self._answers
        return api

    def _answers(self) -> bool:
        listening = network.listens(self.machine, 443)  # asking kubectl costs a good deal more
        return listening and self.kubectl.attempt("get", "--raw=/readyz").returncode == 0

    def _controllers(self) -> Program:
        authority = self.authority.pair
        return self._program(
            "kube-controller-manager",
            10257,
            f"--kubeconfig={self._own('kube-controller-manager')}",
            f"--root-ca-file={authority.certificate}",
            f"--service-account-private-key-file={self._accounts.key}",
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}",
            "--use-service-account-credentials",
            "--leader-elect=false",
        )

    def _scheduler(self) -> Program:
        kubeconfig = self._own("kube-scheduler")
        return self._program(
            "kube-scheduler", 10259, f"--kubeconfig={kubeconfig}", "--leader-elect=false"
        )

    def _own(self, name: str) -> Path:
        user = self.authority.issue(name, f"system:{name}")
        return self.access(self.pki / f"{name}.kubeconfig", user)
