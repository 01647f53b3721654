"""The serial link: frames, damage, load, and what others make of the same bytes.

  python benchmarks/link.py --json link.json

Times are of the quietest of several rounds (``_all``: the median of all): this is a shared machine.
What cannot be measured here is named with its reason, and left out of the figures.
"""

from __future__ import annotations

import importlib
import shutil
import statistics
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from figures import machine, parse, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from link_frames import Damage

CHANNELS = 20


class NotMeasuredError(Exception):
    """Why a part cannot be measured here."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to be."""

    value: float
    exactly: bool
    """Or at most."""

    def met(self, value: float) -> bool:
        """Say whether it is."""
        return value == self.value if self.exactly else value <= self.value

    def __str__(self) -> str:
        return f"{'' if self.exactly else '<= '}{self.value:g}"


TARGETS = {
    "modbus_stray_ok": Target(52, exactly=True),
    "frames_lost_per_event": Target(1.2, exactly=False),
    "false_frames": Target(0, exactly=True),
    "vector_mismatches": Target(0, exactly=True),
    "codec_flash_bytes": Target(700, exactly=False),
    "cpu_share_32ch_100hz": Target(0.25, exactly=False),
    "overruns": Target(0, exactly=True),
    "update_bricked": Target(0, exactly=True),
}
Figures = dict[str, float]


