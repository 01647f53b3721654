"""The clock of the gateway: plausible, set by somebody, and kept over a power cut."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.doctor_diagnosis import FAULT, OK, UNSURE, WARN, Diagnosis, span_text
from edge.mqtt_dates import date_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.doctor_root import Root

_UNSYNC, _ERROR = 0x40, 5
TOLERANCE_S = 26 * 3600.0
"""A file that came over a card without a time zone may be dated so much ahead."""
LATEST_S = 4_102_444_800.0
"""The year 2100."""
RTC_OFF_S = 60.0
LOOSE_S = 1.0
_NTP = "give it a network on which NTP answers (timedatectl timesync-status), or a GNSS clock"


@dataclass(frozen=True, slots=True)
class KernelClock:
    """What the kernel says of its clock."""

    is_set: bool
    """Something keeps it to the time: NTP, PTP, a GNSS receiver."""
    error_s: float


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )  # fmt: skip


def kernel_clock() -> KernelClock | None:
    """Ask the kernel (adjtimex, nothing is changed); None where it does not say."""
    try:
        timex = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    is_set = state != _ERROR and not timex.status & _UNSYNC
    return KernelClock(is_set, max(0, timex.maxerror) / 1e6)


def clock(
    root: Root,
    known_s: float,
    now: Callable[[], float] = time.time,
    kernel: Callable[[], KernelClock | None] = kernel_clock,
) -> Iterator[Diagnosis]:
    """Look at the clock; ``known_s``: a time that has certainly gone by, as that of our files."""
    now_s = now()
    if not known_s - TOLERANCE_S <= now_s < LATEST_S:
        text = (
            f"it says {date_text(min(max(now_s, 0.0), LATEST_S))}, and {date_text(known_s)} has "
            "gone by: no certificate holds, and readings get the wrong time"
        )
        yield Diagnosis("clock", "", FAULT, text, _NTP, now_s, "s")
        return
    said, chip = kernel(), _chip(root)
    told = f"it says {date_text(now_s)}"
    if said is None:
        yield Diagnosis("clock", "", UNSURE, f"{told}: is that so? Nobody says who sets it", _NTP)
    elif not said.is_set:
        after = "" if chip else ", and without a clock chip (RTC) a power cut loses the time"
        yield Diagnosis("clock", "", WARN, f"{told}, but nothing keeps it to the time{after}", _NTP)
    elif said.error_s > LOOSE_S:
        text = f"{told}, and may be wrong by {span_text(said.error_s)}"
        yield Diagnosis("clock", "", WARN, text, _NTP, said.error_s, "s")
    else:
        after = "" if chip else "; no clock chip (RTC): after a power cut it waits for the network"
        text = f"{told}, kept to the time within {said.error_s * 1000:.0f} ms{after}"
        yield Diagnosis("clock", "", OK, text, value=said.error_s, unit="s")
    if chip is not None and (said is None or said.is_set):
        yield _chip_time(chip, now_s)


def _chip(root: Root) -> int | None:
    for name in root.glob("sys/class/rtc/rtc*/since_epoch"):
        found = root.number(name)
        if found is not None:
            return found
    return None


def _chip_time(chip_s: int, now_s: float) -> Diagnosis:
    off_s = abs(chip_s - now_s)
    if off_s <= RTC_OFF_S:
        text = "the clock chip agrees"
        return Diagnosis("clock", "rtc", OK, text, value=off_s, unit="s")
    text = f"the clock chip is off by {span_text(off_s)}: after a power cut that is the time"
    fix = "set it (hwclock --systohc); if it is off again after a power cut, change its battery"
    return Diagnosis("clock", "rtc", WARN, text, fix, off_s, "s")


def known_time(*paths: str | os.PathLike[str]) -> float:
    """Return the latest time of these files that can be read: it has gone by."""
    found = [0.0]
    for path in paths:
        try:
            found.append(os.stat(path).st_mtime)  # noqa: PTH116 - any kind of path
        except OSError:
            continue
    return max(found)
