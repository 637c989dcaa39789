from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from multus_py.adapters.netlink import Namespaces, inside
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.nodes import Netns

NODE = Namespaces()


def failure_of(action: Callable[[], object]) -> CniError:
    with pytest.raises(CniError) as caught:
        action()
    return caught.value


def replace(netns: Netns, ifname: str, *gateways: str, families: Sequence[int] = (4, 6)) -> None:
    NODE.replace_default_routes(netns.path, ifname, families=families, gateways=gateways)


@pytest.fixture
def pod(netns: Netns) -> Netns:
    """A pod with two interfaces, neither of which has a default route."""
    netns.add_link("eth0", "10.0.0.2/24", "fd00::2/64")
    netns.add_link("net1", "10.1.0.2/24", "fd01::2/64")
    return netns


# -- namespaces and links


def test_a_link_exists_in_its_namespace_only(netns: Netns) -> None:
    netns.add_link("net1")
    assert NODE.link_exists(netns.path, "net1")
    assert NODE.link_exists(netns.path, "lo")
    assert not NODE.link_exists(netns.path, "net2")
    assert "net1" not in dict(socket.if_nameindex()).values()


def test_whoever_looks_into_a_namespace_stays_where_it_is(netns: Netns) -> None:
    before = os.readlink("/proc/self/ns/net"), os.readlink("/proc/thread-self/ns/net")
    there = inside(netns.path, lambda: os.readlink("/proc/thread-self/ns/net"))
    assert there not in before
    assert (os.readlink("/proc/self/ns/net"), os.readlink("/proc/thread-self/ns/net")) == before


def test_the_own_namespace_is_known_by_any_path(netns: Netns, tmp_path: Path) -> None:
    (tmp_path / "own").symlink_to(f"/proc/{os.getpid()}/ns/net")
    assert NODE.own_netns("/proc/self/ns/net")
    assert NODE.own_netns(str(tmp_path / "own"))
    assert not NODE.own_netns(netns.path)
    assert not NODE.own_netns("/proc/self/ns/pid")
    assert not NODE.own_netns(str(tmp_path / "missing"))


@pytest.mark.parametrize("path", ["/dev/null", "/run/netns/missing", "/proc/self/ns/uts"])
def test_a_namespace_that_is_none_is_an_error(path: str) -> None:
    error = failure_of(lambda: NODE.link_exists(path, "eth0"))
    assert error.code == Code.INVALID_NETNS
    assert f"cannot look into network namespace {path}" in error.cause


