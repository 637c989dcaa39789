"""The primary network: chosen by what files say, and never one that leads back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import CniError, Code, NotFoundError
from multus_py.core import primary
from multus_py.core.ports import ConfigFile
from multus_py.core.primary import LeadsBackError
from multus_py.models.config import OUR_TYPES

BRIDGE = {"cniVersion": "1.0.0", "name": "lan", "type": "bridge"}
CALICO = {
    "cniVersion": "0.3.1",
    "name": "k8s-pod-network",
    "plugins": [
        {"type": "calico", "ipam": {"type": "calico-ipam"}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
OURS = {"cniVersion": "1.0.0", "name": "multus-cni-network", "type": "multus-py"}
CLOSE = {
    "name": st.just("lan"),
    "type": st.sampled_from(["bridge", "multus", "multus-shim", "multus-py", "ptp"]),
}


def file(name: str, content: object) -> ConfigFile:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ConfigFile(f"/etc/cni/net.d/{name}", raw)


def chosen(*files: ConfigFile, named: str = "", own: frozenset[str] = OUR_TYPES) -> str:
    return primary.choose(files, own_types=own, named=named).name


def refused(*files: ConfigFile, named: str = "") -> CniError:
    with pytest.raises(CniError) as caught:
        chosen(*files, named=named)
    return caught.value


# -- which file


def test_the_first_by_name_is_chosen_whatever_its_extension() -> None:
    files = [file("30-c.conf", BRIDGE), file("20-b.json", BRIDGE), file("10-a.conflist", CALICO)]
    assert chosen(*files) == "10-a.conflist"
    assert chosen(*files[:2]) == "20-b.json"


def test_names_are_compared_by_their_bytes() -> None:
    """As runtimes compare them: capitals before small letters, ten before two."""
    assert chosen(file("b.conf", BRIDGE), file("B.conf", BRIDGE)) == "B.conf"
    assert chosen(file("2.conf", BRIDGE), file("10.conf", BRIDGE)) == "10.conf"


@pytest.mark.parametrize("name", ["10-a.conflist.bak", "10-a.yaml", "10-a.conf.d", "daemon-config"])
def test_other_files_are_none(name: str) -> None:
    assert chosen(file(name, BRIDGE), file("99-z.conf", BRIDGE)) == "99-z.conf"


@pytest.mark.parametrize("kind", sorted(OUR_TYPES))
def test_what_calls_us_or_multus_is_passed_over_under_any_name(kind: str) -> None:
    single, chain = {**OURS, "type": kind}, {"name": "n", "plugins": [{"type": kind}]}
    assert (
        chosen(
            file("00-innocent.conf", single), file("01-x.conflist", chain), file("9.conf", BRIDGE)
        )
        == "9.conf"
    )


def test_what_is_called_like_ours_but_is_not_may_be_the_primary_network() -> None:
    assert chosen(file("00-multus.conf", BRIDGE), file("10-a.conf", BRIDGE)) == "00-multus.conf"


def test_names_that_we_are_installed_as_are_ours_too() -> None:
    other = {**BRIDGE, "type": "net-attach"}
    files = (file("0.conf", other), file("1.conf", BRIDGE))
    assert chosen(*files) == "0.conf"
    assert chosen(*files, own=OUR_TYPES | {"net-attach"}) == "1.conf"


def test_a_named_file_is_the_only_one_that_counts() -> None:
    files = [file("10-a.conf", BRIDGE), file("20-b.conf", BRIDGE)]
    assert chosen(*files, named="20-b.conf") == "20-b.conf"
    error = refused(*files, named="30-c.conf")
    assert isinstance(error, NotFoundError)
    assert "the primary network's file 30-c.conf is not there" in str(error)
    assert "multusMasterCNI" in str(error)


@pytest.mark.parametrize("content", [BRIDGE, CALICO])
def test_a_named_file_may_have_any_extension(content: object) -> None:
    assert chosen(file("10-a.old", content), named="10-a.old") == "10-a.old"


def test_a_named_file_that_leads_back_is_refused() -> None:
    assert "calls multus-py or Multus" in str(
        refused(file("10-a.conf", OURS), file("9.conf", BRIDGE), named="10-a.conf")
    )


# -- recursion


@pytest.mark.parametrize(
    "config",
    [
        {"name": "n", "type": "flannel", "delegate": {"type": "multus"}},
        {"name": "n", "type": "x", "delegates": [{"name": "m", "plugins": [{"type": "multus"}]}]},
        {"name": "n", "plugins": [{"type": "a"}, {"type": "b", "inner": [[{"type": "multus"}]]}]},
        {"name": "n", "type": "a", "ipam": {"type": "multus-shim"}},
        {"name": "n", "type": "a", "TYPE": "multus"},
        {"name": "n", "type": "a", "delegate": {"Type": "multus-py"}},
    ],
)
def test_what_leads_back_at_any_depth_is_recognised(config: object) -> None:
    with pytest.raises(LeadsBackError) as caught:
        primary.read(file("1.conflist", config), own_types=OUR_TYPES)
    assert caught.value.code == Code.RECURSION


@pytest.mark.parametrize(
    "config",
    [
        {"name": "multus", "type": "bridge"},
        {"name": "n", "type": "bridge", "args": {"kind": "multus", "list": ["multus"]}},
        {"name": "n", "type": "bridge", "ipam": {"type": ["multus"]}},
    ],
)
def test_the_word_alone_is_no_type(config: object) -> None:
    assert chosen(file("1.conf", config)) == "1.conf"


# -- what a file says


def test_a_list_gets_the_plugins_of_the_directory_of_its_name() -> None:
    beside = {"k8s-pod-network": [file("b.conf", {"type": "b"}), file("a.conf", {"type": "a"})]}
    found = primary.choose(
        [file("10-a.conflist", CALICO)],
        own_types=OUR_TYPES,
        beside=lambda name: [*beside[name], file("c.conflist", {"type": "c"})],
    )
    assert [p["type"] for p in found.config["plugins"]] == ["calico", "portmap", "a", "b"]
    assert found.network.types == ("calico", "portmap", "a", "b")


def test_a_list_that_wants_no_further_plugins_gets_none() -> None:
    only = {**CALICO, "loadOnlyInlinedPlugins": True}
    found = primary.read(
        file("1.conflist", only),
        own_types=OUR_TYPES,
        beside=lambda name: [file("a.conf", {"type": "a"})],
    )
    assert found.config == only


def test_further_plugins_do_not_lead_back_either() -> None:
    with pytest.raises(LeadsBackError):
        primary.read(
            file("1.conflist", CALICO),
            own_types=OUR_TYPES,
            beside=lambda name: [file("a.conf", {"type": "multus"})],
        )


def test_a_list_of_further_plugins_alone_is_a_network() -> None:
    found = primary.read(
        file("1.conflist", {"name": "n"}),
        own_types=OUR_TYPES,
        beside=lambda name: [file("a.conf", {"type": "a"})],
    )
    assert found.network.types == ("a",)


def test_no_name_leads_to_another_directory() -> None:
    asked: list[str] = []

    def beside(name: str) -> list[ConfigFile]:
        asked.append(name)
        return []

    with pytest.raises(CniError):
        primary.read(
            file("1.conflist", {**CALICO, "name": "../x"}), own_types=OUR_TYPES, beside=beside
        )
    assert asked == []


def test_the_file_is_carried_through_as_it_is_written() -> None:
    config = {**BRIDGE, "mtu": 12345678901234567890, "rate": 0.1, "x": {"y": [None, "ü"]}}
    found = primary.read(file("1.conf", config), own_types=OUR_TYPES)
    assert json.dumps(found.config) == json.dumps(config)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("1.conf", b"", "is not JSON"),
        ("1.conf", b'{"name": "lan", "ty', "is not JSON"),
        ("1.conf", b"[]", "a list, not a JSON object"),
        ("1.conf", {}, "no 'type'"),
        ("1.conf", CALICO, "supposed to be a .conflist"),
        ("1.json", CALICO, "supposed to be a .conflist"),
        ("1.conflist", BRIDGE, "neither 'type' nor 'plugins'"),
        ("1.conflist", {"name": "n", "plugins": []}, "empty list"),
        ("1.conf", {"type": "bridge"}, "missing network name"),
        ("1.conf", {**BRIDGE, "name": "a b"}, "is invalid"),
        ("1.conf", {**BRIDGE, "type": "../bridge"}, "not the name of a file"),
        ("1.conf", {**BRIDGE, "cniVersion": "9.9.9"}, "9.9.9 is not supported"),
    ],
)
def test_a_file_that_nobody_can_use_is_passed_over_and_told(
    name: str, content: object, words: str
) -> None:
    assert chosen(file(name, content), file("99.conf", BRIDGE)) == "99.conf"
    error = refused(file(name, content))
    assert error.code == Code.NETWORK_NOT_FOUND
    assert f"{name} (" in str(error)
    assert words in str(error)


def test_of_an_empty_directory_it_is_said_what_lacks() -> None:
    assert str(refused()) == (
        "no configuration of a primary network is there."
        " Next: see why the primary network (Calico, Cilium, Flannel, ...) is not installed"
    )


def test_the_error_names_what_is_broken_before_what_is_ours() -> None:
    error = refused(file("00-multus.conf", OURS), file("10-a.conf", b"{"))
    assert "10-a.conf (" in str(error)
    assert "00-multus.conf" not in str(error)
    assert ", 1 more" in str(error)


# -- anything


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from([f"{n}{suffix}" for n in range(3) for suffix in primary.SUFFIXES]),
        st.recursive(
            st.fixed_dictionaries(CLOSE),
            lambda inner: st.fixed_dictionaries(
                {"name": st.just("lan")},
                optional={
                    "type": st.sampled_from(["bridge", "meta"]),
                    "plugins": st.lists(inner, max_size=3),
                    "delegate": inner,
                    "cniVersion": st.sampled_from(["", "0.4.0", "1.1.0", "7"]),
                },
            ),
            max_leaves=4,
        )
        | st.binary(max_size=5),
        max_size=5,
    )
)
def test_of_any_directory_the_choice_is_the_first_that_calls_neither_us_nor_multus(
    content: dict[str, Any],
) -> None:
    files = [file(name, value) for name, value in content.items()]
    try:
        found = primary.choose(files, own_types=OUR_TYPES)
    except CniError:
        found = None
    if found:
        assert not _mentions_us(found.config)
        found.network.validate()
    for name in sorted(content):
        if found and name == found.name:
            return
        with pytest.raises(CniError):
            primary.read(file(name, content[name]), own_types=OUR_TYPES)
    assert found is None


def _mentions_us(config: object) -> bool:
    text = json.dumps(config)
    return any(f'"type": "{kind}"' in text for kind in OUR_TYPES)
