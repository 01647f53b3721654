"""The outbox: what waits to be sent, how long alarms have waited, and what damage has cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge.doctor_diagnosis import (
    AS_ROOT,
    FAULT,
    OK,
    SKIPPED,
    UNSURE,
    WARN,
    Diagnosis,
    count_text,
    span_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config
    from edge.doctor_process import Process
    from edge.doctor_saved import Saved

LATE_S = 120.0
"""An alarm that waits for so long has no broker that takes it."""
NEARLY_FULL = 0.8
_BROKER = "mend the way to the broker (see broker); until then nothing is lost"


def outbox(config: Config, process: Process | None, saved: Saved) -> Iterator[Diagnosis]:
    """Look at the outbox, beside the gateway that may be using it."""
    path = config.data_dir / "outbox.db"
    if not saved.exists:
        text = "there is none yet: talus run makes it at its first start"
        yield Diagnosis("outbox", "", SKIPPED, text)
        return
    if saved.foreign:
        yield Diagnosis(
            "outbox", "", UNSURE, f"{path}: not for this user to read", AS_ROOT, gate=True
        )
        return
    if saved.wrong:
        fix = "restart talus run: it sets the file aside and carries over what can be read"
        yield Diagnosis("outbox", "", FAULT, f"{path}: {saved.wrong}", fix, gate=True)
        return
    yield _depth(config, saved)
    yield from _alarms(saved)
    yield from _scars(config, process)


def _depth(config: Config, saved: Saved) -> Diagnosis:
    size_mb, most_mb = saved.bytes / 1e6, config.outbox_max_bytes / 1e6
    text = f"{count_text(saved.messages, 'message')} waiting, {size_mb:.1f} of {most_mb:.0f} MB"
    if saved.bytes >= NEARLY_FULL * config.outbox_max_bytes:
        text += ": beyond that telemetry is thinned and dropped, alarms never"
        return Diagnosis("outbox", "", WARN, text, _BROKER, size_mb, "MB")
    return Diagnosis("outbox", "", OK, text, value=size_mb, unit="MB", gate=True)


def _alarms(saved: Saved) -> Iterator[Diagnosis]:
    if not saved.alarms:
        yield Diagnosis("outbox", "alarms", OK, "none waits", value=0.0, unit="alarms")
        return
    oldest_ms = saved.oldest_alarm_ms
    age_s = 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)
    text = f"{saved.alarms} wait to be sent, the oldest for {span_text(age_s)}"
    value = float(saved.alarms)
    if age_s > LATE_S or oldest_ms is None:
        yield Diagnosis("outbox", "alarms", FAULT, text, _BROKER, value, "alarms")
    else:
        yield Diagnosis("outbox", "alarms", OK, text, value=value, unit="alarms")


def _scars(config: Config, process: Process | None) -> Iterator[Diagnosis]:
    """Find what damage and a full disk have left behind."""
    try:
        aside = sorted(config.data_dir.glob("outbox.damaged.*.db"))
        reserve = (config.data_dir / "reserve").exists()
    except OSError:
        return
    if aside:
        text = f"{count_text(len(aside), 'damaged file')} set aside"
        fix = f"look at storage and power; then copy away and delete {aside[-1].name} and its like"
        yield Diagnosis("outbox", "damage", WARN, text, fix, float(len(aside)), "files")
    if process is not None and not reserve:
        text = "the reserve of 1 MB is used up: this disk was full"
        yield Diagnosis("outbox", "reserve", FAULT, text, "make room: delete old captures")
