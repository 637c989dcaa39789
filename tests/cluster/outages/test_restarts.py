"""The daemon ends while pods start: they wait a moment, and get all that they asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.cluster import daemons, deployment, holdings, successor
from tests.cluster.deployment import DAEMONS, MANIFEST
from tests.cluster.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.cluster import Cluster

TIMES = 3
_OBJECT = ("--namespace=kube-system", "daemonset/multus-py")


def test_pods_start_while_the_daemon_is_deleted_again_and_again(stormy: Cluster) -> None:
    """With Multus 4.3.0 all 40 were Running, none of them with the networks it asked for."""
    with burst(stormy, 40):
        for _ in range(TIMES):
            stormy.kubectl("delete", "pod", *DAEMONS)
            deployment.wait(stormy)


def test_pods_start_and_end_while_daemons_are_rolled_out(stormy: Cluster) -> None:
    node = stormy.nodes[0]
    with holdings.passing(node):
        ending = Storm(stormy, node, "ending", 20)
        ending.measured()
        with burst(stormy, 20):
            stormy.kubectl("rollout", "restart", *_OBJECT)
            ending.calm()
            deployment.wait(stormy)


def test_pods_start_while_the_daemon_is_killed_again_and_again(stormy: Cluster) -> None:
    with burst(stormy, 20):
        for _ in range(TIMES):
            daemons.wait_again(stormy, daemons.kill(stormy))
    assert daemons.of(stormy)[0].restarts >= TIMES
    stormy.kubectl("delete", "pod", *DAEMONS)  # or the next crash is waited for long
    deployment.wait(stormy)


def test_pods_start_while_the_next_version_comes_and_goes(stormy: Cluster, tmp_path: Path) -> None:
    node = stormy.nodes[0]
    node.import_image(successor.write(tmp_path))
    with burst(stormy, 20, name="old") as old:
        old.wait()
        with burst(stormy, 20, name="new"):
            _set_image(stormy, f"multus-py:{successor.VERSION}")
            deployment.wait(stormy)
            current = node.own("/opt/cni/multus-py/current").readlink().name
            assert current.startswith(f"{successor.VERSION}-")
    with burst(stormy, 5):
        stormy.kubectl("apply", f"--filename={MANIFEST}")
        deployment.wait(stormy)


@contextmanager
def burst(cluster: Cluster, pods: int, *, name: str = "burst") -> Iterator[Storm]:
    """Let pods start all the while; at the end all have what they asked for, and then nothing."""
    node = cluster.nodes[0]
    with holdings.passing(node):
        made = Storm(cluster, node, name, pods)
        made.break_out()
        yield made
        made.wait()
        made.check()
        made.calm()


def _set_image(cluster: Cluster, name: str) -> None:
    cluster.kubectl("set", "image", *_OBJECT, f"install={name}", f"daemon={name}")
