"""A cluster to play with: up, load an image, down."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.cluster import cluster
from tests.cluster.places import RUN
from tests.cluster.waiting import ClusterError

_USAGE = """\

    alias kubectl={script}
    kubectl run --image=busybox --command first -- sleep 1000

Its nodes reach no registry. They have busybox, and the images that you give them:

    {python} -m tests.cluster load dist/multus-py.oci.tar

The end of it: make cluster-down
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--name", default="play", help="of the cluster")
    verbs = parser.add_subparsers(dest="verb", required=True)
    rising = verbs.add_parser("up", help="bring up a cluster")
    rising.add_argument("--nodes", type=int, default=2)
    loading = verbs.add_parser("load", help="give an image to its nodes")
    loading.add_argument("archive", type=Path)
    verbs.add_parser("down", help="end it, or what a crash left of it")
    arguments = parser.parse_args()
    try:
        match arguments.verb:
            case "up":
                up(arguments.name, arguments.nodes)
            case "load":
                cluster.load(arguments.name, arguments.archive)
            case _:
                cluster.remove(arguments.name)
                cluster.remove_abandoned()
    except ClusterError as error:
        sys.exit(str(error))


def up(name: str, nodes: int) -> None:
    script = RUN / name / "kubectl"
    if cluster.is_up(name):
        print("The cluster is up already.")
    else:
        start = time.monotonic()
        made = cluster.Cluster.brought_up(nodes=nodes, name=name)
        made.kubectl.write_script(script)
        made.detach()
        print(f"The cluster came up in {time.monotonic() - start:.1f} s.")
    print(_USAGE.format(script=script, python=sys.executable))


if __name__ == "__main__":
    main()