def test_an_error_inside_reaches_who_asked(netns: Netns) -> None:
    with pytest.raises(ZeroDivisionError):
        inside(netns.path, lambda: 1 // 0)


# -- which families have a default route


def test_default_routes_count_for_their_link_and_family(pod: Netns) -> None:
    assert NODE.default_route_families(pod.path, "eth0") == frozenset()
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    assert NODE.default_route_families(pod.path, "eth0") == {4}
    assert NODE.default_route_families(pod.path, "net1") == frozenset()
    pod.add_route("default", "via", "fd00::1", "dev", "eth0", "metric", "50")
    assert NODE.default_route_families(pod.path, "eth0") == {4, 6}


def test_a_default_route_needs_no_gateway(pod: Netns) -> None:
    pod.add_route("default", "dev", "eth0")
    assert NODE.default_route_families(pod.path, "eth0") == {4}


@pytest.mark.parametrize(
    "route",
    [
        "0.0.0.0/1 via 10.0.0.1 dev eth0",
        "10.9.0.0/16 via 10.0.0.1 dev eth0",
        "default via 10.0.0.1 dev eth0 table 100",
        "unreachable default",
        "local default dev eth0 table main",
    ],
)
def test_other_routes_are_no_default_routes(pod: Netns, route: str) -> None:
    pod.add_route(*route.split())
    assert NODE.default_route_families(pod.path, "eth0") == frozenset()


@pytest.mark.parametrize(
    ("family", "gateways"), [(4, ("10.0.0.1", "10.1.0.1")), (6, ("fd00::1", "fd01::1"))]
)
def test_a_shared_default_route_leads_through_all_its_links(
    pod: Netns, family: int, gateways: tuple[str, str]
) -> None:
    first, second = gateways
    hops = f"nexthop via {first} dev eth0 nexthop via {second} dev net1"
    pod.add_route("default", *hops.split())
    for link in ("eth0", "net1"):
        assert NODE.default_route_families(pod.path, link) == {family}


def test_a_link_that_is_missing_has_no_default_route(pod: Netns) -> None:
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    assert NODE.default_route_families(pod.path, "net7") == frozenset()


# -- replacing


def test_default_routes_move_to_another_link(pod: Netns) -> None:
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    pod.add_route("default", "via", "fd00::1", "dev", "eth0")
    replace(pod, "eth0")
    replace(pod, "net1", "10.1.0.1", "fd01::1")
    assert pod.default_routes(4) == ["via 10.1.0.1 dev net1"]
    assert pod.default_routes(6) == ["via fd01::1 dev net1 metric 1024"]


def test_only_the_families_that_are_named_are_removed(pod: Netns) -> None:
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    pod.add_route("default", "via", "fd00::1", "dev", "eth0", "metric", "5")
    replace(pod, "eth0", families=[4])
    assert pod.default_routes(4) == []
    assert pod.default_routes(6) == ["via fd00::1 dev eth0 metric 5"]


def test_all_default_routes_of_a_link_are_removed_and_no_others(pod: Netns) -> None:
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    pod.add_route("default", "via", "10.0.0.3", "dev", "eth0", "metric", "100")
    pod.add_route("default", "dev", "eth0", "metric", "200")
    pod.add_route("default", "via", "10.1.0.1", "dev", "net1", "metric", "300")
    pod.add_route("10.9.0.0/16", "via", "10.0.0.1", "dev", "eth0")
    replace(pod, "eth0")
    assert pod.default_routes(4) == ["via 10.1.0.1 dev net1 metric 300"]
    assert "10.9.0.0/16" in pod.ip("route")


@pytest.mark.parametrize("gateway", ["10.0.0.1", "fd00::1"])
@pytest.mark.parametrize("origin", ["kernel", "boot", "static", "ra", "dhcp"])
def test_it_does_not_matter_who_made_a_route(pod: Netns, gateway: str, origin: str) -> None:
    pod.add_route("default", "via", gateway, "dev", "eth0", "proto", origin)
    replace(pod, "eth0")
    assert pod.default_routes(4) + pod.default_routes(6) == []


def test_a_gateway_that_stays_is_set_again(pod: Netns) -> None:
    pod.add_route("default", "via", "10.1.0.1", "dev", "net1", "metric", "100")
    for _ in range(2):
        replace(pod, "net1", "10.1.0.1")
        assert pod.default_routes(4) == ["via 10.1.0.1 dev net1"]


def test_a_link_leaves_a_shared_route_of_version_6(pod: Netns) -> None:
    hops = "nexthop via fd00::1 dev eth0 nexthop via fd00::3 dev eth0 nexthop via fd01::1 dev net1"
    pod.ip("-6", "route", "add", "default", *hops.split())
    replace(pod, "eth0")
    assert pod.default_routes(6) == ["via fd01::1 dev net1 metric 1024"]


@pytest.mark.parametrize("prefix", ["10.1.0.", "fd01::"])
def test_a_route_with_several_gateways_on_one_link_is_removed(pod: Netns, prefix: str) -> None:
    hops = f"nexthop via {prefix}1 dev net1 nexthop via {prefix}3 dev net1"
    pod.add_route("default", *hops.split())
    replace(pod, "net1", f"{prefix}5")
    routes = pod.default_routes(4) + pod.default_routes(6)
    assert [route.removesuffix(" metric 1024") for route in routes] == [f"via {prefix}5 dev net1"]


@pytest.mark.parametrize("gateway", ["192.0.2.1", "10.0.0.1", "2001:db8::1"])
def test_a_gateway_out_of_reach_is_an_error(pod: Netns, gateway: str) -> None:
    error = failure_of(lambda: replace(pod, "net1", gateway))
    assert error.code == Code.DEFAULT_ROUTE
    assert f"cannot set the default route through {gateway} on net1: " in error.cause


def test_a_route_that_another_link_has_is_an_error(pod: Netns) -> None:
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    error = failure_of(lambda: replace(pod, "net1", "10.1.0.1"))
    assert error.code == Code.DEFAULT_ROUTE
    assert "File exists" in error.cause


def test_a_link_that_is_missing_gets_no_route(pod: Netns) -> None:
    error = failure_of(lambda: replace(pod, "net7", "10.0.0.1"))
    assert error.code == Code.DEFAULT_ROUTE
    assert "there is no interface net7" in error.cause


def test_a_link_that_is_missing_has_no_route_to_remove(pod: Netns) -> None:
    pod.add_route("default", "via", "10.0.0.1", "dev", "eth0")
    replace(pod, "net7")
    assert pod.default_routes(4) == ["via 10.0.0.1 dev eth0"]


def test_nothing_happens_outside(pod: Netns) -> None:
    replace(pod, "net1", "10.1.0.1")
    families = NODE.default_route_families("/proc/self/ns/net", "lo")
    assert families == frozenset()
