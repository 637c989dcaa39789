"""Versions of the specification: their order, and which commands they know."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import version
from multus_py.cni.errors import CniError, Code

NUMBERS = st.integers(min_value=0, max_value=999_999_999)
VERSIONS = st.tuples(NUMBERS, NUMBERS, NUMBERS)
BAD = ["", "1", "1.0", "1.0.0.0", "1.0.x", "v1.0.0", " 1.0.0", "1.0.0\n", "-1.0.0", "1.٣.0", "1..0"]


def refusal(cni_version: str, command: str) -> CniError:
    with pytest.raises(CniError) as caught:
        version.negotiated(cni_version, command)
    return caught.value


def test_version_is_answered_with_all_versions() -> None:
    assert version.answer() == {
        "cniVersion": "1.1.0",
        "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }


def test_version_of_a_plugin_that_speaks_fewer_is_answered_with_these() -> None:
    assert version.answer(("0.4.0", "1.0.0"))["supportedVersions"] == ["0.4.0", "1.0.0"]


def test_versions_are_listed_in_order() -> None:
    assert sorted(version.SUPPORTED, key=version.parts) == list(version.SUPPORTED)


def test_versions_compare_as_numbers() -> None:
    assert version.parts("0.10.0") > version.parts("0.9.99")


@settings(deadline=None, max_examples=100)
@given(VERSIONS, VERSIONS)
def test_versions_have_the_order_of_their_parts(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    first, second = (".".join(map(str, numbers)) for numbers in (one, other))
    assert version.parts(first) == one
    assert version.at_least(first, second) == (one >= other)


@pytest.mark.parametrize("text", [*BAD, "1.0." + "9" * 5000], ids=ascii)
def test_nonsense_is_no_version_and_older_than_any(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form x\.y\.z"):
        version.parts(text)
    assert not version.at_least("1.1.0", text)
    assert version.at_least(text, "0.1.0") == (text == "")


@pytest.mark.parametrize("cni_version", ["", *version.SUPPORTED])
@pytest.mark.parametrize(
    ("command", "since"),
    [
        ("ADD", "0.1.0"),
        ("DEL", "0.1.0"),
        ("CHECK", "0.4.0"),
        ("GC", "1.1.0"),
        ("STATUS", "1.1.0"),
    ],
)
def test_a_command_is_known_since_its_version(cni_version: str, command: str, since: str) -> None:
    known = (cni_version or "0.1.0") in version.SUPPORTED[version.SUPPORTED.index(since) :]
    assert version.has_command(cni_version, command) == known
    if known:
        assert version.negotiated(cni_version, command) == (cni_version or "0.1.0")
        return
    error = refusal(cni_version, command)
    assert error.code == Code.INCOMPATIBLE_VERSION
    assert error.cause == (
        f"config version {cni_version or '0.1.0'} does not allow {command} (since {since})"
    )


@pytest.mark.parametrize(
    ("cni_version", "passes"),
    [("", False), ("0.3.1", False), ("0.4.0", True), ("1.1.0", True), ("x", False)],
)
def test_previous_results_are_passed_since_0_4_0(cni_version: str, *, passes: bool) -> None:
    assert version.passes_previous_result(cni_version) == passes


@pytest.mark.parametrize("cni_version", ["0.5.0", "1.1.1", "2.0.0", "0.0.9", "latest", "1.0"])
def test_a_version_we_do_not_know_is_refused_by_name(cni_version: str) -> None:
    error = refusal(cni_version, "ADD")
    assert error.code == Code.INCOMPATIBLE_VERSION
    assert error.cause == f"cniVersion {cni_version!r} is not supported"
    assert error.hint.endswith("0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")


def test_the_command_is_looked_at_before_the_version() -> None:
    assert "does not allow CHECK" in refusal("0.3.9", "CHECK").cause
    assert "'9.9.9' is not supported" in refusal("9.9.9", "CHECK").cause
