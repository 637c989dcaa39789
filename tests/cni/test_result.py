"""Results: three shapes in seven versions, what is checked in them, and how they are converted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import result, version
from multus_py.cni.errors import CniError, Code
from multus_py.cni.result import Result

FIRST, MIDDLE, NEWEST = ("0.1.0", "0.2.0"), ("0.3.0", "0.3.1", "0.4.0"), ("1.0.0", "1.1.0")

# What one plugin assigned, in each of the three shapes
IN_FIRST: dict[str, Any] = {
    "cniVersion": "0.2.0",
    "ip4": {
        "ip": "10.1.0.5/16",
        "gateway": "10.1.0.1",
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
    },
    "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "fd01::/48"}]},
    "dns": {"nameservers": ["10.1.0.2"]},
}
IN_MIDDLE: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "interfaces": [{"name": "eth0", "mac": "0a:00:00:00:00:01", "sandbox": "/run/netns/pod"}],
    "ips": [
        {"version": "4", "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0},
        {"version": "6", "address": "fd00::5/64", "interface": 0},
    ],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "fd01::/48"}],
    "dns": {"nameservers": ["10.1.0.2"]},
}
IN_NEWEST: dict[str, Any] = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "eth0", "mac": "0a:00:00:00:00:01", "sandbox": "/run/netns/pod"}],
    "ips": [
        {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0},
        {"address": "fd00::5/64", "interface": 0},
    ],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "fd01::/48"}],
    "dns": {"nameservers": ["10.1.0.2"]},
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    **{cni_version: {**IN_FIRST, "cniVersion": cni_version} for cni_version in FIRST},
    **{cni_version: {**IN_MIDDLE, "cniVersion": cni_version} for cni_version in MIDDLE},
    **{cni_version: {**IN_NEWEST, "cniVersion": cni_version} for cni_version in NEWEST},
}


def converted(document: dict[str, Any], target: str) -> dict[str, Any]:
    return result.checked(document, "").as_version(target).document


def refusal(document: Any, config_version: str = "1.0.0") -> CniError:
    with pytest.raises(CniError) as caught:
        result.parse(json.dumps(document).encode(), config_version)
    return caught.value


# -- reading


def test_a_result_is_kept_as_it_was_printed() -> None:
    printed = b'{"z": 12345678901234567, "cniVersion": "1.0.0", "ips": [{"address": "::1/128"}]}'
    parsed = result.parse(printed, "0.4.0")
    assert parsed.version == "1.0.0"
    assert json.dumps(parsed.document).encode() == printed


@pytest.mark.parametrize(
    "stated", [{}, {"cniVersion": ""}, {"cniVersion": None}, {"cniVersion": 1}]
)
@pytest.mark.parametrize(("config_version", "assumed"), [("0.4.0", "0.4.0"), ("", "0.1.0")])
def test_a_result_without_a_version_has_its_configuration_s(
    stated: dict[str, Any], config_version: str, assumed: str
) -> None:
    parsed = result.checked(stated, config_version)
    assert parsed == Result(assumed, {"cniVersion": assumed})


def test_null_is_an_empty_result() -> None:
    assert result.parse(b" null\n", "1.0.0") == Result("1.0.0", {"cniVersion": "1.0.0"})


@pytest.mark.parametrize("stdout", [b"", b" \n"])
def test_a_plugin_that_prints_nothing_is_told_so(stdout: bytes) -> None:
    with pytest.raises(CniError, match=r"^it printed no result\. Next: report it") as caught:
        result.parse(stdout, "1.0.0")
    assert caught.value.code == Code.DELEGATE_OUTPUT


@pytest.mark.parametrize(
    ("stdout", "cause"),
    [
        (b"log line\n{}", "its result is not JSON"),
        (b"\xff", "its result is not UTF-8"),
        (b'{"mtu": NaN}', "its result is not JSON (NaN is no JSON value)"),
    ],
)
def test_what_is_no_json_is_refused(stdout: bytes, cause: str) -> None:
    with pytest.raises(CniError) as caught:
        result.parse(stdout, "1.0.0")
    assert caught.value.code == Code.DECODING_FAILURE
    assert caught.value.cause.startswith(cause)


@pytest.mark.parametrize("cni_version", ["1.2.0", "latest", "0.3"])
def test_a_version_we_do_not_know_is_refused_by_name(cni_version: str) -> None:
    for error in (refusal({"cniVersion": cni_version}), refusal({}, cni_version)):
        assert error.code == Code.INCOMPATIBLE_VERSION
        assert error.cause == f"unsupported CNI result version {cni_version!r}"


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({"interfaces": {}}, "interfaces that is an object, not a list"),
        ({"interfaces": [None]}, "interfaces[0] that is null, not an object"),
        ({"interfaces": [{}, {"name": 1}]}, "interfaces[1].name that is a number, not a text"),
        ({"interfaces": [{"mac": []}]}, "interfaces[0].mac that is a list, not a text"),
        ({"interfaces": [{"sandbox": False}]}, "interfaces[0].sandbox that is a boolean, not a"),
        ({"interfaces": [{"socketPath": 1}]}, "interfaces[0].socketPath that is a number, not a"),
        ({"interfaces": [{"pciID": {}}]}, "interfaces[0].pciID that is an object, not a text"),
        ({"interfaces": [{"mtu": "9000"}]}, "interfaces[0].mtu that is a text, not an integer"),
        ({"interfaces": [{"mtu": True}]}, "interfaces[0].mtu that is a boolean, not an integer"),
        ({"ips": "10.0.0.1/8"}, "ips that is a text, not a list"),
        ({"ips": ["10.0.0.1/8"]}, "ips[0] that is a text, not an object"),
        ({"ips": [{}]}, "ips[0].address that is null, not a text"),
        ({"ips": [{"address": 10}]}, "ips[0].address that is a number, not a text"),
        ({"ips": [{"address": ""}]}, "ips[0].address '', which is no address"),
        ({"ips": [{"address": "10.0.0.256/8"}]}, "ips[0].address '10.0.0.256/8', which is no"),
        ({"ips": [{"address": "10.0.0.1/33"}]}, "ips[0].address '10.0.0.1/33', which is no"),
        ({"ips": [{"address": "10.0.0.1"}]}, "ips[0].address '10.0.0.1' without a prefix length"),
        (
            {"ips": [{"address": "10.0.0.1/255.0.0.0"}]},
            "ips[0].address '10.0.0.1/255.0.0.0' without a prefix length",
        ),
        ({"ips": [{"address": "fe80::1%lo/64"}]}, "ips[0].address 'fe80::1%lo/64' with a zone"),
        (
            {"ips": [{"address": "::1/8", "gateway": "::2/8"}]},
            "ips[0].gateway '::2/8', which is no address",
        ),
        (
            {"ips": [{"address": "::1/8", "gateway": "fe80::1%lo"}]},
            "ips[0].gateway 'fe80::1%lo' with a zone",
        ),
        (
            {"ips": [{"address": "::1/8"}, {"address": "::1/8", "gateway": 0}]},
            "ips[1].gateway that is a number, not a text",
        ),
        (
            {"ips": [{"address": "::1/8", "interface": "0"}]},
            "ips[0].interface that is a text, not an integer",
        ),
        (
            {"ips": [{"address": "::1/8", "interface": 0.0, "version": "6"}]},
            "ips[0].interface that is a number, not an integer",
        ),
        (
            {"ips": [{"address": "::1/8", "version": 6}]},
            "ips[0].version that is a number, not a text",
        ),
        ({"routes": {"dst": "::/0"}}, "routes that is an object, not a list"),
        ({"routes": [[]]}, "routes[0] that is a list, not an object"),
        ({"routes": [{"gw": "::1"}]}, "routes[0].dst that is null, not a text"),
        ({"routes": [{"dst": "default"}]}, "routes[0].dst 'default', which is no address"),
        ({"routes": [{"dst": "10.0.0.0"}]}, "routes[0].dst '10.0.0.0' without a prefix length"),
        ({"routes": [{"dst": "::/0", "gw": "x"}]}, "routes[0].gw 'x', which is no address"),
        ({"dns": []}, "dns that is a list, not an object"),
        ({"dns": {"domain": 1}}, "dns.domain that is a number, not a text"),
        ({"dns": {"nameservers": "::1"}}, "dns.nameservers that is a text, not a list"),
        ({"dns": {"search": ""}}, "dns.search that is a text, not a list"),
        ({"dns": {"options": ["a", 1]}}, "dns.options[1] that is a number, not a text"),
    ],
    ids=repr,
)
def test_what_is_wrong_in_a_later_shape_is_told(members: dict[str, Any], cause: str) -> None:
    for cni_version in (*MIDDLE, *NEWEST):
        error = refusal(members, cni_version)
        assert error.code == Code.DELEGATE_OUTPUT
        assert error.cause.startswith(f"its result has {cause}")
        assert error.hint == "report it to the makers of the plugin"


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({"ip4": []}, "ip4 that is a list, not an object"),
        ({"ip4": {}}, "ip4.ip that is null, not a text"),
        ({"ip6": {"ip": "fd00::1"}}, "ip6.ip 'fd00::1' without a prefix length"),
        ({"ip4": {"ip": "x/8"}}, "ip4.ip 'x/8', which is no address"),
        ({"ip6": {"ip": "::1/8", "gateway": 1}}, "ip6.gateway that is a number, not a text"),
        ({"ip4": {"ip": "10.0.0.1/8", "routes": {}}}, "ip4.routes that is an object, not a list"),
        (
            {"ip4": {"ip": "10.0.0.1/8", "routes": [{"dst": "::/0"}, {}]}},
            "ip4.routes[1].dst that is null, not a text",
        ),
        ({"dns": 1}, "dns that is a number, not an object"),
    ],
    ids=repr,
)
def test_what_is_wrong_in_the_first_shape_is_told(members: dict[str, Any], cause: str) -> None:
    for cni_version in FIRST:
        error = refusal(members, cni_version)
        assert error.code == Code.DELEGATE_OUTPUT
        assert error.cause.startswith(f"its result has {cause}")


@pytest.mark.parametrize(("value", "kind"), [([], "a list"), ("", "a text"), (0, "a number")])
def test_a_result_is_an_object(value: Any, kind: str) -> None:
    error = refusal(value)
    assert error.code == Code.DELEGATE_OUTPUT
    assert error.cause == f"its result is {kind}, not an object"


def test_null_is_as_good_as_nothing() -> None:
    nothing: dict[str, Any] = {
        "interfaces": None,
        "ips": None,
        "routes": None,
        "dns": None,
        "ip4": None,
    }
    for cni_version in version.SUPPORTED:
        assert result.checked(nothing, cni_version).document == {
            **nothing,
            "cniVersion": cni_version,
        }
        assert not result.checked(nothing, cni_version).attached


def test_an_empty_gateway_is_none() -> None:
    document = {"cniVersion": "1.0.0", "ips": [{"address": "::1/128", "gateway": ""}]}
    assert converted(document, "0.2.0") == {"cniVersion": "0.2.0", "ip6": {"ip": "::1/128"}}


def test_members_of_another_shape_are_unknown_and_not_looked_at() -> None:
    first = {"cniVersion": "0.2.0", "interfaces": 5, "ips": "x", "routes": 1}
    assert result.checked(first, "").document == first
    newest = {"cniVersion": "1.0.0", "ip4": "x", "ip6": 5}
    assert result.checked(newest, "").document == newest


# -- questions


@pytest.mark.parametrize(
    ("document", "attached"),
    [
        ({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]}, True),
        ({"cniVersion": "0.3.1", "ips": [{"address": "::1/128"}]}, True),
        ({"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8"}}, True),
        ({"cniVersion": "0.2.0", "interfaces": [{"name": "eth0"}]}, False),
        ({"cniVersion": "1.0.0", "routes": [{"dst": "::/0"}], "dns": {}}, False),
        ({"cniVersion": "1.0.0", "interfaces": [], "ips": []}, False),
    ],
)
def test_an_interface_or_an_address_is_an_attachment(
    document: dict[str, Any], *, attached: bool
) -> None:
    assert result.checked(document, "").attached is attached


@pytest.mark.parametrize(
    ("text", "family"), [("10.0.0.1", 4), ("10.0.0.1/8", 4), ("::1", 6), ("fd00::/8", 6)]
)
def test_an_address_has_a_family(text: str, family: int) -> None:
    assert result.address_family(text) == family


@pytest.mark.parametrize(
    ("dst", "default"),
    [
        ("0.0.0.0/0", True),
        ("::/0", True),
        ("10.0.0.1/0", True),
        ("0.0.0.0/1", False),
        ("::", False),
    ],
)
def test_a_route_to_everywhere_is_a_default_route(dst: str, *, default: bool) -> None:
    assert result.is_default_route({"dst": dst}) is default


def test_an_address_is_told_from_its_prefix_length() -> None:
    assert result.without_prefix("10.0.0.1/8") == "10.0.0.1"
    assert result.without_prefix("fd00::1") == "fd00::1"


# -- conversion


@pytest.mark.parametrize("target", version.SUPPORTED)
@pytest.mark.parametrize("source", version.SUPPORTED)
def test_a_result_reads_the_same_in_every_version(source: str, target: str) -> None:
    expected = dict(DOCUMENTS[target])
    if source in FIRST and target not in FIRST:  # which has no interfaces
        del expected["interfaces"]
        expected["ips"] = [
            {key: value for key, value in ip.items() if key != "interface"}
            for ip in DOCUMENTS[target]["ips"]
        ]
    assert converted(DOCUMENTS[source], target) == expected


def test_no_version_means_the_oldest() -> None:
    assert converted(IN_NEWEST, "") == DOCUMENTS["0.1.0"]


def test_the_newest_version_is_current() -> None:
    assert result.checked(IN_MIDDLE, "").current == IN_NEWEST


@pytest.mark.parametrize("source", version.SUPPORTED)
def test_a_result_is_not_converted_to_a_version_we_do_not_know(source: str) -> None:
    with pytest.raises(CniError) as caught:
        converted(DOCUMENTS[source], "1.2.0")
    assert caught.value.code == Code.INCOMPATIBLE_VERSION
    assert caught.value.cause == "unsupported CNI result version '1.2.0'"


@pytest.mark.parametrize(
    "members", [{}, {"ips": []}, {"ip4": "stray", "routes": [{"dst": "::/0"}]}]
)
def test_a_result_without_an_address_has_no_first_shape(members: dict[str, Any]) -> None:
    with pytest.raises(CniError) as caught:
        converted({"cniVersion": "1.0.0", **members}, "0.2.0")
    assert caught.value.code == Code.INCOMPATIBLE_VERSION
    assert caught.value.cause.startswith("the result has no IP address")
    assert caught.value.hint == "use a newer cniVersion"


def test_the_first_shape_has_one_address_of_each_family_and_its_routes() -> None:
    document = {
        "cniVersion": "1.0.0",
        "ips": [{"address": "10.0.0.1/8"}, {"address": "10.0.0.2/8", "gateway": "10.0.0.9"}],
        "routes": [{"dst": "::/0"}, {"dst": "10.9.0.0/16", "mtu": 1400, "table": 7}],
        "vendor": {"a": 1},
    }
    assert converted(document, "0.1.0") == {
        "cniVersion": "0.1.0",
        "ip4": {"ip": "10.0.0.1/8", "routes": [{"dst": "10.9.0.0/16"}]},
        "vendor": {"a": 1},
    }


def test_members_that_1_0_0_added_are_not_in_older_versions() -> None:
    link = {"name": "eth0", "mtu": 9000, "socketPath": "/s", "pciID": "0000:01:00.0", "vendor": 1}
    route = {"dst": "::/0", "mtu": 1, "advmss": 2, "priority": 3, "table": 4, "scope": 5}
    newest = {"cniVersion": "1.0.0", "interfaces": [link], "ips": [], "routes": [route]}
    assert converted(newest, "0.4.0") == {
        "cniVersion": "0.4.0",
        "interfaces": [{"name": "eth0", "vendor": 1}],
        "ips": [],
        "routes": [{"dst": "::/0"}],
    }
    assert converted(newest, "1.1.0") == {**newest, "cniVersion": "1.1.0"}


def test_the_family_of_an_address_is_its_own_whatever_the_plugin_calls_it() -> None:
    ip = {"address": "10.0.0.1/8", "version": "6"}
    assert converted({"cniVersion": "1.0.0", "ips": [ip]}, "0.4.0")["ips"] == [
        {"address": "10.0.0.1/8", "version": "4"}
    ]


def test_strays_of_another_shape_are_not_converted() -> None:
    entry = {"ip": "10.0.0.1/8", "interface": "eth0", "version": 4, "vendor": 1}
    first = {"cniVersion": "0.2.0", "ip4": entry, "interfaces": 5, "ips": "x", "routes": 1}
    assert converted(first, "1.1.0") == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.0.0.1/8", "vendor": 1}],
        "routes": [],
    }
    newest = {"cniVersion": "1.0.0", "ips": [{"address": "::1/128"}], "ip4": "x", "ip6": 5}
    assert converted(newest, "0.2.0") == {"cniVersion": "0.2.0", "ip6": {"ip": "::1/128"}}


def test_a_conversion_leaves_the_result_as_it_is() -> None:
    for cni_version, document in DOCUMENTS.items():
        before = json.dumps(document)
        for target in version.SUPPORTED:
            converted(document, target)
        assert json.dumps(document) == before, cni_version


# -- any result

JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers())
ADDRESSES = st.ip_addresses().map(str)
NETWORKS = st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(0, 32)) | st.builds(
    "{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)
)
TEXTS = st.none() | st.text(max_size=8)
LISTS = st.none() | st.lists(st.text(max_size=4), max_size=2)
DNS = st.fixed_dictionaries(
    {}, optional={"domain": TEXTS, "nameservers": LISTS, "search": LISTS, "options": LISTS}
)
GATEWAYS = st.none() | st.just("") | ADDRESSES
ROUTES = st.none() | st.lists(
    st.fixed_dictionaries(
        {"dst": NETWORKS}, optional={"gw": GATEWAYS, "mtu": st.integers(), "vendor": JSON}
    ),
    max_size=3,
)
ENTRIES = st.fixed_dictionaries(
    {"ip": NETWORKS},
    optional={"gateway": GATEWAYS, "routes": ROUTES}
    | dict.fromkeys(("address", "interface", "version", "vendor"), JSON),
)
INTERFACES = st.fixed_dictionaries(
    {"name": st.text(max_size=8)},
    optional={"mac": TEXTS, "sandbox": TEXTS, "mtu": st.integers(), "pciID": TEXTS, "vendor": JSON},
)
IPS = st.fixed_dictionaries(
    {"address": NETWORKS},
    optional={
        "gateway": GATEWAYS,
        "interface": st.none() | st.integers(),
        "version": TEXTS,
        "vendor": JSON,
    },
)
IN_FIRST_SHAPE = st.fixed_dictionaries(
    {"cniVersion": st.sampled_from(FIRST)},
    optional={"ip4": ENTRIES, "ip6": st.none() | ENTRIES, "dns": DNS}
    | dict.fromkeys(("interfaces", "ips", "routes", "vendor"), JSON),
)
IN_LATER_SHAPES = st.fixed_dictionaries(
    {"cniVersion": st.sampled_from((*MIDDLE, *NEWEST))},
    optional={
        "interfaces": st.none() | st.lists(INTERFACES, max_size=3),
        "ips": st.none() | st.lists(IPS, max_size=3),
        "routes": ROUTES,
        "dns": DNS,
    }
    | dict.fromkeys(("ip4", "ip6", "vendor"), JSON),
)
RESULTS = st.builds(result.checked, IN_FIRST_SHAPE | IN_LATER_SHAPES, st.just(""))
VERSIONS = st.sampled_from(version.SUPPORTED)


def addresses(of: Result) -> list[str]:
    """Return the addresses of a result, whatever its shape."""
    if of.version in FIRST:
        return [of.document[key]["ip"] for key in ("ip4", "ip6") if of.document.get(key)]
    return [ip["address"] for ip in of.document.get("ips") or []]


def routes(of: Result) -> list[tuple[str, str | None]]:
    """Return the routes of a result, whatever its shape."""
    if of.version not in FIRST:
        return [(route["dst"], route.get("gw")) for route in of.document.get("routes") or []]
    entries = [of.document[key] for key in ("ip4", "ip6") if of.document.get(key)]
    found = [route for entry in entries for route in entry.get("routes") or []]
    return [(route["dst"], route.get("gw")) for route in found]


@settings(deadline=None, max_examples=200)
@given(RESULTS, VERSIONS)
def test_a_conversion_fails_for_want_of_an_address_or_gives_a_result(
    given_result: Result, target: str
) -> None:
    if target in FIRST and given_result.version not in FIRST and not addresses(given_result):
        with pytest.raises(CniError, match="the result has no IP address") as caught:
            given_result.as_version(target)
        assert caught.value.code == Code.INCOMPATIBLE_VERSION
        return
    other = given_result.as_version(target)
    assert other.version == other.document["cniVersion"] == target
    assert result.parse(json.dumps(other.document).encode(), "") == other


@settings(deadline=None, max_examples=200)
@given(RESULTS, VERSIONS)
def test_a_newer_version_has_all_addresses_and_routes(given_result: Result, target: str) -> None:
    newer = given_result.as_version(max(target, given_result.version, key=version.parts))
    assert addresses(newer) == addresses(given_result)
    assert routes(newer) == routes(given_result)


@settings(deadline=None, max_examples=100)
@given(RESULTS)
def test_a_result_in_its_own_version_is_itself(given_result: Result) -> None:
    assert given_result.as_version(given_result.version) is given_result


@settings(deadline=None, max_examples=100)
@given(RESULTS, st.sampled_from((*MIDDLE, *NEWEST)))
def test_later_shapes_have_the_same_addresses_and_routes(given_result: Result, target: str) -> None:
    other = given_result.as_version(target)
    assert addresses(other) == addresses(given_result)
    assert routes(other) == routes(given_result)
    if target in MIDDLE and given_result.version not in MIDDLE:
        families = [str(result.address_family(address)) for address in addresses(other)]
        assert [ip["version"] for ip in other.document["ips"]] == families


@settings(deadline=None, max_examples=100)
@given(st.builds(result.checked, IN_LATER_SHAPES, st.just("")), st.sampled_from(FIRST))
def test_an_older_version_has_the_first_address_of_each_family(
    given_result: Result, target: str
) -> None:
    found = addresses(given_result)
    if not found:
        return
    older = given_result.as_version(target)
    for family, key in ((4, "ip4"), (6, "ip6")):
        own = [address for address in found if result.address_family(address) == family]
        assert older.document.get(key, {}).get("ip") == (own[0] if own else None)
        kept = [pair for pair in routes(given_result) if result.address_family(pair[0]) == family]
        assert [pair for pair in routes(older) if result.address_family(pair[0]) == family] == (
            kept if own else []
        )
