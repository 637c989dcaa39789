"""What the chart promises, whatever is set, and what it comes to if nothing is."""

from __future__ import annotations

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest

from multus_py.cli.commands import group
from multus_py.models import settings
from tests.deploy import charts
from tests.deploy.charts import CASES, Object, Pod, Values, rendered

EVERY_CASE = pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())

OTHERS_KINDS = {"PodMonitor", "SecurityContextConstraints"}
"""Not Kubernetes' own, and not ours; nobody has schemas of them here."""

TOO_MUCH = {"/", "/etc", "/etc/kubernetes", "/opt", "/run", "/usr", "/var", "/var/lib", "/var/run"}


# -- whatever is set


@EVERY_CASE
def test_helm_finds_nothing_wrong(values: Values) -> None:
    assert charts.lint(values) == ""


@EVERY_CASE
@pytest.mark.parametrize("version", ["1.25.0", charts.KUBERNETES])
def test_kubernetes_knows_every_field(values: Values, version: str) -> None:
    for item in rendered(values, "--include-crds").objects:
        if item["kind"] not in OTHERS_KINDS:
            kubernetes_validate.validate(item, version, strict=True)


@EVERY_CASE
def test_objects_have_a_place_and_refer_to_each_other(values: Values) -> None:
    release = rendered(values)
    names = {(item["kind"], item["metadata"]["name"]) for item in release.objects}
    assert len(names) == len(release.objects)
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "SecurityContextConstraints"}
    for item in release.objects:
        expected = None if item["kind"] in cluster_wide else "kube-system"
        assert item["metadata"].get("namespace") == expected
    assert {key for item in release.objects for key in _references(item)} <= names
    for pod in release.pods:
        volumes = [volume["name"] for volume in pod.spec["volumes"]]
        mounted = [mount["name"] for item in pod.containers for mount in _mounts(item)]
        assert len(set(volumes)) == len(volumes)
        assert set(mounted) == set(volumes)


def _references(item: Object) -> set[tuple[str, str]]:
    """Return the objects that one refers to, by kind and name."""
    if item["kind"] == "ClusterRoleBinding":
        accounts = [one for one in item["subjects"] if one["kind"] == "ServiceAccount"]
        assert all(account["namespace"] == "kube-system" for account in accounts)
        role = ("ClusterRole", item["roleRef"]["name"])
        return {role, *(("ServiceAccount", account["name"]) for account in accounts)}
    if item["kind"] not in {"DaemonSet", "Deployment"}:
        return set()
    pod = Pod("", item["spec"]["template"])
    maps = {volume["configMap"]["name"] for volume in pod.spec["volumes"] if "configMap" in volume}
    account = ("ServiceAccount", pod.spec["serviceAccountName"])
    return {account, *(("ConfigMap", name) for name in maps)}


def _mounts(container: Object) -> list[Object]:
    mounts: list[Object] = container.get("volumeMounts", [])
    return mounts


@EVERY_CASE
def test_selectors_find_the_pods_of_their_part_only(values: Values) -> None:
    release = rendered(values)
    labels = [pod.template["metadata"]["labels"] for pod in release.pods]
    for item in release.objects:
        selector = item.get("spec", {}).get("selector")
        if selector:
            wanted = selector.get("matchLabels", selector)
            assert sum(wanted.items() <= found.items() for found in labels) == 1


@EVERY_CASE
def test_containers_have_no_privileges(values: Values) -> None:
    for pod in rendered(values).pods:
        assert not {"hostPID", "hostIPC", "shareProcessNamespace"} & pod.spec.keys()
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod.containers:
            context = container["securityContext"]
            assert context["privileged"] is False
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]
            on_nodes = "approver" not in pod.name and container["name"] != "done"
            added = values.get("capabilities", []) if on_nodes else []
            assert context["capabilities"].get("add", []) == added


@EVERY_CASE
def test_containers_see_the_directories_that_they_need_where_they_are_on_the_node(
    values: Values,
) -> None:
    for pod in rendered(values).pods:
        for container in pod.containers:
            for path, (at, _) in pod.mounts(container["name"]).items():
                assert at == path or at.startswith("/var/lib/kubelet/")
                assert path not in TOO_MUCH or (container["name"], path) == ("uninstall", "/run")


@EVERY_CASE
def test_memory_is_limited(values: Values) -> None:
    for pod in rendered(values).pods:
        for container in pod.containers:
            limit = container["resources"]["limits"]["memory"]
            assert limit.endswith("Mi")
            assert int(limit.removesuffix("Mi")) * 1024**2 <= 128_000_000


@EVERY_CASE
def test_nobody_may_do_anything_by_a_wildcard_or_change_more_than_status(values: Values) -> None:
    for group_name, resource, verb in rendered(values).rules():
        assert "*" not in {group_name, resource, verb}
        if verb not in {"get", "list", "watch"}:
            assert (resource, verb) in {
                ("pods/status", "patch"),
                ("events", "create"),
                ("events", "patch"),
                ("certificatesigningrequests", "create"),
                ("certificatesigningrequests/approval", "update"),
                ("signers", "approve"),
            }


