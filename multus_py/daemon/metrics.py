"""What the daemon counts and measures, under the names that Prometheus gets to see.

``docs/metrics.md`` says what each is good for. The registry is the daemon's own, so that tests may
have several.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """All metrics of one daemon."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        self.requests = Counter(
            "multus_py_requests",
            "Requests of container runtimes, by CNI verb and outcome (ok, error, lost).",
            ["verb", "outcome"],
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "multus_py_stage_seconds",
            "Where the time of requests goes: queue, resolve, delegates, publish.",
            ["verb", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.delegates = Counter(
            "multus_py_delegates",
            "Executions of plugins, by type, CNI verb and outcome (ok, error).",
            ["type", "verb", "outcome"],
            registry=registry,
        )
        self.delegate_seconds = Histogram(
            "multus_py_delegate_seconds",
            "Seconds that plugins took, by type and CNI verb.",
            ["type", "verb"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "multus_py_requests_in_flight", "Requests whose plugins may run.", registry=registry
        )
        self.waiting = Gauge(
            "multus_py_requests_waiting", "Requests that wait for their turn.", registry=registry
        )
        self.api_requests = Counter(
            "multus_py_api_requests",
            "Requests to the API server, by method, resource and HTTP status (0: no answer).",
            ["method", "resource", "status"],
            registry=registry,
        )
        self.cache_synced = Gauge(
            "multus_py_cache_synced",
            "Whether a watch cache has been filled once (1) or not (0).",
            ["resource"],
            registry=registry,
        )
        self.cache_age_seconds = Gauge(
            "multus_py_cache_age_seconds",
            "Seconds since the API server last said something on a watch.",
            ["resource"],
            registry=registry,
        )
        self.events_lost = Counter(
            "multus_py_events_lost",
            "Events that could not be told: the queue was full, or the API server refused them.",
            registry=registry,
        )
        self.statuses_deferred = Gauge(
            "multus_py_statuses_deferred",
            "Network-status annotations that wait to be written.",
            registry=registry,
        )
        self.pending_releases = Gauge(
            "multus_py_pending_releases",
            "Records of pods that are gone for the runtime and not yet released by all plugins.",
            registry=registry,
        )
        self.repairs = Counter(
            "multus_py_repairs",
            "Releases of what nobody uses any more, without a request, by outcome (ok, error).",
            ["outcome"],
            registry=registry,
        )
        self.pods_lacking_networks = Gauge(
            "multus_py_pods_lacking_networks",
            "Running pods of this node without networks that their annotation asks for.",
            registry=registry,
        )
        self.configuration = Gauge(
            "multus_py_configuration",
            "The state of the CNI configuration on this node: 1 for the present one, else 0.",
            ["state"],
            registry=registry,
        )
        self.configuration_writes = Counter(
            "multus_py_configuration_writes",
            "Times the CNI configuration was written, by reason (first, changed, restored).",
            ["reason"],
            registry=registry,
        )
        self.configuration_contested = Gauge(
            "multus_py_configuration_contested",
            "1 while another program puts a file in the place of the CNI configuration.",
            ["file"],
            registry=registry,
        )
        self.http_requests = Counter(
            "multus_server_request",
            "Requests on multus.sock, as Multus counts them.",
            ["handler", "code", "method"],
            registry=registry,
        )
