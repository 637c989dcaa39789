"""Finding the pod that a request is about, and making sure that it is this one.

Where the cluster cannot be asked, a runtime that passes the pod's annotations is believed: a pod
that asked for nothing starts then, and one whose networks are known gets them. With a runtime that
passes none, a node that was left without daemon and credential would never start a pod again; there
pods are taken for such that ask for nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multus_py.cni import arguments
from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.models.objects import CONFIG_HASH, Pod

if TYPE_CHECKING:
    from multus_py.core.session import Session

_LOG = logging.getLogger(__name__)


def find(session: Session) -> Pod | None:
    """Return the request's pod, None stand-alone.

    A pod that is not there, or is another one of that name by now, is an error: a sandbox without
    the pod's networks must not come up.
    """
    if session.cluster is None:
        return None
    ref = session.pod_ref
    if not ref.valid:
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"CNI_ARGS name no pod ({arguments.POD_NAMESPACE}={ref.namespace!r}, "
            f"{arguments.POD_NAME}={ref.name!r}), but the configuration has a cluster",
            "pass both, or use a configuration without kubeconfig",
        )
    try:
        pod = session.cluster.get_pod(ref, uid=session.arguments.get(arguments.POD_UID))
    except NotFoundError as error:
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"pod {ref.name} is not known to the API server ({error.cause})",
            "the runtime tries again; a pod that was deleted needs nothing",
        ) from error
    except CniError as error:
        if told := _told_by_runtime(session, error):
            return told
        raise
    _check_uid(session, pod)
    return pod


def find_for_release(session: Session) -> Pod | None:
    """Return the request's pod if it can be had; releasing does not depend on it."""
    try:
        return find(session)
    except CniError:
        return None


def is_gone(session: Session) -> bool:
    """Tell whether the cluster, asked for it by name, does not have the request's pod any more.

    Where there is nobody to ask, or no name to ask for, that is not known. An error if the cluster
    does not answer.
    """
    ref, uid = session.pod_ref, session.arguments.get(arguments.POD_UID)
    if session.cluster is None or not ref.valid:
        return False
    try:
        pod = session.cluster.get_pod(ref, uid=uid)
    except NotFoundError:
        return True
    return uid not in {"", pod.uid, pod.annotations.get(CONFIG_HASH)}


def _told_by_runtime(session: Session, error: CniError) -> Pod | None:
    """Return the pod as far as it is known without the cluster, which has failed."""
    annotations = session.config.runtime_config.pod_annotations
    if annotations is not None:
        _LOG.warning("%s is known by what the runtime says of it: %s", session.place, error)
    elif session.abandoned and error.code == Code.API_REFUSED:
        _LOG.error("%s is taken for one that asks for no networks: %s", session.place, error)
        annotations = {}
    else:
        return None
    uid = session.arguments.get(arguments.POD_UID)
    return Pod(session.pod_ref, uid, annotations, by_runtime=True)


def _check_uid(session: Session, pod: Pod) -> None:
    expected = session.arguments.get(arguments.POD_UID)
    if expected and expected != pod.uid and not pod.static:
        raise CniError(
            Code.POD_REPLACED,
            f"the runtime speaks of UID {expected}, but the API server has UID {pod.uid}",
            "nothing: the pod was replaced, and the runtime will clean up",
        )
