"""Names and identifiers: which ones may become paths, arguments and links."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import names

GOOD = ["a", "0", "A-b_c.d", "0123456789abcdef" * 4, "x" * 200]
BAD = ["", "-a", ".a", "_a", "a b", "a/b", "a\n", "é", "a\0", "..", "\ud800", "٣", "x" * 201]


@pytest.mark.parametrize("text", GOOD)
def test_an_identifier_starts_with_a_letter_or_digit(text: str) -> None:
    assert names.is_container_id(text)
    assert names.is_network_name(text)


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_what_could_leave_its_directory_is_no_identifier(text: str) -> None:
    assert not names.is_container_id(text)
    assert not names.is_network_name(text)


def test_an_identifier_that_is_too_long_is_told_so() -> None:
    assert names.identifier_fault("x" * 201) == "it has 201 characters (at most 200)"
    assert "letters, digits" in names.identifier_fault("a b")
    assert names.identifier_fault("x" * 200) == ""


@pytest.mark.parametrize("text", ["bridge", "my plugin", "..hidden", "-v", "a.b", "é"])
def test_a_plugin_type_is_a_file_name(text: str) -> None:
    assert names.is_plugin_type(text)


@pytest.mark.parametrize("text", ["", ".", "..", "/bin/sh", "../bridge", "a/", "a\0b"], ids=ascii)
def test_a_plugin_type_stays_in_its_directory(text: str) -> None:
    assert not names.is_plugin_type(text)


@pytest.mark.parametrize("name", ["eth0", "net1", "a" * 15, "é" * 7, "Net.1-x_@", "...", "-"])
def test_an_interface_name_the_kernel_takes_has_no_fault(name: str) -> None:
    assert names.interface_name_fault(name) == ""


TOO_LONG = "is too long (at most 15 bytes)"
EMPTY = "is empty, . or .."
FORBIDDEN = "contains a slash, a colon, white space or a control character"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", f"'' {EMPTY}"),
        (".", f"'.' {EMPTY}"),
        ("..", f"'..' {EMPTY}"),
        ("a" * 16, f"'aaaaaaaaaaaaaaaa' {TOO_LONG}"),
        ("é" * 8, f"'éééééééé' {TOO_LONG}"),
        ("a/b", f"'a/b' {FORBIDDEN}"),
        ("eth0:1", f"'eth0:1' {FORBIDDEN}"),
        ("eth 0", f"'eth 0' {FORBIDDEN}"),
        ("eth0\n", rf"'eth0\n' {FORBIDDEN}"),
        ("eth\0", rf"'eth\x00' {FORBIDDEN}"),
        ("\N{NO-BREAK SPACE}", rf"'\xa0' {FORBIDDEN}"),
        ("eth\x01", rf"'eth\x01' {FORBIDDEN}"),
        ("\x1b[31m", rf"'\x1b[31m' {FORBIDDEN}"),
        ("\u202eeth", rf"'\u202eeth' {FORBIDDEN}"),
        ("\ud800", rf"'\ud800' {FORBIDDEN}"),
        ("\udcff" * 6, "'" + r"\udcff" * 6 + f"' {TOO_LONG}"),
    ],
    ids=ascii,
)
def test_the_fault_of_an_interface_name_is_told(name: str, fault: str) -> None:
    assert names.interface_name_fault(name) == f"interface name {fault}"


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=16))
def test_an_interface_name_without_fault_is_one_to_the_kernel(name: str) -> None:
    if not names.interface_name_fault(name):
        assert 0 < len(name.encode()) <= names.INTERFACE_NAME_LIMIT
        assert not name.split("/")[1:]
        assert name.split() == [name]
