"""The board: its supply, how hot it is, and how much memory is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.doctor_diagnosis import FAULT, OK, SKIPPED, WARN, Diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.doctor_root import Root

_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_UNDER, _CAPPED, _SLOWED, _SOFT = 1, 2, 4, 8
_SINCE = 16
"""The same bits, so many places up: it has been so since the board was started."""
_SUPPLY = (
    "use the board's own supply (5.1 V, 3 A or more) on a short thick cable, and take USB devices "
    "off it that draw much"
)
HOT_C, TOO_HOT_C = 75.0, 85.0
"""Where the kernel names no trip points of its own."""
LOW_MB, TOO_LOW_MB = 96, 32


def power(root: Root) -> Iterator[Diagnosis]:
    """Say whether the supply holds: boards of Raspberry Pi count, others mostly do not tell."""
    bits = _throttled(root)
    if bits is not None:
        yield _supply(bits)
        return
    alarm = _volt_alarm(root)
    if alarm is None:
        yield Diagnosis("power", "", SKIPPED, "this board does not tell how its supply is")
    elif alarm:
        yield Diagnosis(
            "power", "", FAULT, "the supply is under 4.63 V: the board may restart or damage "
            "its card", _SUPPLY,
        )  # fmt: skip
    else:
        yield Diagnosis("power", "", OK, "the supply holds")


def _throttled(root: Root) -> int | None:
    found = root.number(_THROTTLED, 16)
    if found is None:
        _, _, word = (root.ask("vcgencmd", "get_throttled") or "").partition("=")
        try:
            found = int(word, 16)
        except ValueError:
            return None
    return found


def _volt_alarm(root: Root) -> int | None:
    for name in root.glob("sys/class/hwmon/hwmon*/name"):
        if root.text(name) == "rpi_volt":
            return root.number(name.parent / "in0_lcrit_alarm")
    return None


def _supply(bits: int) -> Diagnosis:
    value = float(bits)
    if bits & _UNDER:
        text = "the supply is under 4.63 V now: the board may restart or damage its card"
        return Diagnosis("power", "", FAULT, text, _SUPPLY, value, "bits")
    if bits >> _SINCE & _UNDER:
        text = "the supply has been under 4.63 V since the board was started"
        return Diagnosis("power", "", WARN, text, _SUPPLY, value, "bits")
    if bits & (_CAPPED | _SLOWED | _SOFT):
        text = "the board runs slower than it could, as it is too hot"
        fix = "shade the box and let air to the board; fit a heat sink"
        return Diagnosis("power", "", WARN, text, fix, value, "bits")
    text = "the supply has held since the board was started"
    return Diagnosis("power", "", OK, text, value=value, unit="bits")


def temperature(root: Root) -> Iterator[Diagnosis]:
    """Say how hot the hottest place is, against what the kernel itself calls hot."""
    zones = [zone for zone in root.glob("sys/class/thermal/thermal_zone*") if _warmth(root, zone)]
    if not zones:
        yield Diagnosis("temperature", "", SKIPPED, "this board does not tell how warm it is")
        return
    for zone in zones:
        yield _zone(root, zone)


def _warmth(root: Root, zone: Path) -> float:
    """Return degC; 0.0 for what is none: a zone that is off says 0, or something absurd."""
    found = (root.number(zone / "temp") or 0) / 1000
    return found if -60 < found < 200 else 0.0


def _zone(root: Root, zone: Path) -> Diagnosis:
    now_c = _warmth(root, zone)
    name = root.text(zone / "type") or zone.name
    hot_c, too_hot_c = _trips(root, zone)
    text = f"{now_c:.0f} degC"
    fix = "shade the box, let air to the board, fit a heat sink; look whether the fan turns"
    if now_c >= too_hot_c:
        text += f", and at {too_hot_c:.0f} degC it slows down or stops"
        return Diagnosis("temperature", name, FAULT, text, fix, now_c, "degC")
    if now_c >= hot_c:
        text += f", near the limit of {too_hot_c:.0f} degC"
        return Diagnosis("temperature", name, WARN, text, fix, now_c, "degC")
    return Diagnosis("temperature", name, OK, text, value=now_c, unit="degC")


def _trips(root: Root, zone: Path) -> tuple[float, float]:
    limits = []
    for kind in root.glob(f"{zone}/trip_point_*_type"):
        if root.text(kind) in {"passive", "hot", "critical"}:
            at = root.number(kind.with_name(kind.name.replace("_type", "_temp")))
            limits += [at / 1000] if at is not None and at > 40_000 else []
    if not limits:
        return HOT_C, TOO_HOT_C
    return min(limits) - 10, min(limits)


def memory(root: Root) -> Iterator[Diagnosis]:
    """Say how much memory is left, and whether the kernel had to kill a program for want of it."""
    found = root.pairs("proc/meminfo")
    if "MemAvailable" not in found:
        yield Diagnosis("memory", "", SKIPPED, "this system does not tell how much memory is free")
        return
    left_mb = found["MemAvailable"] / 1000
    text = f"{left_mb:.0f} of {found.get('MemTotal', 0) / 1000:.0f} MB free"
    fix = "see who takes it (top -o %MEM) and stop what is not needed, or take a board with more"
    if left_mb < LOW_MB:
        state = FAULT if left_mb < TOO_LOW_MB else WARN
        yield Diagnosis("memory", "", state, f"only {text}", fix, left_mb, "MB")
    else:
        yield Diagnosis("memory", "", OK, text, value=left_mb, unit="MB")
    killed = root.pairs("proc/vmstat").get("oom_kill", 0)
    if killed:
        text = f"the kernel has killed {killed} programs for want of memory since the start"
        fix = "see which (journalctl -k | grep -i 'killed process') and stop what is not needed"
        yield Diagnosis("memory", "killed", WARN, text, fix, float(killed), "programs")
