"""The chart as helm renders it, and the questions that tests ask about the objects."""

from __future__ import annotations

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart"
HELM = ROOT / ".cache" / "bin" / "helm"

KUBERNETES = "1.36.0"

DISTRIBUTIONS = ("kubeadm", "k3s", "rke2", "microk8s", "openshift", "talos")

Values = dict[str, Any]
Object = dict[str, Any]


CASES: dict[str, Values] = {
    **{name: {"distribution": name} for name in DISTRIBUTIONS},
    "removal": {"remove": True},
    "removal on OpenShift": {
        "remove": True,
        "distribution": "openshift",
        "removal": {"now": True, "handBack": True},
    },
    "other directories": {
        "paths": {
            "config": "/srv/net.d",
            "primary": "/srv/primary",
            "bin": "/srv/bin",
            "lib": "/srv/lib",
            "definitions": "/srv/definitions",
            "state": "/srv/state",
            "socket": "/srv/socket",
            "kubelet": "/srv/kubelet",
        }
    },
    "certificates": {"perNodeCertificate": {"enabled": True}, "certApprover": {"enabled": True}},
    "certificates on OpenShift": {
        "distribution": "openshift",
        "certApprover": {"enabled": True},
        "perNodeCertificate": {
            "enabled": True,
            "bootstrapKubeconfig": "/var/lib/kubelet/kubeconfig",
            "certDir": "/run/multus-certificates",
        },
    },
    "metrics": {
        "metrics": {
            "port": 9092,
            "service": {"enabled": True, "annotations": {"scrape": "true"}},
            "podMonitor": {"enabled": True, "labels": {"team": "network"}, "interval": "30s"},
        }
    },
    "metrics on the port of health": {
        "healthPort": 9092,
        "metrics": {"port": 9092, "service": {"enabled": True}},
    },
    "first generation": {"legacyNetworks": True},
    "own configuration": {
        "primary": {"configuration": '{"cniVersion": "1.0.0",\n "name": "own", "plugins": []}'}
    },
    "as Tanzu's package": {
        "image": {"repository": "example/multus-py", "tag": "1", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "50Mi"},
            "limits": {"cpu": "200m", "memory": "100Mi"},
        },
        "primary": {"file": "10-antrea.conflist"},
        "cniVersion": "0.3.1",
        "forceCNIVersion": True,
        "overrideNetworkName": True,
        "log": {
            "level": "debug",
            "file": "/var/log/multus/multus.log",
            "options": {"maxSize": 5, "compress": False},
        },
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        "nodeSelector": {"network": "several"},
        "affinity": {"nodeAffinity": {}},
        "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
        "installAs": ["multus", "multus-shim"],
        "extraInstallArgs": ["--as=other"],
        "extraArgs": ["--kubeconfig=/etc/multus-py/kubeconfig"],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "kubernetesService": {"host": "10.0.0.1", "port": 6443},
        "readinessIndicatorFile": "/run/antrea/ready",
        "namespaceIsolation": True,
        "globalNamespaces": "default,shared",
        "daemonConfig": {"drainTimeout": 60, "defaultNetworks": ["storage"], "maxInFlight": 20},
        "tokenSeconds": 600,
        "priorityClassName": "important",
        "capabilities": ["DAC_OVERRIDE"],
        "seLinuxType": "spc_t",
        "labels": {"team": "network"},
        "annotations": {"note": "daemonset"},
        "podLabels": {"pod": "label"},
        "podAnnotations": {"pod": "annotation"},
        "serviceAccount": {"annotations": {"note": "account"}},
    },
}
"""Ways in which people are likely to use the chart."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The objects of one release."""

    objects: tuple[Object, ...]

    def of_kind(self, kind: str) -> list[Object]:
        return [item for item in self.objects if item["kind"] == kind]

    def only(self, kind: str) -> Object:
        [item] = self.of_kind(kind)
        return item

    @property
    def settings(self) -> dict[str, Any]:
        """What the daemon reads."""
        value: dict[str, Any] = json.loads(self.only("ConfigMap")["data"]["daemon-config.json"])
        return value

    @property
    def pods(self) -> list[Pod]:
        """The pods of DaemonSets and Deployments."""
        return [
            Pod(item["metadata"]["name"], item["spec"]["template"])
            for kind in ("DaemonSet", "Deployment")
            for item in self.of_kind(kind)
        ]

    @property
    def pod(self) -> Pod:
        [pod] = self.pods
        return pod

    def rules(self) -> set[tuple[str, str, str]]:
        """Return what is permitted: group, resource and verb."""
        return {
            (group, resource, verb)
            for role in self.of_kind("ClusterRole")
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }


@dataclass(frozen=True, slots=True)
class Pod:
    """A template of pods."""

    name: str
    template: Object

    @property
    def spec(self) -> Object:
        spec: Object = self.template["spec"]
        return spec

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def container(self, name: str) -> Object:
        [found] = [item for item in self.containers if item["name"] == name]
        return found

    def host_paths(self) -> dict[str, str]:
        """Return the directories of the node, by the names of the volumes."""
        return {
            volume["name"]: volume["hostPath"]["path"]
            for volume in self.spec["volumes"]
            if "hostPath" in volume
        }

    def mounts(self, container: str) -> dict[str, tuple[str, bool]]:
        """Return where a container sees directories of the node, and whether it may write."""
        paths = self.host_paths()
        return {
            paths[mount["name"]]: (mount["mountPath"], not mount.get("readOnly", False))
            for mount in self.container(container).get("volumeMounts", [])
            if mount["name"] in paths
        }


def rendered(values: Values, *options: str) -> Rendering:
    """Return what a release called multus-py in kube-system consists of."""
    done = _template(json.dumps(values), *options)
    assert done.returncode == 0, done.stderr
    return Rendering(tuple(yaml.load_all(done.stdout, yaml.CSafeLoader)))


def refusal(values: Values) -> str:
    """Return why values are refused."""
    done = _template(json.dumps(values))
    assert done.returncode != 0, "they are accepted"
    return done.stderr


def lint(values: Values) -> str:
    """Return what helm finds wrong with the chart."""
    done = _helm(json.dumps(values), "lint", "--strict", "--quiet", str(CHART))
    return "" if done.returncode == 0 else done.stdout + done.stderr


@functools.cache
def _template(values: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ("template", "multus-py", str(CHART), "--namespace", "kube-system", *options)
    return _helm(values, *command)


def _helm(values: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(HELM), *arguments, "--kube-version", KUBERNETES, "--values", "-"],
        input=values,
        capture_output=True,
        text=True,
        check=False,
    )
