"""The figures of a health message in the text format of Prometheus (0.0.4). Pure.

Names by its conventions: base units, ``_total`` on what only grows, one meaning a name. What a
health message does not hold is left out, and what is not a number never becomes one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_SAMPLES = 5_000
MAX_LABEL = 128
_Labels = dict[str, str]
_Samples = list[tuple[_Labels, object]]


def metrics_text(health: Mapping[str, Any]) -> str:
    """Write the figures of a health message."""
    lines: list[str] = []
    left = MAX_SAMPLES
    for name, kind, words, samples in _families(health):
        told = {_labelled(name, labels): v for labels, v in samples if _is(v)}  # each once
        written = [f"{key} {_number(v)}" for key, v in told.items()][:left]
        if written:
            lines += [f"# HELP {name} {_escaped(words)}", f"# TYPE {name} {kind}", *written]
            left -= len(written)
    return "\n".join(lines) + "\n"


def _is(value: object) -> TypeGuard[float]:
    """Whether this is a number that can be told."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) else repr(value)


def _labelled(name: str, labels: _Labels) -> str:
    pairs = ",".join(f'{key}="{_escaped(v, quoted=True)}"' for key, v in labels.items())
    return f"{name}{{{pairs}}}" if pairs else name


def _escaped(text: str, *, quoted: bool = False) -> str:
    cut = text[:MAX_LABEL] if quoted else text
    cut = cut.encode("utf-8", "replace").decode()  # half a surrogate pair
    cut = cut.replace("\\", r"\\").replace("\n", r"\n")
    return cut.replace('"', r"\"") if quoted else cut


def _families(h: Mapping[str, Any]) -> Iterator[tuple[str, str, str, _Samples]]:
    about = {"gateway": str(h.get("gateway", "")), "version": str(h.get("version", ""))}
    yield "talus_build_info", "gauge", "Which gateway and version this is.", [(about, 1)]
    for path, name, kind, words, scale in _PLAIN:
        value = _at(h, path)
        scaled = value * scale if _is(value) and scale != 1 else value
        yield f"talus_{name}", kind, words, [({}, scaled)]
    rejected = _of(h, "accounts", "rejected")
    words = "Readings that were given up, by reason."
    yield "talus_readings_rejected_total", "counter", words, _by(rejected, "reason")
    yield from _each(h, "stations", "station", _STATIONS)
    yield from _each(h, "ports", "port", _PORTS)
    dropped: _Samples = []
    for port, values in _of(h, "ports").items():
        for reason, count in _of(values, "dropped").items():
            dropped.append(({"port": str(port), "reason": str(reason)}, count))
    words = "Frames and lines that gave no reading, by reason."
    yield "talus_port_dropped_total", "counter", words, dropped
    yield from _each(_of(h, "second_path"), "paths", "path", _PATHS)


def _at(values: Mapping[str, Any], path: str) -> Any:
    found: Any = values
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _of(values: object, *path: str) -> dict[str, Any]:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _by(values: Mapping[str, Any], label: str) -> _Samples:
    return [({label: str(key)}, value) for key, value in values.items()]


def _each(
    h: Mapping[str, Any], key: str, label: str, wanted: tuple[_Wanted, ...]
) -> Iterator[tuple[str, str, str, _Samples]]:
    for name, kind, words, value_of in wanted:
        samples: _Samples = [
            ({label: str(each)}, value_of(values))
            for each, values in _of(h, key).items()
            if isinstance(values, dict)
        ]
        yield f"talus_{label}_{name}" if key != "paths" else f"talus_{name}", kind, words, samples


def _get(key: str, scale: float = 1) -> Callable[[dict[str, Any]], object]:
    def value(values: dict[str, Any]) -> object:
        found = values.get(key)
        return found * scale if scale != 1 and _is(found) else found

    return value


def _count(key: str) -> Callable[[dict[str, Any]], object]:
    def value(values: dict[str, Any]) -> object:
        found = values.get(key)
        return len(found) if isinstance(found, list) else None

    return value


