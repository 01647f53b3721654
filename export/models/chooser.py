"""The cheapest artifact inside its limits for a device, and why it and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.models.devices import Device
    from export.models.parity import Row

_SAME = 1.05
"""Times closer than this are the same: a shared machine measures no finer."""
_KB = 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """``row`` is what to take, None where nothing fits; ``passed_over`` tells why not the rest."""

    row: Row | None
    why: str
    passed_over: tuple[str, ...]


def choose(
    rows: tuple[Row, ...], device: Device, integer_files: frozenset[str] = frozenset()
) -> Choice:
    """Choose the least time, and of equal times the least bytes, among what fits the device.

    Times are those of this machine, stretched by ``device.slower``. ``integer_files`` names the
    files without float operators, the only ones for a device that has none.
    """
    refused: dict[int, str] = {
        i: why for i, row in enumerate(rows) if (why := misfit(row, device, integer_files))
    }
    fitting = [row for i, row in enumerate(rows) if i not in refused]
    if not fitting:
        told = tuple(f"{_name(row)}: {refused[i]}" for i, row in enumerate(rows))
        return Choice(None, f"nothing fits {device.name}{_unmeasured(rows, device)}", told)
    fastest = min(row.p50_us for row in fitting)
    even = [row for row in fitting if row.p50_us <= fastest * _SAME]
    best = min(even, key=lambda row: (row.size_bytes, row.p50_us))
    told = tuple(
        f"{_name(row)}: {refused.get(i) or _dearer(row, best)}"
        for i, row in enumerate(rows)
        if row is not best
    )
    return Choice(best, _why(best, device, len(fitting)), told)


def misfit(row: Row, device: Device, integer_files: frozenset[str]) -> str:
    """Return why an artifact is not for a device, "" if it may be."""
    if device.runtime and row.runtime != device.runtime:
        return f"{device.name} runs {device.runtime}"
    if not row.bundled:
        return row.why
    if device.integer_only and row.file not in integer_files:
        return f"has float operators, {device.name} has none"
    if row.size_bytes > device.memory_kb * _KB:
        return f"{row.size_bytes / _KB:.0f} kB, {device.memory_kb} kB may be taken"
    if row.p50_us * device.slower > device.budget_us:
        there = row.p50_us * device.slower
        return f"about {there:.0f} us there, {device.budget_us:.0f} us may be taken"
    return ""


def _name(row: Row) -> str:
    return f"{row.file} in {row.runtime}"


def _unmeasured(rows: tuple[Row, ...], device: Device) -> str:
    """Say so where the runtime of the device is not installed on this machine."""
    if any(not device.runtime or row.runtime == device.runtime for row in rows):
        return ""
    return f": no artifact was measured in {device.runtime} here"


def _dearer(row: Row, best: Row) -> str:
    if row.p50_us > best.p50_us * _SAME:
        return f"fits, but takes {row.p50_us:.1f} us where {best.p50_us:.1f} us do"
    return f"fits, as fast, but has {row.size_bytes} bytes where {best.size_bytes} do"


def _why(best: Row, device: Device, fitting: int) -> str:
    there = best.p50_us * device.slower
    said = (
        f"{_name(best)}: the least time, then the fewest bytes, of {fitting} that fit; drift "
        f"{best.drift:.2%} of {best.limit:.2%}, {best.size_bytes} bytes, "
        f"{best.p50_us:.1f} us on this machine"
    )
    if device.slower == 1.0:
        return said
    return f"{said}, so about {there:.0f} us on {device.name} (an estimate: measure it there)"
