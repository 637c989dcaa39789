"""A cluster that nobody can ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from multus_py.adapters.absent import AbsentCluster
from multus_py.cni.errors import CniError, Code
from multus_py.core.ports import Event
from multus_py.models.objects import ObjectRef, Pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.core.ports import Cluster

REASON = CniError(Code.API_REFUSED, "there is no credential")
POD = Pod(ObjectRef("default", "web"), "uid-web", {})

QUESTIONS: dict[str, Callable[[Cluster], object]] = {
    "pod": lambda cluster: cluster.get_pod(POD.ref),
    "network": lambda cluster: cluster.get_network(POD.ref),
    "first generation": lambda cluster: cluster.get_first_generation_network(POD.ref),
    "devices": lambda cluster: cluster.devices(POD),
    "publish": lambda cluster: cluster.publish_status(POD, "[]"),
    "edit": lambda cluster: cluster.edit_status(POD, lambda status: status),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_why_nobody_can_be_asked(question: str) -> None:
    with pytest.raises(CniError) as caught:
        QUESTIONS[question](AbsentCluster(REASON))
    assert caught.value is REASON


def test_events_are_told_to_nobody() -> None:
    cluster = AbsentCluster(REASON)
    cluster.emit(POD, Event("Normal", "AddedInterface", "eth0"))
    cluster.close()
