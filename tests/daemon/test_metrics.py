"""What is measured is documented."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from multus_py.daemon.metrics import Metrics

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"


def exposed() -> str:
    raw: bytes = generate_latest(Metrics().registry)  # type: ignore[no-untyped-call]  # theirs
    return raw.decode()


def test_every_metric_is_in_the_documentation_and_nothing_else() -> None:
    families = text_string_to_metric_families(exposed())  # type: ignore[no-untyped-call]  # theirs
    ours = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families
        if family.name.startswith("multus")
    }
    table = DOCUMENT.read_text().partition("## Metrics")[2].partition("## Alerts")[0]
    assert set(re.findall(r"^\| `(multus\w+)`", table, re.MULTILINE)) == ours


def test_alerts_speak_of_metrics_that_exist() -> None:
    alerts = DOCUMENT.read_text().partition("## Alerts")[2]
    known = set(re.findall(r"^# TYPE (multus\w+)", exposed(), re.MULTILINE))
    used = set(re.findall(r"multus_\w+", alerts))
    assert {re.sub("_(total|bucket)$", "", name) for name in used} <= known