@EVERY_CASE
def test_the_command_line_is_understood(values: Values) -> None:
    for pod in rendered(values).pods:
        for container in pod.containers:
            program, *words = container["command"]
            if program == "/bin/multus-py":
                [name] = words
                command = group.get_command(group.make_context("multus-py", ["--"]), name)
                assert command, name
                command.make_context(name, list(container.get("args", [])))


@EVERY_CASE
def test_the_daemon_understands_its_configuration(values: Values) -> None:
    release = rendered(values)
    if not values.get("remove"):
        settings.parse(release.only("ConfigMap")["data"]["daemon-config.json"])


# -- what is set when nothing is


@pytest.fixture(scope="module")
def release() -> charts.Rendering:
    return rendered({})


def test_a_daemon_may_do_exactly_this(release: charts.Rendering) -> None:
    assert release.rules() == {
        ("", "pods", "get"),
        ("", "pods", "list"),
        ("", "pods", "watch"),
        ("", "pods/status", "patch"),
        ("", "events", "create"),
        ("", "events", "patch"),
        ("k8s.cni.cncf.io", "network-attachment-definitions", "get"),
        ("k8s.cni.cncf.io", "network-attachment-definitions", "list"),
        ("k8s.cni.cncf.io", "network-attachment-definitions", "watch"),
    }


def test_a_daemon_sees_exactly_this_of_its_node(release: charts.Rendering) -> None:
    seen = {path: write for path, (_, write) in release.pod.mounts("daemon").items()}
    assert seen == {
        "/etc/cni/net.d": True,
        "/var/lib/cni/multus": True,
        "/run/multus-py": True,
        "/run/k8s.cni.cncf.io": True,
        "/etc/cni": False,
        "/opt/cni/bin": False,
        "/var/lib/kubelet/pod-resources": False,
        "/var/lib/kubelet/device-plugins": False,
    }
    seen = {path: write for path, (_, write) in release.pod.mounts("install").items()}
    assert seen == {
        "/opt/cni": True,
        "/var/lib/cni": True,
        "/run/multus-py": True,
        "/etc/cni": False,
    }


def test_pods_of_nodes_run_first_last_and_everywhere(release: charts.Rendering) -> None:
    spec = release.pod.spec
    assert spec["hostNetwork"] is True
    assert spec["dnsPolicy"] == "Default"
    assert spec["priorityClassName"] == "system-node-critical"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    update = release.only("DaemonSet")["spec"]["updateStrategy"]
    assert update == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}


def test_the_token_is_short_lived(release: charts.Rendering) -> None:
    [token] = [volume for volume in release.pod.spec["volumes"] if volume["name"] == "token"]
    [source] = [
        item["serviceAccountToken"]
        for item in token["projected"]["sources"]
        if "serviceAccountToken" in item
    ]
    assert source == {"path": "token", "expirationSeconds": 3600}
    [mount] = [
        item["mountPath"]
        for item in _mounts(release.pod.container("daemon"))
        if item["name"] == "token"
    ]
    assert mount == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert release.only("ServiceAccount")["automountServiceAccountToken"] is False


def test_probes_ask_what_matters_where_the_daemon_answers(release: charts.Rendering) -> None:
    daemon = release.pod.container("daemon")
    asked = {
        name: daemon[name]["httpGet"]["path"]
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked == {
        "startupProbe": "/healthz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/healthz",
    }
    assert {daemon[name]["httpGet"]["port"] for name in asked} == {"health"}
    [port] = daemon["ports"]
    assert port == {"name": "health", "containerPort": release.settings["healthPort"]}


def test_a_daemon_has_time_to_finish_what_runs(release: charts.Rendering) -> None:
    parsed, _ = settings.parse(release.only("ConfigMap")["data"]["daemon-config.json"])
    assert release.pod.spec["terminationGracePeriodSeconds"] >= parsed.drain_timeout + 10


def test_a_daemon_finds_what_was_installed(release: charts.Rendering) -> None:
    parsed, over = settings.parse(release.only("ConfigMap")["data"]["daemon-config.json"])
    assert release.pod.container("install")["args"] == [
        f"--bin-dir={over['binDir']}",
        "--lib-dir=/opt/cni/multus-py",
        f"--socket-dir={parsed.socket_dir}",
        f"--conf-dir={parsed.cni_config_dir}",
        f"--cni-dir={over['cniDir']}",
    ]
    assert parsed.multus_config_file == "auto"
    assert parsed.multus_autoconfig_dir == parsed.cni_config_dir


def test_another_configuration_starts_daemons_anew(release: charts.Rendering) -> None:
    def checksum(of: charts.Rendering) -> str:
        return str(of.pod.template["metadata"]["annotations"]["checksum/config"])

    assert checksum(rendered({"podLabels": {"a": "b"}})) == checksum(release)
    changes: list[Values] = [
        {"daemonConfig": {"repairGrace": 5}},
        {"primary": {"configuration": "one"}},
        {"primary": {"configuration": "another"}},
    ]
    assert len({checksum(release), *(checksum(rendered(values)) for values in changes)}) == 4
