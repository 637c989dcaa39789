"""JSON of strangers: what comes through unchanged, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=12,
)


def refusal(raw: bytes | str) -> CniError:
    with pytest.raises(CniError) as caught:
        document.decode(raw, "the file")
    return caught.value


def decoded(raw: bytes | str) -> tuple[Any, int]:
    """Return the value and 0, or nothing and the code of the error."""
    try:
        return document.decode(raw, "it"), 0
    except CniError as error:
        return None, error.code


def nested(levels: int) -> bytes:
    return b"[" * levels + b"1" + b"]" * levels


@settings(deadline=None, max_examples=100)
@given(VALUES)
def test_every_json_value_comes_back_as_it_was(value: Any) -> None:
    back = document.decode(document.encode(value), "it")
    assert repr(back) == repr(value)  # types, signs of zeros and the order of keys included


@settings(deadline=None, max_examples=200)
@given(st.binary() | st.text())
def test_whatever_is_no_json_is_refused_with_one_code(raw: bytes | str) -> None:
    value, code = decoded(raw)
    assert code in {0, Code.DECODING_FAILURE}
    assert decoded(document.encode(value)) == (value, 0)


def test_an_integer_beyond_a_double_keeps_its_value() -> None:
    assert document.decode(b"12345678901234567", "it") == 12345678901234567
    assert document.encode(10**30) == b"1" + b"0" * 30


def test_a_float_stays_a_float() -> None:
    assert document.encode(document.decode(b"[1.0,-0.0,1e3]", "it")) == b"[1.0,-0.0,1000.0]"


def test_keys_keep_their_order_and_the_last_of_equal_ones_counts() -> None:
    value = document.decode(b'{"z": 1, "a": 2, "z": 3}', "it")
    assert list(value.items()) == [("z", 3), ("a", 2)]


def test_text_is_decoded_as_bytes_are() -> None:
    assert document.decode('{"a": "é\\ud83d\\ude00"}', "it") == {"a": "é😀"}
    assert document.decode('{"a": "é😀"}'.encode(), "it") == {"a": "é😀"}


def test_what_is_encoded_is_compact_and_ascii() -> None:
    assert document.encode({"b": [1, "é"], "a": None}) == b'{"b":[1,"\\u00e9"],"a":null}'


def test_what_is_no_number_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        document.encode(math.nan)


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", "the file is not JSON (Expecting value: line 1 column 1 (char 0))"),
        (b"{", "the file is not JSON (Expecting property name"),
        (b"{'a': 1}", "the file is not JSON (Expecting property name"),
        (b"1 2", "the file is not JSON (Extra data"),
        (b'"a\nb"', "the file is not JSON (Invalid control character"),
        (b'{"a": 1}\xff', "the file is not UTF-8 (byte 8)"),
        ('{"a": 1}'.encode("utf-16"), "the file is not UTF-8 (byte 0)"),
        (b"\xef\xbb\xbf{}", "the file is not JSON (Unexpected UTF-8 BOM"),
        (b"[NaN]", "the file is not JSON (NaN is no JSON value)"),
        (b"-Infinity", "the file is not JSON (-Infinity is no JSON value)"),
        (b"1e400", "the file is not JSON (number 1e400 is out of range)"),
        (b"-1" + b"0" * 50 + b".5e999", "the file is not JSON (number -10000"),
        (b"9" * 5000, f"the file is not JSON (number {'9' * 40}… has 5000 digits)"),
        (b'["\\ud83d"]', "the file holds half of a surrogate pair"),
        (b'{"a": [{"\\ude00": 1}]}', "the file holds half of a surrogate pair"),
        ('"\ud83d"', "the file holds half of a surrogate pair"),
        (nested(101), "the file is nested more than 100 levels deep"),
        (nested(100_000), "the file is nested more than 100 levels deep"),
        (b'{"a":' * 100_000, "the file is nested more than 100 levels deep"),
        (b" " * (16 * 1024 * 1024 + 1), "the file is larger than 16 MiB"),
    ],
    ids=[
        "empty",
        "cut off",
        "single quotes",
        "two values",
        "raw newline",
        "bad byte",
        "UTF-16",
        "byte order mark",
        "NaN",
        "infinity",
        "large float",
        "long float",
        "long integer",
        "half a pair in a list",
        "half a pair in a key",
        "half a pair in text",
        "deep",
        "too deep for the parser",
        "too deep and cut off",
        "too large",
    ],
)
def test_what_cannot_be_carried_through_is_refused(raw: bytes | str, cause: str) -> None:
    error = refusal(raw)
    assert error.code == Code.DECODING_FAILURE
    assert error.cause.startswith(cause)
    assert error.hint == "correct it and try again"


def test_nesting_up_to_the_limit_is_fine() -> None:
    assert document.encode(document.decode(nested(document.MAX_DEPTH), "it")) == nested(100)


def test_sixteen_mebibytes_are_fine() -> None:
    assert document.decode(b"{}".ljust(document.MAX_BYTES), "it") == {}


def test_an_object_is_returned() -> None:
    assert document.decode_object(b'{"a": {}}', "it") == {"a": {}}


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("null", "null"),
        ("false", "a boolean"),
        ("1", "a number"),
        ("1.5", "a number"),
        ('"{}"', "a text"),
        ("[{}]", "a list"),
    ],
)
def test_what_is_no_object_is_refused_by_name(raw: str, kind: str) -> None:
    with pytest.raises(CniError) as caught:
        document.decode_object(raw, "the file")
    assert caught.value.code == Code.DECODING_FAILURE
    assert caught.value.cause == f"the file is {kind}, not a JSON object"


def test_an_object_has_a_name_too() -> None:
    assert document.kind({}) == "an object"
