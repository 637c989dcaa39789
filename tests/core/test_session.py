"""What a request is about, in words for messages."""

from __future__ import annotations

import pytest

from multus_py.models.objects import ObjectRef
from tests.core.test_add import a_node


@pytest.mark.parametrize(
    ("args", "container_id", "place"),
    [
        ("IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b", "ctr", "pod a/b"),
        ("", "ctr", "container ctr"),
        ("", "", "node"),
    ],
)
def test_messages_name_the_pod_or_else_the_container(
    args: str, container_id: str, place: str
) -> None:
    session = a_node().session(args=args, container_id=container_id)

    assert session.place == place


def test_log_lines_name_the_pod_as_tools_know_it() -> None:
    node = a_node()

    assert node.session().pod_label(node.pod()) == "default:web:uid-web"
    assert node.session().pod_label(None) == "default:web:unknownUID"


def test_directories_of_plugins_are_looked_into_once() -> None:
    session = a_node(binDir="/usr/lib/cni").session()

    assert session.plugin_path == ("/usr/lib/cni", "/opt/cni/bin")
    assert session.pod_ref == ObjectRef("default", "web")
