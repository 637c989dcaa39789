"""Images are on the nodes and nowhere else: pods take those, whatever their manifests say.

Without this a manifest that names ``busybox`` asks a registry, as images without a version are
always pulled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cluster.pods import pod

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl

_NAME = "images-are-on-the-nodes"
_POLICY = "IfNotPresent"
_QUICKLY = "--validate=false"  # or the schema of everything is fetched
_API = "admissionregistration.k8s.io/v1"


def forbid(kubectl: Kubectl) -> None:
    """Have the API server change the pods that it is given."""
    policy = {
        "apiVersion": _API,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": _NAME},
        "spec": {
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ]
            },
            "mutations": [_mutation("containers"), _mutation("initContainers")],
        },
    }
    binding = {
        "apiVersion": _API,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": _NAME},
        "spec": {"policyName": _NAME},
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [policy, binding]}
    kubectl("create", _QUICKLY, "--filename=-", stdin=json.dumps(listed))


def takes_pods(kubectl: Kubectl) -> bool:
    """Tell whether the API server takes pods, and changes them."""
    asked = pod("asked-for", pull="Always")
    create = ("create", _QUICKLY, "--dry-run=server", "--filename=-", "--output=json")
    done = kubectl.attempt(*create, stdin=json.dumps(asked))
    if done.returncode:
        return False
    made = json.loads(done.stdout)
    return bool(made["spec"]["containers"][0]["imagePullPolicy"] == _POLICY)


def _mutation(containers: str) -> dict[str, Any]:
    changed = f'Object.spec.{containers}{{name: each.name, imagePullPolicy: "{_POLICY}"}}'
    return {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {
            "expression": (
                f"Object{{spec: Object.spec{{{containers}:"
                f" object.spec.?{containers}.orValue([]).map(each, {changed})}}}}"
            )
        },
    }
