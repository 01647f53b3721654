"""What a gateway tells of itself: links, stations, accounts, the way to the broker, memory."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.message import number, quality_values
from edge.trust import signature_text

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.outbox import Outbox
    from edge.pipeline import Pipeline
    from edge.relay import RelayHealth
    from edge.station import Station
    from firmware_bridge.reading import LinkHealth

LATENCIES = 1024


class Accounts:
    """Every reading that came in is published, rejected with a reason, or still here."""

    def __init__(self) -> None:
        self.readings_in = 0
        self.rejected: dict[str, int] = {}

    def reject(self, reason: str) -> None:
        """Count a reading that is given up."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


def account_values(accounts: Accounts, outbox: Outbox, published: int) -> dict[str, Any]:
    """Return what became of readings as JSON values."""
    rejected = dict(accounts.rejected)
    for reason, rows in outbox.lost.items():
        rejected[reason] = rejected.get(reason, 0) + rows
    return {"readings_in": accounts.readings_in, "published": published, "rejected": rejected}


class Latency:
    """Times from bytes read to decision made, us a reading; the last LATENCIES of them."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._place = 0

    def add(self, us: float) -> None:
        """Take one time."""
        if len(self._times) < LATENCIES:
            self._times.append(us)
        else:
            self._times[self._place] = us
            self._place = (self._place + 1) % LATENCIES

    def percentile(self, p: float) -> float:
        """Return a percentile, 0.0 when nothing was timed."""
        if not self._times:
            return 0.0
        ordered = sorted(self._times)
        return ordered[min(len(ordered) - 1, round(p / 100 * (len(ordered) - 1)))]


def rss_mb() -> float:
    """Return the resident memory of this process, MB (1e6 bytes)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def link_values(link: LinkHealth, state: str, latest_ms: int | None) -> dict[str, Any]:
    """Return one port as JSON values."""
    return {
        "state": state,
        "last_reading_ms": latest_ms,
        "frames_ok": link.frames_ok,
        "dropped": dict(link.dropped),
        "values_rejected": dict(link.values_rejected),
        "gaps": link.gaps,
        "duplicates": link.duplicates,
        "reboots": link.reboots,
        "battery_mv": link.battery_mv,
        "node": link.node_uid,
        "firmware": link.firmware,
        "clock_error_ms": link.uncertainty_ms if link.uncertainty_ms >= 0 else None,
        "clock_jumps": link.clock_jumps,
        "nodes": {name: dict(counters) for name, counters in link.nodes},
    }


def station_values(station: Station) -> dict[str, Any]:
    """Return one station as JSON values."""
    watch = station.watch
    return {
        "bundle": None if watch is None else watch.label,
        "unarmed": station.unarmed,
        "armed": [] if watch is None else list(watch.armed_kinds),
        "shadow": {} if watch is None else dict(watch.shadow),
        "level": station.alarm.level,
        "no_data": station.alarm.no_data,
        "silent": list(station.alarm.silent),
        "quality": quality_values(station.alarm.maintenance),
        "rejected_values": {f"{c} {why}": n for (c, why), n in station.rejected.items()},
        "channels": channel_values(station),
        "rules": rules_values(station),
        "movement": movement_values(station),
        "late_values": late_values(station),
        "saturated_features": 0 if watch is None else watch.features.saturated,
    }


def late_values(station: Station) -> int:
    """Return how many rows came after their grid step was closed, whoever decides."""
    grids = [each.grid for each in (station.watch, station.rules) if each is not None]
    return max((grid.late for grid in grids if grid is not None), default=0)


def channel_values(station: Station) -> dict[str, Any]:
    """Return what each channel is taken for, and what is taken out of it, as JSON values."""
    return {
        name: {key: v if isinstance(v, bool) else number(v) for key, v in learned.items()}
        for name, learned in station.quality.learned().items()
    }


def rules_values(station: Station) -> dict[str, Any] | None:
    """Return the rules of a station as JSON values; null where models alone decide."""
    if station.rules is None:
        return None
    engine = station.rules.decider.engine
    return {
        "profile": station.config.decision.profile,
        "standing": [each.rule.name for each in engine.rules if each.stands],
        "left_out": dict(engine.left_out),
    }


def movement_values(station: Station) -> dict[str, Any]:
    """Return what each moving channel is taken for as JSON values; null: not learned yet."""
    movement = None if station.rules is None else station.rules.decider.movement
    if movement is None:
        return {}
    return {
        name: {key: number(value) for key, value in learned.items()}
        for name, learned in movement.learned().items()
    }


def signature_values(bundle: Bundle | str) -> dict[str, Any]:
    """Return who signed the bundle of a station as JSON values; null where none is armed."""
    if isinstance(bundle, str):
        return {"signature": None, "signed_by": None, "counter": None}
    return {
        "signature": signature_text(bundle.signer),
        "signed_by": bundle.signer or None,
        "counter": bundle.manifest.counter,
    }


def health_values(
    gateway: str,
    now_ms: int,
    uptime_s: float,
    pipeline: Pipeline,
    outbox: Outbox,
    relay: RelayHealth,
    accounts: dict[str, Any],
    latency: Latency,
) -> dict[str, Any]:
    """Return the health message but for its ports as JSON values."""
    return {
        "format": 1,
        "gateway": gateway,
        "version": __version__,
        "time_ms": now_ms,
        "uptime_s": round(uptime_s, 1),
        "rss_mb": round(rss_mb(), 1),
        "latency_us": {p: round(latency.percentile(float(p)), 1) for p in ("50", "99")},
        "accounts": accounts,
        "outbox": {
            "messages": outbox.messages,
            "bytes": outbox.bytes,
            "unsaved_alarms": outbox.unsaved,
            "lost_alarms": outbox.lost_alarms,
            "dropped_messages": outbox.dropped_messages,
        },
        "broker": relay.values(),
        "stations": {name: station_values(s) for name, s in pipeline.stations.items()},
    }
