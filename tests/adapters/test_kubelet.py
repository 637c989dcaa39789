from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from multus_py.adapters.kubelet import Kubelet
from multus_py.cni.errors import CniError, Code
from multus_py.models.objects import ObjectRef, Pod
from tests.kubelet import container, pod, serving, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = Pod(ObjectRef("default", "web"), "uid-web", {})


@pytest.fixture
def directory() -> Iterator[Path]:
    """The kubelet's directory; the path of a socket may have no more than a hundred characters."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def entry(uid: str, resource: str, ids: Any) -> dict[str, Any]:
    return {"PodUID": uid, "ContainerName": "c", "ResourceName": resource, "DeviceIDs": ids}


def failure_in(directory: Path) -> CniError:
    with pytest.raises(CniError) as caught:
        Kubelet(str(directory)).devices(WEB)
    return caught.value


# -- the socket


def test_devices_of_all_containers_are_sorted_by_resource(directory: Path) -> None:
    containers = [
        container({"vendor/nic": ["b", "a"], "vendor/gpu": ["9", "10"]}),
        container({"vendor/nic": ["A"]}),
        container(),
    ]
    with serving(directory, [pod(*containers, name="web")]):
        assert Kubelet(str(directory)).devices(WEB) == {
            "vendor/nic": ["A", "a", "b"],
            "vendor/gpu": ["10", "9"],
        }


def test_other_pods_have_devices_of_their_own(directory: Path) -> None:
    others = [
        pod(container({"vendor/nic": ["a"]}), name="web", namespace="shop"),
        pod(container({"vendor/nic": ["b"]}), name="web-2"),
    ]
    with serving(directory, others):
        assert Kubelet(str(directory)).devices(WEB) == {}


def test_devices_of_claims_go_by_the_name_of_the_claim(directory: Path) -> None:
    names = ["vendor.com/nic=b", "vendor.com/nic=a", "vendor.com/nic", "vendor.com/nic=c=d"]
    with serving(directory, [pod(container(claims={"claim": names}), name="web")]):
        assert Kubelet(str(directory)).devices(WEB) == {"claim": ["a", "b"]}


def test_a_node_may_have_very_many_devices(directory: Path) -> None:
    ids = [f"{number:0100}" for number in range(100_000)]
    with serving(directory, [pod(container({"vendor/nic": ids}), name="web")]):
        assert Kubelet(str(directory)).devices(WEB) == {"vendor/nic": ids}


def test_a_socket_that_nobody_answers_is_an_error(directory: Path) -> None:
    path = directory / "pod-resources/kubelet.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    error = failure_in(directory)
    assert error.code == Code.DEVICE
    assert f"the kubelet does not answer on {path}" in error.cause


# -- the checkpoint


def test_without_a_socket_the_checkpoint_is_read(directory: Path) -> None:
    write_checkpoint(
        directory,
        entry("uid-web", "vendor/nic", {"0": ["c"], "-1": ["a"]}),
        entry("uid-web", "vendor/nic", {"0": ["b"], "1": None}),
        entry("uid-other", "vendor/nic", {"0": ["d"]}),
    )
    assert Kubelet(str(directory)).devices(WEB) == {"vendor/nic": ["a", "b", "c"]}


def test_the_checkpoint_is_read_if_nobody_answers(directory: Path) -> None:
    (directory / "pod-resources").mkdir()
    (directory / "pod-resources/kubelet.sock").touch()
    write_checkpoint(directory, entry("uid-web", "vendor/nic", {"0": ["a"]}))
    assert Kubelet(str(directory)).devices(WEB) == {"vendor/nic": ["a"]}


def test_the_socket_knows_better_than_the_checkpoint(directory: Path) -> None:
    write_checkpoint(directory, entry("uid-web", "vendor/nic", {"0": ["old"]}))
    with serving(directory, [pod(container({"vendor/nic": ["new"]}), name="web")]):
        assert Kubelet(str(directory)).devices(WEB) == {"vendor/nic": ["new"]}


def test_without_socket_and_checkpoint_the_next_step_is_told(directory: Path) -> None:
    error = failure_in(directory)
    assert error.code == Code.DEVICE
    assert f"cannot read the kubelet's checkpoint {directory}/device-plugins" in error.cause
    assert "see whether the kubelet runs" in error.hint


@pytest.mark.parametrize("ids", [["a"], {"0": "a"}, {"0": [1]}])
def test_a_checkpoint_of_another_shape_is_an_error(directory: Path, ids: Any) -> None:
    write_checkpoint(directory, entry("uid-web", "vendor/nic", ids))
    assert failure_in(directory).code == Code.DEVICE


def test_a_checkpoint_that_is_no_json_is_an_error(directory: Path) -> None:
    write_checkpoint(directory)
    (directory / "device-plugins/kubelet_internal_checkpoint").write_text("{")
    assert failure_in(directory).code == Code.DECODING_FAILURE


def test_the_kubelet_of_a_node_has_one_place() -> None:
    assert Kubelet().directory == "/var/lib/kubelet"
