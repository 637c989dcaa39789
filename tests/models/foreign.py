"""What strangers write: JSON of any kind, documents with one fault, and keys in any letter case."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from multus_py.cni.errors import CniError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Strategy = st.SearchStrategy[Any]
Place = tuple[str | int, ...]

WORDS = st.text("abcdefghij", min_size=1, max_size=6)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | _FLOATS | st.text(max_size=6)
VALUES = (
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.text(max_size=6), SCALARS, max_size=2)
)
"""JSON values, two levels deep at the most."""


def encoded(values: Strategy) -> st.SearchStrategy[bytes]:
    """Return the texts of these values."""
    return values.map(lambda value: json.dumps(value).encode())


def spoiled(document: Any) -> Strategy:
    """Return documents like this one, with any value in place of one of its own."""
    return st.builds(partial(_replaced, document), st.sampled_from([*_places(document)]), VALUES)


def respelled(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return the same document with its outermost keys in other letter cases."""
    spellings = st.sampled_from([str.upper, str.lower, str.swapcase, str.title])
    keys = st.tuples(*(spellings.map(partial(_applied, key)) for key in document))
    return keys.map(lambda changed: dict(zip(changed, document.values(), strict=True)))


def refused(call: Callable[..., object], *arguments: Any) -> CniError:
    """Return the error that a call ends in."""
    with pytest.raises(CniError) as caught:
        call(*arguments)
    return caught.value


def tolerated(call: Callable[..., object], *arguments: Any) -> None:
    """Make a call that may succeed or end in a ``CniError``, and in nothing else."""
    with suppress(CniError):
        call(*arguments)


def _applied(text: str, change: Callable[[str], str]) -> str:
    return change(text)


def _places(value: Any, above: Place = ()) -> Iterator[Place]:
    yield above
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*above, key))


def _replaced(value: Any, place: Place, other: Any) -> Any:
    if not place:
        return other
    copy = value.copy()
    copy[place[0]] = _replaced(value[place[0]], place[1:], other)
    return copy
