"""The values of the chart: what they change, and which are refused."""

from __future__ import annotations

import pytest

from multus_py.models import settings
from tests.deploy import charts
from tests.deploy.charts import CASES, DISTRIBUTIONS, Values, rendered


def test_what_people_set_arrives() -> None:
    values = CASES["as Tanzu's package"]
    release = rendered(values)
    parsed, over = settings.parse(release.only("ConfigMap")["data"]["daemon-config.json"])
    assert (parsed.multus_master_cni, parsed.drain_timeout, parsed.max_in_flight) == (
        "10-antrea.conflist",
        60,
        20,
    )
    assert (parsed.force_cni_version, parsed.override_network_name) == (True, True)
    assert (parsed.log_level, parsed.log_file) == ("debug", "/var/log/multus/multus.log")
    assert (parsed.log_options.max_size, parsed.log_options.compress) == (5, False)
    assert parsed.readiness_indicator_file == "/run/antrea/ready"
    assert over["namespaceIsolation"] is True
    assert over["globalNamespaces"] == "default,shared"
    assert over["defaultNetworks"] == ["storage"]
    assert release.settings["cniVersion"] == "0.3.1"
    pod = release.pod
    assert pod.mounts("daemon")["/var/log/multus"] == ("/var/log/multus", True)
    assert pod.mounts("daemon")["/run/antrea"] == ("/run/antrea", False)
    assert pod.spec["terminationGracePeriodSeconds"] == 75
    assert pod.spec["tolerations"] == values["tolerations"]
    assert pod.spec["nodeSelector"] == {"kubernetes.io/os": "linux", "network": "several"}
    assert pod.spec["affinity"] == values["affinity"]
    assert pod.spec["priorityClassName"] == "important"
    assert pod.spec["imagePullSecrets"] == [{"name": "pull"}]
    assert pod.spec["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
    assert {"pod": "label", "team": "network"}.items() <= pod.template["metadata"]["labels"].items()
    assert pod.template["metadata"]["annotations"]["pod"] == "annotation"
    assert release.only("DaemonSet")["metadata"]["annotations"] == {"note": "daemonset"}
    assert release.only("DaemonSet")["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert release.only("ServiceAccount")["metadata"]["annotations"] == {"note": "account"}
    assert "expirationSeconds': 600" in str(pod.spec["volumes"])


def test_what_people_set_for_containers_arrives() -> None:
    pod = rendered(CASES["as Tanzu's package"]).pod
    for container in pod.containers:
        assert container["image"] == "example/multus-py:1"
        assert container["imagePullPolicy"] == "Always"
        assert container["resources"] == CASES["as Tanzu's package"]["resources"]
    install, daemon = pod.container("install"), pod.container("daemon")
    assert install["args"][-3:] == ["--as=multus", "--as=multus-shim", "--as=other"]
    assert daemon["args"][-1] == "--kubeconfig=/etc/multus-py/kubeconfig"
    env = {item["name"]: item.get("value") for item in daemon["env"]}
    assert env == {
        "MULTUS_NODE_NAME": None,
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "KUBERNETES_SERVICE_PORT": "6443",
        "TZ": "UTC",
    }


def test_a_digest_goes_before_a_tag() -> None:
    digest = "sha256:" + "0" * 64
    image = {"repository": "example/multus-py", "tag": "1", "digest": digest}
    for container in rendered({"image": image}).pod.containers:
        assert container["image"] == f"example/multus-py@{digest}"


@pytest.mark.parametrize(
    ("distribution", "config", "binaries", "kubelet"),
    [
        ("kubeadm", "/etc/cni/net.d", "/opt/cni/bin", "/var/lib/kubelet"),
        ("rke2", "/etc/cni/net.d", "/opt/cni/bin", "/var/lib/kubelet"),
        ("talos", "/etc/cni/net.d", "/opt/cni/bin", "/var/lib/kubelet"),
        ("openshift", "/etc/kubernetes/cni/net.d", "/var/lib/cni/bin", "/var/lib/kubelet"),
        (
            "k3s",
            "/var/lib/rancher/k3s/agent/etc/cni/net.d",
            "/var/lib/rancher/k3s/data/cni",
            "/var/lib/kubelet",
        ),
        (
            "microk8s",
            "/var/snap/microk8s/current/args/cni-network",
            "/var/snap/microk8s/current/opt/cni/bin",
            "/var/snap/microk8s/common/var/lib/kubelet",
        ),
    ],
)
def test_distributions_have_their_own_directories(
    distribution: str, config: str, binaries: str, kubelet: str
) -> None:
    release = rendered({"distribution": distribution})
    parsed, over = settings.parse(release.only("ConfigMap")["data"]["daemon-config.json"])
    assert (parsed.cni_config_dir, over["binDir"]) == (config, binaries)
    seen = release.pod.mounts("daemon")
    assert seen[config] == (config, True)
    assert seen[f"{kubelet}/pod-resources"] == ("/var/lib/kubelet/pod-resources", False)
    assert bool(release.of_kind("SecurityContextConstraints")) == (distribution == "openshift")
    confined = "seLinuxOptions" not in release.pod.spec["securityContext"]
    assert confined == (distribution != "openshift")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("container", ["install", "uninstall"])
def test_everything_that_is_made_can_be_removed(distribution: str, container: str) -> None:
    """A directory that is itself a mount cannot; so those above it are mounted."""
    removing = container == "uninstall"
    release = rendered({"distribution": distribution, "remove": removing})
    arguments = release.pod.container(container)["args"]
    [library] = [word.partition("=")[2] for word in arguments if word.startswith("--lib-dir")]
    writable = [path for path, (_, write) in release.pod.mounts(container).items() if write]
    made = [library, "/var/lib/cni/multus", *(["/run/multus-py"] if removing else [])]
    for directory in made:
        assert any(directory.startswith(f"{path}/") for path in writable)


def test_open_shift_admits_exactly_such_pods() -> None:
    constraints = rendered(CASES["certificates on OpenShift"]).only("SecurityContextConstraints")
    allowed = {key for key, value in constraints.items() if key.startswith("allow") and value}
    assert allowed == {
        "allowHostDirVolumePlugin",
        "allowHostNetwork",
        "allowHostPorts",
    }
    assert constraints["requiredDropCapabilities"] == ["ALL"]
    assert constraints["users"] == [
        "system:serviceaccount:kube-system:multus-py",
        "system:serviceaccount:kube-system:multus-py-cert-approver",
    ]


def test_certificates_need_more_rights_only_where_they_are_used() -> None:
    release = rendered({"perNodeCertificate": {"enabled": True}})
    requests = ("certificates.k8s.io", "certificatesigningrequests")
    assert release.rules() - rendered({}).rules() == {(*requests, "create"), (*requests, "get")}
    for binding in release.of_kind("ClusterRoleBinding"):
        assert "system:multus" in [subject["name"] for subject in binding["subjects"]]
    parsed, _ = settings.parse(release.only("ConfigMap")["data"]["daemon-config.json"])
    assert parsed.per_node_certificate.enabled
    assert parsed.per_node_certificate.cert_dir == "/run/multus-py/certs"
    seen = release.pod.mounts("daemon")
    assert seen["/etc/kubernetes/kubelet.conf"] == ("/etc/kubernetes/kubelet.conf", False)
    assert seen["/var/lib/kubelet/pki"] == ("/var/lib/kubelet/pki", False)
    elsewhere = rendered(CASES["certificates on OpenShift"])
    assert elsewhere.pods[0].mounts("daemon")["/run/multus-certificates"][1]


def test_the_approver_may_approve_and_nothing_else() -> None:
    release = rendered({"certApprover": {"enabled": True}})
    assert release.rules() - rendered({}).rules() == {
        ("certificates.k8s.io", "certificatesigningrequests", "list"),
        ("certificates.k8s.io", "certificatesigningrequests", "watch"),
        ("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
        ("certificates.k8s.io", "signers", "approve"),
    }
    [pod] = [item for item in release.pods if "approver" in item.name]
    assert pod.spec["securityContext"]["runAsNonRoot"] is True
    assert pod.host_paths() == {}


def test_the_first_generation_needs_one_more_right() -> None:
    release = rendered({"legacyNetworks": True})
    networks = ("kubernetes-network.cni.cncf.io", "networks", "get")
    assert release.rules() - rendered({}).rules() == {networks}
    assert release.settings["legacyNetworks"] is True


def test_a_configuration_of_ones_own_is_kept_under_its_name() -> None:
    release = rendered(CASES["own configuration"])
    path = release.settings["multusConfigFile"]
    assert path == "/etc/multus-py/00-multus.conflist"
    written = release.only("ConfigMap")["data"]["00-multus.conflist"]
    assert written.strip() == CASES["own configuration"]["primary"]["configuration"]
    elsewhere = rendered({"daemonConfig": {"multusConfigFile": "/etc/multus/own.conf"}})
    assert elsewhere.pod.mounts("daemon")["/etc/multus"] == ("/etc/multus", False)


def test_metrics_are_found() -> None:
    release = rendered(CASES["metrics"])
    assert release.settings["metricsPort"] == 9092
    ports = {
        item["name"]: item["containerPort"] for item in release.pod.container("daemon")["ports"]
    }
    assert ports == {"health": 9392, "metrics": 9092}
    [port] = release.only("Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (9092, "metrics")
    [endpoint] = release.only("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "interval": "30s"}
    [port] = rendered(CASES["metrics on the port of health"]).only("Service")["spec"]["ports"]
    assert port["targetPort"] == "health"


def test_removal_replaces_everything_else() -> None:
    release = rendered({"remove": True, "removal": {"now": True, "handBack": True}})
    assert sorted(item["kind"] for item in release.objects) == ["DaemonSet", "ServiceAccount"]
    assert release.pod.container("uninstall")["args"] == [
        "--lib-dir=/opt/cni/multus-py",
        "--now",
        "--hand-back",
    ]
    plain = rendered({"remove": True})
    assert plain.pod.container("uninstall")["args"] == ["--lib-dir=/opt/cni/multus-py"]


def test_a_node_has_no_daemon_any_more_when_removal_begins() -> None:
    """Removal is an update of the same DaemonSet: a pod's successor starts when it has ended."""
    daemon, removal = (rendered({"remove": remove}).only("DaemonSet") for remove in (False, True))
    assert daemon["metadata"]["name"] == removal["metadata"]["name"]
    assert daemon["spec"]["selector"] == removal["spec"]["selector"]
    assert "maxSurge" not in removal["spec"]["updateStrategy"]["rollingUpdate"]


# -- what is refused


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"distribution": "k8s"}, "distribution"),
        ({"unknown": 1}, "unknown"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        ({"tokenSeconds": 3607}, "tokenSeconds"),
        ({"tokenSeconds": 60}, "tokenSeconds"),
        ({"daemonConfig": {"chrootDir": "/hostroot"}}, "chrootDir"),
        ({"daemonConfig": {"healthPort": 0}}, "healthPort"),
        ({"capabilities": ["SYS_ADMIN"]}, "capabilities"),
        ({"paths": {"config": "etc/cni/net.d"}}, "config"),
        ({"paths": {"config": "/etc/../etc/cni"}}, "config"),
        ({"paths": {"config": "/etc"}}, "/etc is too much of the node"),
        ({"paths": {"state": "/var/lib"}}, "/var/lib is too much of the node"),
        ({"daemonConfig": {"cniDir": "/"}}, "/ is too much of the node"),
        ({"daemonConfig": {"cniDir": "/var/../var/lib/"}}, "/var/lib is too much of the node"),
        *(
            ({"readinessIndicatorFile": f"{path}/ready"}, f"{path} is too much of the node")
            for path in ("/etc/kubernetes", "/opt", "/run", "/usr", "/var/lib/kubelet", "/var/run")
        ),
        ({"log": {"file": "/multus.log"}}, "/ is too much of the node"),
        ({"log": {"level": "info"}}, "level"),
        ({"metrics": {"service": {"enabled": True}}}, "metrics.port"),
        ({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}, "maxSurge"),
        ({"primary": {"configurationName": "../x.conf"}}, "configurationName"),
    ],
)
def test_what_cannot_work_is_refused_at_once(values: Values, reason: str) -> None:
    assert reason in charts.refusal(values)
