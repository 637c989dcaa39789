"""The generated configuration: what Multus's users expect, and nothing a runtime chokes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import nodeconfig, primary
from multus_py.core.nodeconfig import NodeConfig, Wanted
from multus_py.models import config as configuration
from multus_py.models.config import OUR_TYPES
from multus_py.models.requests import POD_ANNOTATIONS
from tests.core.test_primary import BRIDGE, CALICO, file

LIST = {**CALICO, "cniVersion": "1.0.0"}
PLAIN = Wanted()


def generated(config: dict[str, Any], wanted: Wanted = PLAIN) -> NodeConfig:
    name = "10-a.conflist" if "plugins" in config else "10-a.conf"
    found = primary.read(file(name, config), own_types=OUR_TYPES)
    made = nodeconfig.generate(found, wanted)
    assert nodeconfig.is_generated(made.content)
    return made


def written(config: dict[str, Any], wanted: Wanted = PLAIN) -> Any:
    return json.loads(generated(config, wanted).content)


def plugin(config: dict[str, Any], wanted: Wanted = PLAIN) -> Any:
    """Return what the plugin gets to see of the file, as libcni passes it on."""
    whole = written(config, wanted)
    listed = whole.pop("plugins", None)
    return whole | (listed[0] if listed else {})


# -- the file


def test_a_single_plugin_of_an_old_version_makes_a_single_file() -> None:
    made = generated({**BRIDGE, "cniVersion": "0.4.0"})
    assert made.name == "00-multus.conf"
    assert made.content.decode() == (
        "{\n"
        '    "cniVersion": "0.4.0",\n'
        '    "name": "multus-cni-network",\n'
        '    "type": "multus-py",\n'
        '    "capabilities": {\n'
        '        "io.kubernetes.cri.pod-annotations": true\n'
        "    },\n"
        '    "delegates": [\n'
        "        {\n"
        '            "cniVersion": "0.4.0",\n'
        '            "name": "lan",\n'
        '            "type": "bridge"\n'
        "        }\n"
        "    ]\n"
        "}\n"
    )


def test_from_version_1_on_it_is_a_list_of_one() -> None:
    made = generated(LIST)
    whole = json.loads(made.content)
    assert made.name == "00-multus.conflist"
    assert list(whole) == ["cniVersion", "name", "plugins"]
    assert (whole["cniVersion"], whole["name"]) == ("1.0.0", "multus-cni-network")
    [only] = whole["plugins"]
    assert list(only) == ["type", "capabilities", "delegates"]
    assert only["delegates"] == [LIST]


def test_members_are_in_an_order_for_people() -> None:
    """As in behaviour E.5, with our ``confDir`` for ``cniConf``."""
    given = {"kubeconfig": "/k", "namespaceIsolation": True, "logLevel": "debug", "confDir": "/c"}
    whole = written({**CALICO, "cniVersion": "0.4.0"}, Wanted(settings=given))
    assert list(whole) == [
        "cniVersion",
        "name",
        "type",
        "capabilities",
        "namespaceIsolation",
        "logLevel",
        "confDir",
        "kubeconfig",
        "delegates",
    ]


@pytest.mark.parametrize("config", [BRIDGE, CALICO, LIST])
def test_what_is_generated_is_understood(config: dict[str, Any]) -> None:
    read = configuration.parse(plugin(config))
    [network] = read.inline_networks()
    assert network.document == config
    assert not read.first_generation


def test_the_same_makes_the_same() -> None:
    assert generated(CALICO) == generated(CALICO)


# -- versions


@pytest.mark.parametrize(
    ("of_primary", "wanted", "version", "name"),
    [
        ("0.3.1", "", "0.3.1", "00-multus.conf"),
        ("1.1.0", "", "1.1.0", "00-multus.conflist"),
        ("0.3.1", "1.0.0", "1.0.0", "00-multus.conflist"),
        ("1.1.0", "0.4.0", "0.4.0", "00-multus.conf"),
    ],
)
def test_the_version_is_the_wanted_one_or_the_primary_networks(
    of_primary: str, wanted: str, version: str, name: str
) -> None:
    config = {**CALICO, "cniVersion": of_primary}
    made = generated(config, Wanted(cni_version=wanted))
    assert (made.name, json.loads(made.content)["cniVersion"]) == (name, version)
    assert plugin(config, Wanted(cni_version=wanted))["delegates"] == [config]


def test_a_primary_network_without_a_version_has_the_oldest() -> None:
    """Specification 0.1.0 did not ask for the key."""
    assert written({"name": "lan", "type": "bridge"})["cniVersion"] == "0.1.0"


def test_a_forced_version_is_the_embedded_networks_too() -> None:
    several = {**LIST, "cniVersions": ["1.0.0", "1.1.0"]}
    wanted = Wanted(cni_version="0.4.0", force_cni_version=True)
    [delegate] = plugin(several, wanted)["delegates"]
    assert delegate == {**CALICO, "cniVersion": "0.4.0"}


def test_nothing_is_forced_without_a_version() -> None:
    assert plugin(LIST, Wanted(force_cni_version=True))["delegates"] == [LIST]


def test_the_runtime_may_choose_where_the_primary_network_lets_it() -> None:
    several = {**LIST, "cniVersion": "0.4.0", "cniVersions": ["0.4.0", "1.1.0", "1.7.0"]}
    made = generated(several)
    whole = json.loads(made.content)
    assert made.name == "00-multus.conflist"
    assert (whole["cniVersion"], whole["cniVersions"]) == ("0.4.0", ["0.4.0", "1.1.0"])
    assert "cniVersions" not in written(several, Wanted(cni_version="1.0.0"))


@pytest.mark.parametrize("version", ["9.9.9", "1.0", "x"])
def test_a_version_that_nobody_knows_is_refused(version: str) -> None:
    with pytest.raises(CniError) as caught:
        generated(BRIDGE, Wanted(cni_version=version))
    assert caught.value.code == Code.INCOMPATIBLE_VERSION


# -- members


def test_the_name_may_be_the_primary_networks() -> None:
    assert written(CALICO, Wanted(override_network_name=True))["name"] == "k8s-pod-network"


def test_the_type_is_what_we_are_installed_as() -> None:
    assert written(CALICO, Wanted(type="multus"))["type"] == "multus"


def test_capabilities_are_those_configured_and_those_of_all_plugins() -> None:
    plugins = [
        {"type": "a", "capabilities": {"bandwidth": True, "mac": False, "ips": "yes"}},
        {"type": "b", "capabilities": {"portMappings": True}},
        {"type": "c", "capabilities": None},
    ]
    wanted = Wanted(settings={"capabilities": {"dns": True, "mac": False, "infinibandGUID": "x"}})
    assert plugin({**LIST, "plugins": plugins}, wanted)["capabilities"] == {
        "dns": True,
        "mac": False,
        "bandwidth": True,
        "portMappings": True,
        POD_ANNOTATIONS: True,
    }


def test_a_capability_that_the_primary_network_no_longer_has_is_gone() -> None:
    assert plugin(CALICO)["capabilities"] == {"portMappings": True, POD_ANNOTATIONS: True}
    assert plugin(BRIDGE)["capabilities"] == {POD_ANNOTATIONS: True}


@pytest.mark.parametrize("capabilities", [None, [], "x", 1])
def test_capabilities_that_are_none_are_no_crash(capabilities: object) -> None:
    wanted = Wanted(settings={"capabilities": capabilities})
    assert plugin(BRIDGE, wanted)["capabilities"] == {POD_ANNOTATIONS: True}


def test_what_is_generated_cannot_be_set() -> None:
    given = {"name": "x", "Type": "x", "cniversion": "7", "DELEGATES": [], "cniVersions": ["7"]}
    assert written(CALICO, Wanted(settings=given)) == written(CALICO)


def test_keys_are_known_in_any_spelling() -> None:
    found = plugin(BRIDGE, Wanted(settings={"Capabilities": {"mac": True}, "KubeConfig": "/k"}))
    assert found["capabilities"] == {"mac": True, POD_ANNOTATIONS: True}
    assert found["kubeconfig"] == "/k"
    assert not {"Capabilities", "KubeConfig"} & found.keys()


def test_a_setting_that_no_pod_could_start_with_is_refused() -> None:
    with pytest.raises(CniError) as caught:
        generated(BRIDGE, Wanted(settings={"binDir": 7}))
    assert "binDir" in str(caught.value)


def test_a_stray_key_in_the_primary_network_does_not_make_it_multus_1() -> None:
    config = {**BRIDGE, "masterplugin": True}
    assert not configuration.parse(plugin(config)).first_generation
    asked = Wanted(settings={"legacyNetworks": True})
    assert configuration.parse(plugin(config, asked)).first_generation


def test_text_is_escaped() -> None:
    nasty = 'a"b\\c\n'
    assert plugin(BRIDGE, Wanted(settings={"kubeconfig": nasty}))["kubeconfig"] == nasty


# -- the name


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ([], "00-multus.conflist"),
        (["10-a.conflist", "00-multus.conflist.x.conf"], "00-multus.conflist"),
        (["00-a.conflist"], "0-multus.conflist"),
        (["00-multus.conf"], "0-multus.conflist"),
        (["0-a.conf"], "!multus.conflist"),
        ([".hidden.conf"], "!multus.conflist"),
        (["!a.conf", "00-a.conf"], "!!!!multus.conflist"),
        ([" .conf"], "!!!!multus.conflist"),
        (["\udcff.conf"], "00-multus.conflist"),
    ],
)
def test_the_name_sorts_before_all_others(others: list[str], name: str) -> None:
    assert nodeconfig.leading("00-multus.conflist", others) == name
    assert nodeconfig.leads(name, others) == (others != [" .conf"])
    assert nodeconfig.is_own_name(name)


@pytest.mark.parametrize("name", ["00-multus.json", "70-multus.conf", "00-multus.conflist.bak"])
def test_other_names_are_not_ours(name: str) -> None:
    assert not nodeconfig.is_own_name(name)


# -- whose a file is


@pytest.mark.parametrize(
    "config",
    [
        {"name": "n", "type": "multus", "clusterNetwork": "/x"},
        {"name": "n", "type": "multus-shim", "capabilities": {"portMappings": True}},
        {"name": "n", "plugins": [{"type": "multus", "delegates": []}]},
    ],
)
def test_what_multus_wrote_is_not_ours(config: dict[str, Any]) -> None:
    content = json.dumps(config).encode()
    assert not nodeconfig.is_generated(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"plugins": []}',
        b'{"plugins": [7]}',
        b'{"type": "calico", "capabilities": {"io.kubernetes.cri.pod-annotations": true}}',
        b'{"type": "multus-py", "capabilities": []}',
        b'{"type": ["multus"]}',
    ],
)
def test_what_others_wrote_is_not_ours(content: bytes) -> None:
    assert not nodeconfig.is_generated(content)


def test_what_is_generated_under_multuss_name_is_ours() -> None:
    generated(CALICO, Wanted(type="multus"))


def test_the_embedded_network_is_known_by_name() -> None:
    assert nodeconfig.network_name(generated(CALICO).content) == "k8s-pod-network"
    assert nodeconfig.network_name(b"{}") == ""
    assert nodeconfig.network_name(b'{"delegates": [{"name": 7}]}') == ""


# -- a file that somebody else wrote


def checked(config: object) -> NodeConfig:
    return nodeconfig.checked(NodeConfig("70-m.conf", json.dumps(config).encode()), OUR_TYPES)


def test_a_configuration_for_us_is_fine() -> None:
    for config in (
        {"name": "n", "type": "multus-py", "delegates": [BRIDGE]},
        {"name": "n", "type": "multus", "clusterNetwork": "/etc/cni/net.d/10-a.conflist"},
        {"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "multus", "delegates": [LIST]}]},
    ):
        assert json.loads(checked(config).content) == config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "not a JSON object"),
        (BRIDGE, "no configuration of this plugin"),
        ({"name": "n", "type": "multus"}, "neither clusterNetwork nor a delegate"),
        ({"type": "multus", "delegates": [BRIDGE]}, "name"),
        ({"name": "n", "type": "multus", "delegates": [{"name": "m"}]}, "type"),
        (
            {"name": "n", "type": "multus", "delegates": [{"name": "n", "type": "multus-shim"}]},
            "calls multus-py or Multus",
        ),
    ],
)
def test_one_that_no_pod_could_start_with_is_not(config: object, words: str) -> None:
    with pytest.raises(CniError) as caught:
        checked(config)
    assert words in str(caught.value)
    assert str(caught.value).startswith("70-m.conf")
