"""The table [metrics] of gateway.toml: where Prometheus finds the figures of this gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.fields import Table


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """A local port (0: none), a text file ("": none), and how often they are made."""

    port: int
    host: str
    file: str
    every_ms: int


NO_METRICS = MetricsConfig(0, "127.0.0.1", "", 15_000)


def parse_metrics(t: Table) -> MetricsConfig:
    """Read the table."""
    metrics = MetricsConfig(
        port=t.integer("port", 0, low=0, high=65535),
        host=t.text("host", "127.0.0.1"),
        file=t.text("file", ""),
        every_ms=round(t.number("every_s", 15.0, low=0.5, high=3600.0) * 1000),
    )
    if metrics.file and not metrics.file.endswith(".prom"):
        t.wrong("file", "must end in .prom: the text file collector of Prometheus reads no other")
    t.done()
    return metrics
