"""Network configurations: one shape for one plugin and for several, and what each plugin reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import document, network
from multus_py.cni.errors import CniError, Code
from multus_py.cni.network import NetworkConfig

SINGLE = {"cniVersion": "1.0.0", "name": "lan", "type": "bridge", "mtu": 1400}
CHAIN = {
    "cniVersion": "1.0.0",
    "name": "lan",
    "plugins": [{"type": "bridge"}, {"type": "tuning", "sysctl": {}}],
}

WORDS = st.text("abcdefgh", min_size=1, max_size=8)
SWITCHES = st.booleans() | st.sampled_from(["true", 1, None])
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())
PLUGINS = st.builds(
    lambda kind, capabilities, rest: {**rest, "type": kind, "capabilities": capabilities},
    WORDS,
    st.none() | st.dictionaries(WORDS, SWITCHES),
    st.dictionaries(WORDS | st.sampled_from(["name", "cniVersion", "prevResult"]), VALUES),
)


def refusal(config: dict[str, Any], *further: dict[str, Any]) -> CniError:
    with pytest.raises(CniError) as caught:
        network.parse_list(config, further) if further else network.parse(config)
    return caught.value


def stdin(config: dict[str, Any], **asked: Any) -> Any:
    """Return what the first plugin of a configuration reads."""
    parsed = network.parse(config)
    return json.loads(parsed.stdin(parsed.plugins[0], **{"capability_args": {}, **asked}))


# -- one shape


def test_a_single_configuration_is_a_list_of_one() -> None:
    assert network.parse(SINGLE) == NetworkConfig(
        name="lan", version="1.0.0", plugins=(SINGLE,), document=SINGLE, written=SINGLE
    )


def test_a_list_has_its_plugins_in_order() -> None:
    parsed = network.parse(CHAIN)
    assert parsed == NetworkConfig(
        name="lan",
        version="1.0.0",
        plugins=({"type": "bridge"}, {"type": "tuning", "sysctl": {}}),
        document=CHAIN,
        written=CHAIN,
        chained=True,
    )
    assert parsed.types == ("bridge", "tuning")


def test_a_type_makes_a_configuration_single_even_with_plugins() -> None:
    both = {**CHAIN, "type": "bridge"}
    assert network.parse(both).plugins == (both,)


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_type_is_none(empty: str | None) -> None:
    assert network.parse({**CHAIN, "type": empty}).types == ("bridge", "tuning")


@settings(deadline=None, max_examples=100)
@given(PLUGINS)
def test_a_single_plugin_reads_the_same_in_a_list_of_one(plugin: dict[str, Any]) -> None:
    named = {**plugin, "name": "lan", "cniVersion": "1.0.0"}
    alone, listed = network.parse(named), network.parse({**CHAIN, "plugins": [plugin]})
    assert (alone.name, alone.version, alone.types) == (listed.name, listed.version, listed.types)
    offer = {"a": [1], "b": "", "c": {"d": "e"}}
    assert stdin(named, capability_args=offer) == stdin(
        {**CHAIN, "plugins": [plugin]}, capability_args=offer
    )


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ({}, "neither 'type' nor 'plugins' is set"),
        ({"plugins": None}, "neither 'type' nor 'plugins' is set"),
        ({"plugins": {}}, "plugins is an object, not a list"),
        ({"plugins": "bridge"}, "plugins is a text, not a list"),
        ({"plugins": []}, "plugins is an empty list"),
        ({"plugins": [None]}, "plugins[0]: a plugin is null, not an object"),
        ({"plugins": [{"type": "a"}, "b"]}, "plugins[1]: a plugin is a text, not an object"),
        ({"plugins": [{"type": "a"}, {}]}, "plugins[1]: a plugin has no 'type'"),
        ({"plugins": [{"type": ""}]}, "plugins[0]: a plugin has no 'type'"),
        ({"plugins": [{"type": 5}]}, "plugins[0]: plugin type 5 is not the name of a file"),
        ({"type": ["a"]}, "plugin type ['a'] is not the name of a file"),
        ({"type": "../a"}, "plugin type '../a' is not the name of a file"),
        ({"type": ".."}, "plugin type '..' is not the name of a file"),
        ({"type": "a", "capabilities": ["ips"]}, "capabilities is a list, not an object"),
        ({"plugins": [{"type": "a", "capabilities": True}]}, "plugins[0]: capabilities is a bool"),
        ({"type": "a", "name": 1}, "name is a number, not a text"),
        ({"type": "a", "cniVersion": 1.0}, "cniVersion is a number, not a text"),
        ({"type": "a", "cniVersions": "1.0.0"}, "cniVersions is not a list of texts"),
        ({"type": "a", "cniVersions": False}, "cniVersions is not a list of texts"),
        ({"type": "a", "cniVersions": ["1.0.0", 1]}, "cniVersions is not a list of texts"),
        ({"type": "a", "cniVersions": ["9.0.0", "x"]}, "none of cniVersions 9.0.0, x is supported"),
        ({"type": "a", "disableCheck": 1}, "disableCheck is neither true nor false"),
        ({"type": "a", "disableGC": "yes"}, "disableGC is neither true nor false"),
        ({"type": "a", "loadOnlyInlinedPlugins": []}, "loadOnlyInlinedPlugins is neither true"),
    ],
    ids=repr,
)
def test_what_is_no_network_is_refused(config: dict[str, Any], cause: str) -> None:
    error = refusal(config)
    assert error.code == Code.INVALID_CONFIGURATION
    assert error.message().startswith(cause)
    assert error.hint


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from([*CHAIN, "type", "cniVersions", "disableCheck", "disableGC"]),
        VALUES | st.lists(PLUGINS) | st.just("1.0.0"),
    )
)
def test_whatever_an_author_writes_is_a_network_or_refused(config: dict[str, Any]) -> None:
    try:
        found = network.parse(config).document
    except CniError as error:
        found = {"refused": error.code}
    assert found in (config, {"refused": Code.INVALID_CONFIGURATION})


# -- name, version, switches


def test_a_name_is_not_asked_for_until_it_is_validated() -> None:
    parsed = network.parse({"type": "bridge"})
    assert (parsed.name, parsed.version) == ("", "")
    with pytest.raises(CniError, match=r"^missing network name\. Next: give the") as caught:
        parsed.validate()
    assert caught.value.code == Code.INVALID_CONFIGURATION


@pytest.mark.parametrize("name", ["a b", "-lan", "../lan", "lan\n", "n" * 201], ids=ascii)
def test_a_name_that_could_leave_its_directory_is_invalid(name: str) -> None:
    with pytest.raises(CniError, match=r"^network name '.*' is invalid: .*\. Next: ") as caught:
        network.parse({"type": "bridge", "name": name}).validate()
    assert caught.value.code == Code.INVALID_CONFIGURATION


def test_a_good_name_is_valid() -> None:
    parsed = network.parse(SINGLE)
    parsed.validate()
    assert parsed.name == "lan"


@pytest.mark.parametrize(
    ("written", "effective"),
    [
        ({}, ""),
        ({"cniVersion": None}, ""),
        ({"cniVersion": "0.4.0"}, "0.4.0"),
        ({"cniVersion": "strange"}, "strange"),
        ({"cniVersion": "0.4.0", "cniVersions": None}, "0.4.0"),
        ({"cniVersion": "0.4.0", "cniVersions": []}, "0.4.0"),
        ({"cniVersions": ["0.4.0", "1.0.0", "0.3.1"]}, "1.0.0"),
        ({"cniVersion": "1.1.0", "cniVersions": ["0.4.0"]}, "1.1.0"),
        ({"cniVersion": "2.0.0", "cniVersions": ["1.0.0", "3.0.0", "x"]}, "1.0.0"),
        ({"cniVersion": "1.0.0", "cniVersions": ["x"]}, "1.0.0"),
    ],
    ids=repr,
)
def test_the_newest_version_we_know_is_effective(written: dict[str, Any], effective: str) -> None:
    assert network.parse({"type": "bridge", **written}).version == effective


@pytest.mark.parametrize(
    ("written", "on"),
    [(True, True), ("true", True), ("TRUE", True), (False, False), ("false", False), (None, False)],
)
@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("disableCheck", "disable_check"),
        ("disableGC", "disable_gc"),
        ("loadOnlyInlinedPlugins", "only_inlined"),
    ],
)
def test_a_switch_is_a_boolean_or_its_text(key: str, name: str, *, written: Any, on: bool) -> None:
    parsed = network.parse({**CHAIN, key: written})
    assert getattr(parsed, name) is on
    others = {"disable_check", "disable_gc", "only_inlined"} - {name}
    assert not any(getattr(parsed, other) for other in others)


# -- plugins from a directory


def test_further_plugins_come_after_its_own() -> None:
    parsed = network.parse_list(CHAIN, [{"type": "portmap"}, {"type": "firewall"}])
    assert parsed.types == ("bridge", "tuning", "portmap", "firewall")
    assert parsed.document == {**CHAIN, "plugins": list(parsed.plugins)}
    assert (parsed.name, parsed.version, parsed.written) == ("lan", "1.0.0", CHAIN)


def test_without_further_plugins_a_list_is_what_was_written() -> None:
    assert network.parse_list(CHAIN) == network.parse(CHAIN)


@pytest.mark.parametrize("own", [{}, {"plugins": None}, {"plugins": []}])
def test_all_plugins_of_a_list_may_be_further_ones(own: dict[str, Any]) -> None:
    written = {"name": "lan", **own}
    parsed = network.parse_list(written, [{"type": "portmap"}])
    assert parsed.types == ("portmap",)
    assert (parsed.written, parsed.chained) == (written, True)


def test_a_type_in_a_list_means_nothing() -> None:
    assert network.parse_list({**CHAIN, "type": "macvlan"}) == network.parse(CHAIN)
    with pytest.raises(CniError, match="neither 'type' nor 'plugins' is set"):
        network.parse_list({"type": "macvlan"})


def test_further_plugins_are_checked_as_its_own_are() -> None:
    assert refusal(CHAIN, {"no": "type"}).message().startswith("plugins[2]: a plugin has no 'type'")
    assert refusal({"plugins": 1}, {"type": "a"}).cause == "plugins is a number, not a list"


# -- changes


def changing(plugin: dict[str, Any]) -> dict[str, Any]:
    return {**plugin, "deviceID": "0000:01:00.0"}


def test_a_change_reaches_every_plugin_and_what_is_recorded() -> None:
    changed = network.parse(CHAIN).changed(changing)
    assert [plugin["deviceID"] for plugin in changed.plugins] == ["0000:01:00.0"] * 2
    assert changed == network.parse({**CHAIN, "plugins": list(changed.plugins)})


def test_a_change_of_a_single_configuration_keeps_it_single() -> None:
    assert network.parse(SINGLE).changed(changing) == network.parse(changing(SINGLE))


def test_what_was_parsed_is_not_changed_itself() -> None:
    before = document.encode(CHAIN)
    network.parse(CHAIN).changed(changing)
    assert document.encode(CHAIN) == before


# -- standard input


def test_a_plugin_reads_its_configuration_with_the_network_s_name_and_version() -> None:
    plugin = {"type": "bridge", "name": "own", "cniVersion": "0.1.0", "big": 12345678901234567}
    assert stdin({**CHAIN, "plugins": [plugin]}) == {**plugin, "name": "lan", "cniVersion": "1.0.0"}


def test_a_plugin_reads_numbers_and_order_as_they_were_written() -> None:
    config = document.decode_object(b'{"z":1.0,"type":"a","a":12345678901234567890}', "it")
    parsed = network.parse(config)
    assert parsed.stdin(config, capability_args={}) == (
        b'{"z":1.0,"type":"a","a":12345678901234567890,"name":"","cniVersion":""}'
    )


def test_a_plugin_gets_what_it_declares_a_capability_for() -> None:
    declared = {"ips": True, "mac": False, "portMappings": True, "deviceID": "true", "aliases": 1}
    offer = {key: ["x"] for key in ("ips", "mac", "deviceID", "aliases", "bandwidth")}
    read = stdin({**SINGLE, "capabilities": declared}, capability_args=offer)
    assert read["runtimeConfig"] == {"ips": ["x"]}
    assert read["capabilities"] == declared


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_an_empty_value_is_no_offer(empty: Any) -> None:
    config = {**SINGLE, "capabilities": {"ips": True}}
    assert "runtimeConfig" not in stdin(config, capability_args={"ips": empty})


@pytest.mark.parametrize("declared", [{}, {"capabilities": None}, {"capabilities": {}}])
def test_a_plugin_without_capabilities_gets_nothing(declared: dict[str, Any]) -> None:
    assert "runtimeConfig" not in stdin({**SINGLE, **declared}, capability_args={"ips": ["x"]})


def test_runtime_configuration_of_the_author_gives_way_only_to_something() -> None:
    config = {**SINGLE, "capabilities": {"ips": True}, "runtimeConfig": {"mac": "m"}}
    assert stdin(config)["runtimeConfig"] == {"mac": "m"}
    assert stdin(config, capability_args={"ips": ["x"]})["runtimeConfig"] == {"ips": ["x"]}


def test_a_previous_result_is_passed_even_if_it_is_empty() -> None:
    assert stdin(SINGLE, previous={})["prevResult"] == {}
    assert stdin(SINGLE, previous={"ips": []})["prevResult"] == {"ips": []}
    assert "prevResult" not in stdin(SINGLE)


@pytest.mark.parametrize("valid", [[], [{"containerID": "a", "ifname": "eth0"}]])
def test_valid_attachments_stand_under_both_keys(valid: list[dict[str, str]]) -> None:
    read = stdin(SINGLE, valid_attachments=valid)
    assert read["cni.dev/valid-attachments"] == read["cni.dev/attachments"] == valid
    assert not stdin(SINGLE).keys() & set(network.VALID_ATTACHMENTS)


@settings(deadline=None, max_examples=100)
@given(PLUGINS, st.dictionaries(WORDS, VALUES))
def test_a_plugin_reads_its_own_keys_and_only_declared_capabilities(
    plugin: dict[str, Any], offer: dict[str, Any]
) -> None:
    read = stdin({**CHAIN, "plugins": [plugin]}, capability_args=offer)
    runtime = read.pop("runtimeConfig", None)
    assert read == {**plugin, "name": "lan", "cniVersion": "1.0.0"}
    declared = {key for key, on in (plugin["capabilities"] or {}).items() if on is True}
    assert runtime == ({key: offer[key] for key in declared if offer.get(key)} or None)