_Wanted = tuple[str, str, str, "Callable[[dict[str, Any]], object]"]
_C, _G = "counter", "gauge"
_PLAIN: tuple[tuple[str, str, str, str, float], ...] = (
    ("time_ms", "health_timestamp_seconds", _G, "When these figures were taken.", 0.001),
    ("uptime_s", "uptime_seconds", _G, "Since the program started.", 1),
    ("rss_mb", "resident_memory_bytes", _G, "Resident memory.", 1e6),
    ("latency_us.50", "decision_latency_p50_seconds", _G,
     "Bytes read to decision made, median of the last 1024 readings.", 1e-6),
    ("latency_us.99", "decision_latency_p99_seconds", _G,
     "Bytes read to decision made, 99th percentile of the last 1024 readings.", 1e-6),
    ("accounts.readings_in", "readings_total", _C, "Readings that came in.", 1),
    ("accounts.published", "readings_published_total", _C,
     "Readings that the broker has acknowledged.", 1),
    ("accounts.waiting", "readings_waiting", _G, "Readings that are not published yet.", 1),
    ("accounts.alarms", "alarm_changes_total", _C, "Changes of alarms.", 1),
    ("outbox.messages", "outbox_messages", _G, "Messages that wait for the broker.", 1),
    ("outbox.bytes", "outbox_bytes", _G, "Bytes that wait for the broker.", 1),
    ("outbox.unsaved_alarms", "outbox_unsaved_alarms", _G,
     "Alarms in memory alone: the disk takes nothing.", 1),
    ("outbox.lost_alarms", "outbox_lost_alarms_total", _C, "Alarms lost: must be 0.", 1),
    ("outbox.dropped_messages", "outbox_dropped_messages_total", _C, "Messages given up.", 1),
    ("disk.written_bytes", "disk_written_bytes_total", _C, "Bytes this program sent to disks.", 1),
    ("broker.connected", "broker_connected", _G, "1 while the broker is there.", 1),
    ("broker.connections", "broker_connections_total", _C, "Connections made.", 1),
    ("broker.published", "broker_published_messages_total", _C,
     "Messages that the broker has acknowledged.", 1),
    ("broker.place", "broker_place", _G, "Which of the brokers, 0: the preferred one.", 1),
    ("second_path.open", "second_path_open", _G, "1 while alarms go out another way.", 1),
    ("second_path.modem.ready", "second_path_modem_ready", _G, "1 while the modem can send.", 1),
    ("second_path.modem.signal_dbm", "second_path_modem_signal_dbm", _G,
     "Signal of the modem, dBm.", 1),
)  # fmt: skip
_STATIONS: tuple[_Wanted, ...] = (
    ("level", _G, "Level of the alarm, 0 to 4.", _get("level")),
    ("no_data", _G, "1 while nothing that is armed reports.", _get("no_data")),
    ("silent", _G, "Channels and scores that do not report.", _count("silent")),
    ("armed", _G, "Kinds of evidence that are armed.", _count("armed")),
)
_PORTS: tuple[_Wanted, ...] = (
    ("open", _G, "1 while the port is open.", lambda v: v.get("state") == "opened"),
    ("last_reading_timestamp_seconds", _G, "When the last reading came.",
     _get("last_reading_ms", 0.001)),
    ("frames_total", _C, "Frames and lines that came whole.", _get("frames_ok")),
    ("gaps_total", _C, "Samples that never came, by the node's own numbers.", _get("gaps")),
    ("duplicates_total", _C, "Samples that came twice.", _get("duplicates")),
    ("reboots_total", _C, "Restarts of the node.", _get("reboots")),
    ("battery_volts", _G, "Battery of the node.", _get("battery_mv", 0.001)),
)  # fmt: skip
_PATHS: tuple[_Wanted, ...] = (
    ("second_path_sent_total", _C, "Alarms that went out this way.", _get("sent")),
    ("second_path_failed_total", _C, "Tries that failed.", _get("failed")),
    ("second_path_doubtful_total", _C, "Texts that may have gone.", _get("doubtful")),
    ("second_path_waiting", _G, "Alarms that wait for this way.", _get("waiting")),
)
