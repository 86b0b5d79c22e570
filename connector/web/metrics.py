"""``/metrics``: a registry per app, filled from the status document and the ledger at each scrape. No personal data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from connector.web.context import WebContext
from connector.web.reading import cells, deliveries, on, records
from connector.web.wording import parse_time

STATES = ("ok", "running", "waiting", "action_needed", "silent", "paused", "never_run")


class Ledger(Collector):
    """Reads on scrape; nothing is counted twice by two processes."""

    def __init__(self, context: WebContext) -> None:
        self.context = context

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        status = self.context.status()
        yield from self._connections(status.get("connections", ()))
        by_state = GaugeMetricFamily("relais_deliveries", "Deliveries by target and state.", labels=["target", "state"])
        for row in on(self.context, deliveries.totals):
            by_state.add_metric([row["target"], row["state"]], row["n"])
        yield by_state
        values = GaugeMetricFamily("relais_values", "DHIS2 values by state.", labels=["state"])
        for state, n in on(self.context, cells.state_counts).items():
            values.add_metric([state], n)
        yield values
        yield GaugeMetricFamily(
            "relais_quarantined_records", "Records that could not be mapped.", value=status.get("quarantined", 0)
        )
        yield GaugeMetricFamily(
            "relais_records", "Records known, by their head.", value=on(self.context, records.received)
        )
        audit = status.get("audit", {})
        yield GaugeMetricFamily(
            "relais_audit_ok", "1 when the audit chain verifies.", value=float(bool(audit.get("ok")))
        )
        yield CounterMetricFamily("relais_audit_entries", "Entries of the audit trail.", value=audit.get("entries", 0))
        info = GaugeMetricFamily("relais_build_info", "The running version.", labels=["version"])
        info.add_metric([self.context.version], 1)
        yield info
        for name, (text, samples) in self.context.gauges().items():
            labels = sorted({k for labels, _ in samples for k in labels})
            family = GaugeMetricFamily(name, text, labels=labels)
            for found, value in samples:
                family.add_metric([str(found.get(k, "")) for k in labels], value)
            yield family

    def _connections(self, listed: Any) -> Iterator[Any]:
        state = GaugeMetricFamily(
            "relais_connection_state", "1 for the state a connection is in.", labels=["connection", "state"]
        )
        last = GaugeMetricFamily(
            "relais_connection_last_success_seconds", "Unix time of the last success.", labels=["connection"]
        )
        waiting = GaugeMetricFamily("relais_connection_waiting", "Deliveries waiting.", labels=["connection"])
        oldest = GaugeMetricFamily(
            "relais_connection_oldest_waiting_seconds", "Age of the oldest one.", labels=["connection"]
        )
        for one in listed:
            for name in STATES:
                state.add_metric([one["name"], name], float(one.get("state") == name))
            if at := parse_time(one.get("last_success")):
                last.add_metric([one["name"]], at.timestamp())
            if one.get("kind") == "target":
                waiting.add_metric([one["name"]], one.get("waiting") or 0)
                oldest.add_metric([one["name"]], one.get("oldest_waiting_seconds") or 0)
        yield from (state, last, waiting, oldest)


def make_registry(context: WebContext) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Ledger(context))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)
