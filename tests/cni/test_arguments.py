"""``CNI_ARGS``: pairs of the runtime, read strictly and passed on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import arguments
from multus_py.cni.arguments import Arguments, Pairs
from multus_py.cni.errors import CniError, Code

POD = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1"
VALUES = st.text(st.characters(exclude_characters=";="))
KEYS = VALUES.filter(lambda key: key != "IgnoreUnknown")
KNOWN_PAIRS = st.lists(st.tuples(st.sampled_from(arguments.KNOWN[1:]), VALUES), min_size=1)
ANY_PAIRS = st.lists(st.tuples(KEYS, VALUES)).map(lambda pairs: [("IgnoreUnknown", "1"), *pairs])
PAIRS = (KNOWN_PAIRS | ANY_PAIRS).map(tuple)


def refusal(text: str) -> CniError:
    with pytest.raises(CniError) as caught:
        arguments.parse(text)
    return caught.value


def test_what_kubernetes_runtimes_send_is_read() -> None:
    parsed = arguments.parse(f"IgnoreUnknown=1;{POD}")
    assert parsed.get(arguments.POD_NAMESPACE) == "default"
    assert parsed.get(arguments.POD_NAME) == "web"
    assert parsed.get(arguments.POD_SANDBOX) == "abc"
    assert parsed.get(arguments.POD_UID) == "u-1"


def test_no_text_is_no_arguments() -> None:
    assert arguments.parse("") == Arguments()
    assert arguments.parse("").get(arguments.POD_NAME) == ""


def test_known_keys_need_no_permission() -> None:
    assert arguments.parse(f"{POD};IP=10.0.0.1").get("IP") == "10.0.0.1"


@pytest.mark.parametrize("yes", ["1", "true", "True", "TRUE"])
def test_an_unknown_key_is_read_if_it_is_to_be_ignored(yes: str) -> None:
    text = f"COLOUR=blue;IgnoreUnknown={yes}"
    assert arguments.parse(text).pairs == (("COLOUR", "blue"), ("IgnoreUnknown", yes))


@pytest.mark.parametrize("no", ["", ";IgnoreUnknown=0", ";IgnoreUnknown=False", ";IgnoreUnknown="])
def test_an_unknown_key_is_refused_by_name(no: str) -> None:
    error = refusal(f"COLOUR=blue;K8S_POD_NAME=web;SIZE=3{no}")
    assert error.code == Code.INVALID_ENVIRONMENT
    assert error.cause == "CNI_ARGS: unknown keys COLOUR, SIZE and no IgnoreUnknown=true"


def test_keys_are_case_sensitive() -> None:
    assert "unknown keys k8s_pod_name" in refusal("k8s_pod_name=web").cause


def test_the_last_of_repeated_keys_counts() -> None:
    assert arguments.parse("IP=1;IP=2").get("IP") == "2"
    assert "unknown keys X" in refusal("IgnoreUnknown=1;X=1;IgnoreUnknown=0").cause


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("K8S_POD_NAME", "'K8S_POD_NAME'"),
        ("K8S_POD_NAME:web", "'K8S_POD_NAME:web'"),
        ("IgnoreUnknown=1;A=b=c", "'A=b=c'"),
        ("A==b", "'A==b'"),
        (f"{POD};", "''"),
        (f";{POD}", "''"),
        (f"{POD};;IP=1", "''"),
        (" ", "' '"),
    ],
)
def test_what_is_no_pair_is_refused_by_name(text: str, pair: str) -> None:
    error = refusal(text)
    assert error.code == Code.INVALID_ENVIRONMENT
    assert error.cause == f"CNI_ARGS: {pair} is not of the form KEY=VALUE with one equals sign"


@pytest.mark.parametrize("value", ["yes", "2", " true", "TRUE."])
def test_ignore_unknown_is_true_or_false(value: str) -> None:
    error = refusal(f"IgnoreUnknown={value}")
    assert error.code == Code.INVALID_ENVIRONMENT
    assert error.cause == f"CNI_ARGS: IgnoreUnknown is {value.lower()!r}, neither true nor false"


@settings(deadline=None, max_examples=100)
@given(PAIRS)
def test_pairs_survive_their_text(pairs: Pairs) -> None:
    assert arguments.parse(arguments.joined(pairs)).pairs == pairs


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("=;aA1 é\0")) | PAIRS.map(arguments.joined))
def test_a_text_is_refused_or_comes_back_as_it_was(text: str) -> None:
    text = f"IgnoreUnknown=1;{text}"
    if all(item.count("=") == 1 for item in text.split(";")):
        assert arguments.joined(arguments.parse(text).pairs) == text
    else:
        assert refusal(text).code == Code.INVALID_ENVIRONMENT


def test_delegates_are_told_each_key_once_and_none_without_a_value() -> None:
    parsed = arguments.parse("K8S_POD_NAME=web;X=1;IgnoreUnknown=1;K8S_POD_UID=;X=2;K8S_POD_NAME=")
    assert arguments.joined(parsed.for_delegates()) == "IgnoreUnknown=true;K8S_POD_NAME=web;X=2"


@pytest.mark.parametrize("text", ["", "IgnoreUnknown=0", "IgnoreUnknown=", "IgnoreUnknown=1"])
def test_delegates_need_not_know_all_keys(text: str) -> None:
    assert arguments.parse(text).for_delegates() == (("IgnoreUnknown", "true"),)


@settings(deadline=None, max_examples=100)
@given(PAIRS)
def test_delegates_can_read_what_they_are_told(pairs: Pairs) -> None:
    told = Arguments(pairs).for_delegates()
    assert arguments.parse(arguments.joined(told)).pairs == told
    assert dict(told) == {key: value for key, value in told if value}
    assert dict(told).keys() == {"IgnoreUnknown"} | {key for key, value in pairs if value}
