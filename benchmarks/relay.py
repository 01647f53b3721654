"""The relay against a real Mosquitto: faults, outages, latency, backlog, memory, and the disk.

  python benchmarks/relay.py --json relay.json
  python benchmarks/relay.py --only memory

Every gateway is ``talus run`` in a process of its own, with instruments on ptys. What cannot be
measured here is named with its reason, and left out of the figures. Memory is watched over 10^7
readings (an hour or two; --readings for another number), the disk over an outage of 72 hours;
fsyncs are counted by strace. With --quick 100 faults in place of 1,000, a backlog of 10,000
messages in place of 100,000, an outage of 4 hours, and shorter runs of all else.
"""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import machine, parse, write
from link import NotMeasuredError, gather, part

from export.local_broker import mosquitto_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from concurrent.futures import Future

    from link import Figures


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to be: "==", "<=" or ">=" a value."""

    sense: str
    value: float
    quick: float | None = None
    """The value with --quick, where that is another."""

    def wanted(self, *, quick: bool) -> float:
        """Return the value."""
        return self.quick if quick and self.quick is not None else self.value

    def met(self, found: float, *, quick: bool) -> bool:
        """Say whether it is."""
        wanted = self.wanted(quick=quick)
        return {"==": found == wanted, "<=": found <= wanted, ">=": found >= wanted}[self.sense]


TARGETS = {
    "faults_injected": Target(">=", 1000, 100),
    "alarms_raised": Target(">=", 1000, 100),
    "alarms_lost": Target("==", 0),
    "alarms_out_of_order": Target("==", 0),
    "silent_drop_lost": Target("==", 0),
    "drain_lost": Target("==", 0),
    "alarm_p99_s_while_draining": Target("<=", 0.1),
    "p50_over_bare": Target("<=", 2.0),
    "rss_growth_mb": Target("<=", 2.0),
    "fds_growth": Target("<=", 0),
    "threads_growth": Target("<=", 0),
    "disk_bytes_per_reading": Target("<=", 300),
    "disk_bytes_per_row_of_64": Target("<=", 300),
    "fsyncs_per_s_at_1000_msgs": Target("<=", 5),
}
REPORTED = ("drain_msgs_per_s", "confirmed_readings_per_s", "memory_readings",
            "bytes_written_per_day_64ch_1hz", "disk_bytes_per_value_of_64", "outage_disk_mb",
            "outage_drain_s",
            "fsyncs_per_s_at_1000_msgs_outage", "alarm_on_disk_p99_ms_at_1000_msgs")  # fmt: skip
"""Figures without a target."""


READINGS, QUICK_READINGS = 10_000_000, 60_000
readings = [0]
"""How many rows the memory is watched over where --readings says so; 0: it does not."""


def needs_broker() -> None:
    """Stop where there is no Mosquitto."""
    if mosquitto_path() is None:
        raise NotMeasuredError("no mosquitto here (apt install mosquitto)")


def chaos(*, quick: bool) -> Figures:
    """Kill, cut, delay, part and fill, under 200 readings a second."""
    needs_broker()
    with tempfile.TemporaryDirectory(prefix="relay-chaos-") as folder:
        found: Figures = part("relay_chaos").run(Path(folder), 100 if quick else 1000)
    return found


class Silent:
    """Let the link die without a word for 60 s, 180 s and an hour, while the chaos goes on."""

    def __init__(self) -> None:
        self.__doc__ = type(self).__doc__
        self._pool = ThreadPoolExecutor(1)
        self._drops: Future[Any] | None = None

    def begin(self, *, quick: bool) -> None:
        """Begin it: it is slow and light."""
        self._drops = self._pool.submit(self._run, quick=quick)

    @staticmethod
    def _run(*, quick: bool) -> Any:
        needs_broker()
        with tempfile.TemporaryDirectory(prefix="relay-silent-") as folder:
            return part("relay_silent").run(Path(folder), quick=quick)

    def __call__(self, *, quick: bool) -> Figures:
        """Wait for its end; the figures."""
        if self._drops is None:
            self.begin(quick=quick)
        assert self._drops is not None
        found: Figures = part("relay_silent").report(self._drops.result())
        return found


silent = Silent()


def latency(*, quick: bool) -> Figures:
    """Time bytes on the pty to the subscriber, beside a bare script; then as many as go."""
    needs_broker()
    timing = part("relay_latency")
    with tempfile.TemporaryDirectory(prefix="relay-latency-") as name:
        folder = Path(name)
        for each in ("paced", "full"):
            (folder / each).mkdir()
        found: Figures = timing.latency(folder / "paced", 150 if quick else 1500)
        found |= timing.throughput(folder / "full", 20_000 if quick else 200_000)
    return found


def drain(*, quick: bool) -> Figures:
    """Let alarms overtake a backlog."""
    needs_broker()
    with tempfile.TemporaryDirectory(prefix="relay-drain-") as folder:
        found: Figures = part("relay_drain").run(Path(folder), 10_000 if quick else 100_000)
    return found


def memory(*, quick: bool) -> Figures:
    """Read READINGS rows, or a few with --quick, and watch what grows."""
    needs_broker()
    count = readings[0] or (QUICK_READINGS if quick else READINGS)
    with tempfile.TemporaryDirectory(prefix="relay-memory-") as folder:
        found: Figures = part("relay_memory").run(Path(folder), count)
    return found


def disk(*, quick: bool) -> Figures:
    """Count bytes to disk in steady state, and last out 72 hours (4 with --quick) offline."""
    needs_broker()
    found: Figures = part("relay_disk").measure(quick=quick)
    return found


def commits(*, quick: bool) -> Figures:
    """Put 1,000 messages a second; count fsyncs, and time alarms to disk."""
    needs_broker()
    if shutil.which("strace") is None:
        raise NotMeasuredError("no strace here (apt install strace)")
    with tempfile.TemporaryDirectory(prefix="relay-commits-") as folder:
        found: Figures = part("relay_commits").run(Path(folder), 6.0 if quick else 30.0)
    return found


PARTS: dict[str, Callable[..., Figures]] = {
    "faults_injected, alarms_raised, alarms_lost, alarms_out_of_order": chaos,
    "silent_drop_lost": silent,
    "p50_over_bare, confirmed_readings_per_s": latency,
    "drain_msgs_per_s, alarm_p99_s_while_draining": drain,
    "rss_growth_mb": memory,
    "disk_bytes_per_reading, bytes_written_per_day_64ch_1hz": disk,
    "fsyncs_per_s_at_1000_msgs": commits,
}


def table(figures: Figures, *, quick: bool) -> str:
    """Return the figures that have a target, whether it is met, and those that have none."""
    lines = [f"{'figure':<30} {'value':>10} {'target':>8}"]
    for name, target in TARGETS.items():
        wanted = f"{target.sense} {target.wanted(quick=quick):g}"
        if name in figures:
            met = "met" if target.met(figures[name], quick=quick) else "MISSED"
            lines.append(f"{name:<30} {figures[name]:>10.4g} {wanted:>8}  {met}")
        else:
            lines.append(f"{name:<30} {'-':>10} {wanted:>8}  not measured")
    for name in REPORTED:
        value = f"{figures[name]:.4g}" if name in figures else "-"
        lines.append(f"{name:<30} {value:>10}")
    return "\n".join(lines)


def _name(measured: Callable[..., Figures]) -> str:
    return getattr(measured, "__name__", "silent")


def _own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--readings", type=int, default=0, metavar="N", help="rows to watch the memory over"
    )
    parser.add_argument(
        "--only", choices=[_name(each) for each in PARTS.values()], help="measure one part"
    )


def main() -> int:
    """Run the benchmark."""
    args = parse(__doc__, add=_own_options)
    readings[0] = args.readings
    parts = {names: each for names, each in PARTS.items() if args.only in (None, _name(each))}
    print(machine())
    if silent in parts.values():
        silent.begin(quick=args.quick)
    figures, broken = gather(parts, quick=args.quick)
    print(f"\n{table(figures, quick=args.quick)}")
    write(figures, args.json)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
