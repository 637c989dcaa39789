"""JSON as it comes from strangers: decoded strictly, so that nothing behind it need be careful.

Numbers keep their value (integers up to Python's limit of 4300 digits, floats as doubles), the
order of keys is kept, and what cannot be carried through unchanged is refused: bytes that are not
UTF-8, half surrogate pairs, ``NaN``, numbers beyond a double, nesting that would exhaust the stack.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeAlias

from multus_py.cni.errors import CniError, Code

JsonObject: TypeAlias = dict[str, Any]

MAX_BYTES = 16 * 1024 * 1024
"""A GC request for tens of thousands of attachments stays below it; so do etcd's objects."""

MAX_DEPTH = 100
"""Levels of nesting. Configurations have less than ten; recursion in Python ends at a thousand."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def decode(raw: bytes | str, what: str) -> Any:
    """Return the value that ``raw`` holds; errors name ``what`` it was."""
    if len(raw) > MAX_BYTES:
        raise _refused(what, f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
        )
    except UnicodeDecodeError as error:
        raise _refused(what, f"is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise _too_deep(what) from error
    except ValueError as error:
        raise _refused(what, f"is not JSON ({error})") from error
    if _may_be_unfit(text):
        _check(value, what)
    return value


def decode_object(raw: bytes | str, what: str) -> JsonObject:
    """Return the JSON object that ``raw`` holds."""
    value = decode(raw, what)
    if not isinstance(value, dict):
        raise _refused(what, f"is {kind(value)}, not a JSON object")
    return value


def encode(value: object) -> bytes:
    """Return ``value`` as compact JSON, keys in the order they have."""
    return _ENCODER.encode(value).encode()


def kind(value: object) -> str:
    """Return what a person calls this JSON value."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")


def _may_be_unfit(text: str) -> bool:
    """Tell whether a look at all that a text holds is needed: it costs more than decoding it.

    Nothing is nested deeper than there are brackets, and half a pair stands there or is an escape.
    """
    brackets = text.count("[") + text.count("{")
    return brackets > MAX_DEPTH or "\\u" in text or not _is_unicode(text)


def _check(value: object, what: str) -> None:
    """Refuse deep nesting and texts that are no Unicode, without recursion of its own."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and not _is_unicode(item):
                raise _refused(what, "holds half of a surrogate pair")
        if not inner:
            return
        level = inner
    raise _too_deep(what)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"number {text[:40]} is out of range")
    return number


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:  # Python's own limit; its message is for programmers
        raise ValueError(f"number {text[:40]}… has {len(text)} digits") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _too_deep(what: str) -> CniError:
    return _refused(what, f"is nested more than {MAX_DEPTH} levels deep")


def _refused(what: str, why: str) -> CniError:
    return CniError(Code.DECODING_FAILURE, f"{what} {why}", "correct it and try again")
