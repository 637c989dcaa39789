"""Errors: the message a person reads, the code a runtime acts on, and what passes them on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multus_py.cni.errors import (
    MESSAGE_LIMIT,
    SPECIFIED,
    CniError,
    Code,
    NotFoundError,
    clip,
    joined,
    located,
)

TEXTS = st.text(max_size=400)
ERRORS = st.builds(
    CniError, st.sampled_from(Code), TEXTS, TEXTS, where=st.lists(TEXTS, max_size=8).map(tuple)
)
SEVERAL = st.lists(ERRORS, min_size=1, max_size=5) | st.builds(
    lambda error, count: [error] * count, ERRORS, st.integers(min_value=1, max_value=400)
)


def test_a_message_has_places_cause_and_next_step() -> None:
    error = CniError(7, "no type", "add one", where=("pod default/web", "network default/lan"))
    assert error.message() == "pod default/web, network default/lan: no type. Next: add one"


def test_a_message_of_a_cause_alone_is_the_cause() -> None:
    assert CniError(7, "no type").message() == "no type"


def test_the_text_of_an_error_is_its_message() -> None:
    error = CniError(7, "no type", "add one", where=("network lan",))
    assert str(error) == error.message() == "network lan: no type. Next: add one"


def test_a_full_stop_before_the_next_step_is_not_doubled() -> None:
    assert CniError(7, "it broke. ..", "mend it").message() == "it broke. Next: mend it"


def test_a_message_is_one_line_whoever_wrote_its_parts() -> None:
    error = CniError(7, "a\n\tb\r\n", "c\nd", where=("network e\nf",))
    assert error.message() == "network e f: a b. Next: c d"


def test_the_cause_gives_way_to_places_and_next_step() -> None:
    message = CniError(7, "x" * 1000, "add one", where=("network lan",)).message()
    assert len(message) == MESSAGE_LIMIT == 300
    assert message.startswith("network lan: xxx")
    assert "x…x" in message
    assert message.endswith("xxx. Next: add one")


def test_long_places_leave_a_quarter_of_the_message_for_the_cause() -> None:
    error = CniError(7, "c" * 300, "h" * 300, where=("p" * 300, "q" * 300, "r" * 300))
    assert len(error.message()) == MESSAGE_LIMIT
    assert error.message().count("c") == MESSAGE_LIMIT // 4 - 1  # and the sign for the rest
    assert error.message().startswith("ppp")
    assert "rrr: ccc" in error.message()
    assert error.message().endswith("hhh")


def test_a_place_and_a_next_step_have_limits_of_their_own() -> None:
    message = CniError(7, "no type", "h" * 300, where=("p" * 300, "q")).message()
    assert (message.count("p"), message.count("h")) == (71 + 1, 95)  # one p is in the cause


def test_places_give_no_more_way_than_a_short_cause_needs() -> None:
    error = CniError(7, "no type", "add one", where=("p" * 60, "q" * 60, "r" * 60, "s" * 60))
    assert error.message() == (
        f"{'p' * 60}, {'q' * 60}, {'r' * 60}, {'s' * 60}: no type. Next: add one"
    )


def test_a_short_message_has_room_for_the_next_step_and_more_for_the_cause() -> None:
    message = CniError(7, "c" * 300, "h" * 300).message(120)
    assert (message.count("c"), message.count("h")) == (71, 39)


def test_an_error_document_is_what_the_specification_asks_for() -> None:
    document = CniError(Code.TRY_AGAIN_LATER, "busy", where=("network lan",)).document("1.0.0")
    assert document == {"cniVersion": "1.0.0", "code": 11, "msg": "network lan: busy"}
    assert type(document["code"]) is int


def test_the_numbers_of_codes_do_not_change() -> None:
    specified = [1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51]
    ours = [100, 101, 102, 103, 104, 105, 110, 111, 112, 113, 114, 115, 120, 121, 122, 999]
    assert [int(code) for code in Code] == specified + ours
    assert [int(code) for code in Code if code in SPECIFIED] == specified


# -- places


def test_places_are_added_from_the_inside_out() -> None:
    with pytest.raises(CniError) as caught, located("pod web"), located("network lan", "plugin x"):
        raise CniError(7, "no type")
    assert caught.value.where == ("pod web", "network lan", "plugin x")


def test_a_located_error_keeps_class_code_and_cause() -> None:
    reason = ValueError("deep down")
    with pytest.raises(NotFoundError) as caught, located("network lan"):
        raise NotFoundError(Code.NETWORK_NOT_FOUND, "gone", "make it") from reason
    assert (caught.value.code, caught.value.cause, caught.value.hint) == (110, "gone", "make it")
    assert caught.value.__cause__ is reason


def test_other_exceptions_are_not_located() -> None:
    with pytest.raises(ValueError, match=r"^no$"), located("network lan"):
        raise ValueError("no")


def test_a_place_is_added_to_a_copy() -> None:
    error = CniError(7, "no type", where=("network lan",))
    assert error.at("pod web").where == ("pod web", "network lan")
    assert error.where == ("network lan",)


# -- several errors


def test_one_error_joined_is_itself() -> None:
    error = CniError(7, "no type")
    assert joined([error]) is error


def test_joined_errors_are_all_in_the_message_with_the_first_next_step() -> None:
    errors = [CniError(7, "no type", "add one"), CniError(7, "no name", "b", where=("network x",))]
    error = joined(errors)
    assert error.message() == "2 failures: no type / network x: no name. Next: add one"
    assert error.code == 7


def test_joined_errors_of_different_codes_are_a_failure_of_delegates() -> None:
    assert joined([CniError(7, "a"), CniError(11, "b")]).code == Code.DELEGATE_FAILED


def test_each_joined_error_has_a_fair_share() -> None:
    message = joined([CniError(7, "a" * 300), CniError(7, "b" * 300)]).message()
    assert message.count("a") - 1 == message.count("b") == 109  # "failures" has the other a


def test_of_many_errors_the_first_are_told_and_the_others_counted() -> None:
    errors = [CniError(7, f"fault{number}") for number in range(12)]
    assert joined(errors).message() == (
        "12 failures: fault0 / fault1 / fault2 / fault3 / fault4 / and 7 more"
    )


def test_what_is_left_behind_is_told_after_the_cause() -> None:
    left = CniError(5, "disk full", "make room", where=("network lan",))
    error = NotFoundError(7, "no type", "add one", where=("pod web",)).leaving([left])
    assert error.message() == (
        "pod web: no type (not undone: network lan: disk full). Next: add one"
    )
    assert isinstance(error, NotFoundError)
    assert error.code == 7


def test_what_is_left_behind_is_told_in_short() -> None:
    error = CniError(7, "no type").leaving([CniError(5, "d" * 300), CniError(5, "e" * 300)])
    assert len(error.cause) == len("no type (not undone: )") + 160


def test_an_error_that_leaves_nothing_is_itself() -> None:
    error = CniError(7, "no type")
    assert error.leaving([]) is error


# -- lengths


@settings(deadline=None, max_examples=100)
@given(ERRORS)
def test_a_message_never_exceeds_the_limit_nor_its_line(error: CniError) -> None:
    assert len(error.message()) <= MESSAGE_LIMIT
    assert len(error.message().splitlines()) <= 1


@settings(deadline=None, max_examples=100)
@given(ERRORS)
def test_every_message_has_the_beginning_of_the_cause(error: CniError) -> None:
    assert " ".join(error.cause.split()).rstrip(". ")[:49] in error.message()


@settings(deadline=None, max_examples=100)
@given(ERRORS, SEVERAL)
def test_a_message_about_many_failures_never_exceeds_the_limit(
    error: CniError, others: list[CniError]
) -> None:
    assert len(joined(others).message()) <= MESSAGE_LIMIT
    assert len(error.leaving(others).message()) <= MESSAGE_LIMIT


@settings(deadline=None, max_examples=100)
@given(ERRORS, st.integers(min_value=0, max_value=400))
def test_a_message_keeps_to_the_limit_it_is_given(error: CniError, limit: int) -> None:
    assert len(error.message(limit)) <= limit


@settings(deadline=None, max_examples=100)
@given(st.text(), st.integers(min_value=-2, max_value=40))
def test_a_clipped_text_is_whole_or_has_exactly_the_limit(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    if len(text) <= limit:
        assert clipped == text
    else:
        assert len(clipped) == max(limit, 0)
        assert "…" in clipped or limit < 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(10, "0123456789"), (9, "01234…789"), (4, "01…9"), (1, "…"), (0, "")],
)
def test_a_text_is_clipped_in_the_middle(limit: int, expected: str) -> None:
    assert clip("0123456789", limit) == expected
