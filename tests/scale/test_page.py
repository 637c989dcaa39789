"""The page about large clusters says what the simulation says."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml

from tests.deploy.charts import KUBERNETES
from tests.scale import page, scenarios


def test_the_tables_of_the_page_are_those_of_the_simulation() -> None:
    text = page.PAGE.read_text()
    assert page.filled(text, page.tables()) == text, "make scale writes them"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The objects of the example for priority and fairness, by kind."""
    block = re.search("```yaml\n(.*?)```", page.PAGE.read_text(), re.DOTALL)
    assert block
    return {value["kind"]: value for value in yaml.safe_load_all(block[1])}


def test_the_example_is_what_kubernetes_takes(example: dict[str, Any]) -> None:
    for value in example.values():
        kubernetes_validate.validate(value, KUBERNETES, strict=True)


def test_the_example_is_what_is_simulated(example: dict[str, Any]) -> None:
    limited = example["PriorityLevelConfiguration"]["spec"]["limited"]
    queuing = limited["limitResponse"]["queuing"]
    assert limited["nominalConcurrencyShares"] == scenarios.OWN_SHARES
    assert queuing["queues"] == queuing["handSize"] == scenarios.OWN_QUEUES
    assert queuing["queueLengthLimit"] == scenarios.OWN_LENGTH
    level = example["FlowSchema"]["spec"]["priorityLevelConfiguration"]["name"]
    assert level == example["PriorityLevelConfiguration"]["metadata"]["name"]