def part(name: str) -> Any:
    """Import a part of this benchmark; `NotMeasuredError` where it is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NotMeasuredError(str(error)) from None


def known(without: str, **figures: float | None) -> Figures:
    """Give the figures; `NotMeasuredError`, saying ``without`` what, if a part left one open."""
    if None in figures.values():
        raise NotMeasuredError(without)
    return {name: value for name, value in figures.items() if value is not None}


def stray(*, quick: bool) -> Figures:
    """Read Modbus answers behind one stray byte, 52 values of it, with three libraries."""
    modbus = part("link_modbus")
    slaves = (modbus.SLAVE,) if quick else (modbus.SLAVE, modbus.OTHER_SLAVE)
    found = [modbus.stray_matrix(slave=slave) for slave in slaves]
    print(f"{'library':<15} {'address':>8} {'stray ok':>9} {'clean ok':>9}")
    for slave, matrix in zip(slaves, found, strict=True):
        for name in ("modbus", "pymodbus", "minimalmodbus"):
            ok, clean = matrix[f"{name}_stray_ok"], matrix[f"{name}_clean_ok"]
            print(f"{name:<15} {slave:>8} {'-' if ok is None else ok:>9} "
                  f"{'-' if clean is None else clean:>9}")  # fmt: skip
    return {name: count for name, count in found[0].items() if count is not None}


def decoding(*, quick: bool) -> Figures:
    """Time frames and readings of a node, and others' framing on the same payloads."""
    from link_frames import make_node, sampled, timed_frames, timed_readings

    from firmware_bridge.framing import Frame, FrameDecoder

    count, rounds = 2000, 100 if quick else 2000
    wires = sampled(make_node(CHANNELS), count, CHANNELS)
    took = timed_frames(wires, rounds)
    figures = {
        "us_per_frame": min(took),
        "us_per_frame_all": statistics.median(took),
        "frames_per_s": 1e6 / min(took),
        "us_per_reading": min(timed_readings(count // 4, CHANNELS, rounds)),
    }
    items = FrameDecoder().receive(b"".join(wires))
    payloads = [item.payload for item in items if isinstance(item, Frame)]
    lines = [f"{'decoder':<10} {'us/frame':>9}", f"{'ours':<10} {min(took):>9.2f}"]
    for name, (us, note) in part("link_peers").peers(payloads, 0.5 if quick else 5.0).items():
        if us is None:
            lines.append(f"{name:<10} not measured: {note}")
            continue
        lines.append(f"{name:<10} {us:>9.2f}  {note}")
        figures[f"{name}_us_per_frame"] = us
    print(f"frames of {CHANNELS} channels, {len(wires[0])} bytes on the wire")
    print("\n".join(lines))
    return figures


def damage(*, quick: bool) -> Figures:
    """Damage a stream in four ways, and then frames, each at one to eight places."""
    from link_frames import KINDS, SPACING, false_frames, measure

    rows: list[Damage] = [measure(kind, 20_000 if quick else 200_000) for kind in KINDS]
    hurt, false = false_frames(100_000 if quick else 1_000_000)
    print(f"one damage every {SPACING} bytes; then {hurt} frames, each damaged")
    print(f"{'kind':<8} {'events':>7} {'lost/event':>11} {'resync bytes':>13} {'worst':>6}")
    for row in rows:
        print(f"{row.kind:<8} {row.events:>7} {row.lost_per_event:>11.3f} "
              f"{row.resync_bytes:>13.0f} {row.resync_bytes_worst:>6}")  # fmt: skip
    figures: Figures = {f"lost_per_{row.kind}": row.lost_per_event for row in rows}
    return figures | {
        "frames_lost_per_event": max(row.lost_per_event for row in rows),
        "resync_bytes": max(row.resync_bytes for row in rows),
        "resync_bytes_worst": max(row.resync_bytes_worst for row in rows),
        "frames_damaged": hurt,
        "false_frames": false + sum(row.false_frames for row in rows),
    }


def twin(**_: bool) -> Figures:
    """Run the shared vectors through the C counterpart."""
    twins = part("link_c")
    if shutil.which("cc") is None:
        raise NotMeasuredError("no C compiler here")
    vectors, mismatches = twins.vectors_and_mismatches()
    return {"vectors": vectors, "vector_mismatches": mismatches}


def flash(**_: bool) -> Figures:
    """Weigh the codec on a Cortex-M3."""
    found = part("link_c").codec_flash_bytes()
    return known("no arm-none-eabi-gcc here", codec_flash_bytes=found)


def load(*, quick: bool) -> Figures:
    """Read 32 channels at 100 Hz from a node in a process of its own."""
    from link_cpu import BAUD, CHANNELS, RATE_HZ, share

    found = share(5.0 if quick else 30.0)
    if found.rate_hz < 0.95 * RATE_HZ:
        raise NotMeasuredError(f"the node itself came to {found.rate_hz:.0f} Hz: a busy machine")
    print(f"{CHANNELS} channels at {RATE_HZ} Hz, {BAUD} baud: {found.readings} readings, "
          f"{found.rate_hz:.1f} a second, woken {found.wakes_per_reading:.1f} times for each, "
          f"{found.rss_growth_kib} KiB grown")  # fmt: skip
    return {
        "cpu_share_32ch_100hz": found.cpu_share,
        "overruns": found.overruns,
        "readings_per_s": found.rate_hz,
    }


def updates(*, quick: bool) -> Figures:
    """Break updates at every step."""
    injected, bricked = part("link_update").update_faults(quick)
    return {"update_faults_injected": injected, "update_bricked": bricked}


PARTS: dict[str, Callable[..., Figures]] = {
    "modbus_stray_ok, pymodbus_stray_ok, minimalmodbus_stray_ok": stray,
    "us_per_frame": decoding,
    "frames_lost_per_event, false_frames": damage,
    "vectors, vector_mismatches": twin,
    "codec_flash_bytes": flash,
    "cpu_share_32ch_100hz, overruns": load,
    "update_faults_injected, update_bricked": updates,
}


def gather(parts: dict[str, Callable[..., Figures]], *, quick: bool) -> tuple[Figures, list[str]]:
    """Run the parts; gives the figures, and the names of parts that broke."""
    figures: Figures = {}
    broken = []
    for names, measured in parts.items():
        print(f"\n{(measured.__doc__ or names).strip()}")
        try:
            found = measured(quick=quick)
        except NotMeasuredError as error:
            print(f"{names}: not measured: {error}")
            continue
        except Exception:  # the other parts are still of use
            traceback.print_exc()
            print(f"{names}: not measured: it broke, see above")
            broken.append(names)
            continue
        for name in names.split(", "):
            if name not in found:
                print(f"{name}: not measured: its library is not here")
        figures |= found
    return figures, broken


def table(figures: Figures) -> str:
    """Return the figures that have a target, and whether it is met."""
    lines = [f"{'figure':<24} {'value':>10} {'target':>8}"]
    for name, target in TARGETS.items():
        if name in figures:
            met = "met" if target.met(figures[name]) else "MISSED"
            lines.append(f"{name:<24} {figures[name]:>10.4g} {target!s:>8}  {met}")
        else:
            lines.append(f"{name:<24} {'-':>10} {target!s:>8}  not measured")
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark."""
    args = parse(__doc__)
    print(machine())
    figures, broken = gather(PARTS, quick=args.quick)
    print(f"\n{table(figures)}")
    write(figures, args.json)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
