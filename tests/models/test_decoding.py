"""How JSON from strangers becomes a model."""

from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, ValidationError

from multus_py.cni.errors import CniError, Code
from multus_py.models.decoding import Decoded, decoded
from tests.models.foreign import VALUES, refused, tolerated


def small(text: str) -> str:
    if len(text) > 3:
        raise ValueError("it is too long")
    return text


class Room(Decoded):
    door_number: int = Field(default=7, alias="doorNumber")


class House(Decoded):
    street: str = "Main"
    number: int = 1
    garden: bool = False
    owners: list[str] = Field(default=[])
    code: Annotated[str, AfterValidator(small)] = ""
    rooms: list[Room] = Field(default=[])
    attic: Room | None = None


class Letter(Decoded):
    to: str


KEYS = ("street", "number", "garden", "owners", "code", "rooms", "attic", "doorNumber")


def house(value: object) -> House:
    return decoded(House, value, code=Code.ANNOTATION, hint="ask the owner")


def failure(value: object) -> CniError:
    return refused(house, value)


def test_what_is_not_written_has_its_default() -> None:
    assert house({}) == House()
    assert house({}).street == "Main"


@pytest.mark.parametrize("key", ["street", "number", "garden", "owners", "rooms", "attic"])
def test_a_null_leaves_the_default_in_place(key: str) -> None:
    assert house({key: None}) == House()


@pytest.mark.parametrize("key", ["doorNumber", "doornumber", "DOORNUMBER", "DoorNumber"])
def test_keys_match_in_any_letter_case(key: str) -> None:
    assert house({"Attic": {key: 3}}).attic == Room(doorNumber=3)


@pytest.mark.parametrize(
    "value", [{"street": "Mine", "STREET": "Yours"}, {"Street": "Yours", "street": "Mine"}]
)
def test_the_exact_spelling_wins_wherever_it_stands(value: dict[str, str]) -> None:
    assert house(value).street == "Mine"


def test_an_exactly_spelled_null_gives_way_to_another_spelling() -> None:
    assert house({"Street": "Yours", "street": None}).street == "Yours"


def test_of_two_other_spellings_the_last_wins() -> None:
    assert house({"Street": "First", "STREET": "Last"}).street == "Last"


def test_unknown_keys_are_kept_as_they_are() -> None:
    extra = {"Colour": "red", "windows": [1, None], "nothing": None}
    assert house(extra).model_extra == extra


def test_the_name_in_python_is_no_key() -> None:
    room = decoded(Room, {"door_number": 3}, code=Code.ANNOTATION, hint="")
    assert (room.door_number, room.model_extra) == (7, {"door_number": 3})


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(house({}), "street", "Elm")  # noqa: B010  # mypy knows it too


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ({"street": 5}, "street: should be a valid string (it is 5)"),
        ({"STREET": True}, "street: should be a valid string (it is True)"),
        ({"number": "80"}, "number: should be a valid integer (it is '80')"),
        ({"number": 1.5}, "number: should be a valid integer (it is 1.5)"),
        ({"number": 1.0}, "number: should be a valid integer (it is 1.0)"),
        ({"number": True}, "number: should be a valid integer (it is True)"),
        ({"garden": "true"}, "garden: should be a valid boolean (it is 'true')"),
        ({"garden": 1}, "garden: should be a valid boolean (it is 1)"),
        ({"owners": "Ann"}, "owners: should be a valid list (it is 'Ann')"),
        ({"owners": {}}, "owners: should be a valid list"),
        ({"owners": ["Ann", None]}, "owners.1: should be a valid string"),
        ({"attic": []}, "attic: should be an object"),
        ({"rooms": [{}, {"DoorNumber": "x"}]}, "rooms.1.doorNumber: should be a valid integer"),
        ({"code": "12345"}, "code: it is too long"),
        ("a text", "should be an object"),
        (None, "should be an object"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_path_to_it(value: object, cause: str) -> None:
    assert failure(value).cause.startswith(cause)


def test_a_missing_member_is_named() -> None:
    with pytest.raises(CniError) as caught:
        decoded(Letter, {"too": "Ann"}, code=Code.ANNOTATION, hint="")
    assert caught.value.cause == "to: Field required"


def test_an_error_shows_no_more_than_the_beginning_and_end_of_a_long_value() -> None:
    shown = failure({"number": "1" + "2" * 5000 + "3"}).cause.partition("it is ")[2]
    assert shown.startswith("'12222")
    assert shown.endswith("22223')")
    assert len(shown) == 61


def test_an_error_has_the_callers_code_and_next_step() -> None:
    error = failure({"number": "x"})
    assert (error.code, error.hint) == (Code.ANNOTATION, "ask the owner")
    assert isinstance(error.__cause__, ValidationError)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from([*KEYS, *(key.upper() for key in KEYS)]), VALUES) | VALUES)
def test_anything_else_decodes_or_is_refused(value: object) -> None:
    tolerated(house, value)
