"""From a request to what is answered and logged about it."""

from __future__ import annotations

import logging

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core import answer
from tests.core.test_add import a_node


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "STATUS", "GC"])
def test_every_command_is_answered_and_only_add_says_something(command: str) -> None:
    node = a_node()
    node.pod()
    answer.to(node.session())

    said = answer.to(node.session(command))

    assert (said is not None) == (command == "ADD")


def test_an_error_names_the_pod() -> None:
    node = a_node()
    node.pod(networks="missing")
    with pytest.raises(CniError) as caught:
        answer.to(node.session())
    assert caught.value.where[0] == "pod default/web"


def test_what_is_no_request_for_a_session_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="VERSION"):
        answer.to(a_node().session("VERSION"))


def test_a_failure_of_ours_is_told_as_a_bug_and_its_stack_is_for_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, logger="multus_py"):
        error = answer.failure(LookupError("no such thing"))
    assert (error.code, error.cause) == (Code.INTERNAL, "LookupError: no such thing")
    [record] = caplog.records
    assert record.exc_info


def test_an_error_is_reported_as_it_is() -> None:
    error = CniError(Code.ANNOTATION, "wrong")
    assert answer.failure(error) is error


def test_the_answer_names_the_command_and_has_the_requests_version() -> None:
    asked = a_node().session("DEL", cniVersion="0.4.0").request
    error = CniError(Code.IO_FAILURE, "no", where=("pod default/web",))
    assert answer.described(error, asked) == {
        "cniVersion": "0.4.0",
        "code": 5,
        "msg": "DEL, pod default/web: no",
    }
    assert answer.described(error, None)["cniVersion"] == "1.1.0"


def test_a_request_leaves_one_line_with_its_milliseconds(caplog: pytest.LogCaptureFixture) -> None:
    asked = a_node().session().request
    with caplog.at_level(logging.INFO, logger="multus_py"):
        answer.log(asked, None, milliseconds=12, stages="queue=1")
        answer.log(None, CniError(Code.INVALID_ENVIRONMENT, "what?"), milliseconds=0)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("INFO", "ADD container=ctr ifname=eth0 netns=/run/netns/pod ms=12 queue=1: ok"),
        ("ERROR", "request ms=0: what?"),
    ]
