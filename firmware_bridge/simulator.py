"""Simulated instruments on a real pty: a TW1 node, and a logger that sends lines.

The gateway opens their device as it would a serial port. For use by hand:
`python -m firmware_bridge.simulator --help`.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_node import NodeIdentity, SimulatedNode, describe
from firmware_bridge.sim_pty import Pty
from firmware_bridge.sim_rows import CHANNELS, creep, rows_of_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from firmware_bridge.reading import Channel

__all__ = [
    "Faults",
    "FaultyWire",
    "LinePty",
    "NodeIdentity",
    "Pty",
    "PtyNode",
    "SimulatedNode",
    "describe",
    "main",
]

_SETTLE_S = 0.05  # after the gateway opens its side: opening discards what came before
_WAKE_S = 0.02
_ROOM_S = 0.05


class _Instrument:
    """What both instruments share: a pty, a thread, a pace, and waiting for a listener."""

    def __init__(self, link: Path | str | None, interval_s: float, *, hold: bool) -> None:
        self.pty = Pty(link)
        self.rows_sent = 0
        self.rows_unheard = 0
        """Rows whose time came while nobody had the port open (never with `hold`)."""
        self._interval_s = interval_s
        self._hold = hold
        self._heard = False
        self._due_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, daemon=True)

    @property
    def device(self) -> str:
        """What the gateway is to open."""
        return self.pty.device

    def run(self) -> None:
        """Send every row, then answer until stopped; in this thread."""
        raise NotImplementedError

    def start(self) -> None:
        """Run in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and make the device vanish."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.pty.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _listened(self) -> bool:
        """Say whether the gateway has its side open and has settled."""
        listening = self.pty.listening()
        if listening and not self._heard:
            self._stop.wait(_SETTLE_S)
        self._heard = listening
        return listening

    def _answer(self, wait_s: float) -> None:
        """Spend a while answering the gateway; a node does, a logger only waits."""
        self._stop.wait(wait_s)

    def _ready(self) -> bool:
        """Say whether a row that must not be lost may be sent."""
        return True

    def _await_turn(self) -> bool:
        """Wait until the next row is due and may go; True if somebody hears it."""
        while not self._stop.is_set():
            heard = self._listened()
            left_s = self._due_s - time.monotonic()
            if left_s <= 0 and (not self._hold or (heard and self._ready())):
                break
            wait_s = min(_WAKE_S, left_s) if left_s > 0 else _WAKE_S
            if heard:
                self._answer(wait_s)
            else:
                self._stop.wait(wait_s)
        self._due_s = max(self._due_s + self._interval_s, time.monotonic() - self._interval_s)
        return self._heard

    def _send(self, data: bytes) -> None:
        """Write it all, unless the gateway closes its side or we are stopped."""
        while data and not self._stop.is_set() and self.pty.listening():
            data = self.pty.write(data, _ROOM_S)


class PtyNode(_Instrument):
    """A `SimulatedNode` on a pty: one row every `interval_s`, in its own time every `step_us`.

    So a year of hourly rows can be played in a minute (with the driver's clock "node"). With
    `hold` no row goes before the gateway listens and knows the layout; without it, rows that
    nobody hears are lost, as in the field. Faults hit the sample frames, not the answers.
    """

    def __init__(
        self,
        node: SimulatedNode,
        rows: Iterable[Sequence[float]],
        *,
        link: Path | str | None = None,
        interval_s: float = 1.0,
        step_us: int = 1_000_000,
        faults: Faults | None = None,
        hold: bool = True,
    ) -> None:
        super().__init__(link, interval_s, hold=hold)
        self.node = node
        self.wire = FaultyWire(faults or Faults())
        self._rows = rows
        self._step_us = step_us

    def run(self) -> None:
        """Send every row, then answer until stopped; in this thread."""
        reboots = frozenset(self.wire.faults.reboot_rows)
        t_us = 0
        for number, row in enumerate(self._rows):
            if number in reboots:
                t_us = 0
                self._send(self.node.reboot())
            heard = self._await_turn()
            if self._stop.is_set():
                break
            frames = self.node.sample(row, t_us)
            t_us += self._step_us
            self._answer(0)
            if heard:
                self._send(self.wire.carry(frames[0]) + b"".join(frames[1:]))
                self.rows_sent += 1
            else:
                self.rows_unheard += 1
        while not self._stop.is_set():
            if self._listened():
                self._answer(_WAKE_S)
            else:
                self._stop.wait(_WAKE_S)

    def _ready(self) -> bool:
        return self.node.described

    def _answer(self, wait_s: float) -> None:
        asked = self.pty.read(wait_s)
        if asked:
            self._send(self.node.receive(asked))


class LinePty(_Instrument):
    """A logger on a pty: one line every `interval_s`, as it is given."""

    def __init__(
        self,
        lines: Iterable[str],
        *,
        link: Path | str | None = None,
        interval_s: float = 1.0,
        end: str = "\r\n",
        hold: bool = True,
    ) -> None:
        super().__init__(link, interval_s, hold=hold)
        self._lines = lines
        self._end = end

    def run(self) -> None:
        """Send every line, then keep the device until stopped; in this thread."""
        for line in self._lines:
            heard = self._await_turn()
            if self._stop.is_set():
                break
            if heard:
                self._send((line.rstrip("\r\n") + self._end).encode("utf-8", "surrogateescape"))
                self.rows_sent += 1
            else:
                self.rows_unheard += 1
        self._stop.wait()


_EXAMPLES = """\
examples:
  one row a second of a made-up slope, at /tmp/node-1:
    python -m firmware_bridge.simulator node --link /tmp/node-1
  an hour of it in 36 s, one frame in a hundred damaged, a reboot before row 1000:
    python -m firmware_bridge.simulator node --link /tmp/node-1 --rows 3600 --interval 0.01 \\
        --flip 0.01 --reboot 1000
  rows of a CSV whose header names the channels, an hour apart in node time:
    python -m firmware_bridge.simulator node --csv rows.csv --interval 0.01 --step 3600
  a logger that sends the lines of a file:
    python -m firmware_bridge.simulator lines --file logger.dat --link /tmp/logger --interval 0.1
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridge.simulator",
        description="A simulated instrument on a pty. Stop it with Ctrl-C.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    node = kinds.add_parser("node", help="a TW1 node")
    node.add_argument("--csv", type=Path, help="rows to send (default: a made-up slope)")
    node.add_argument("--rows", type=int, default=100_000, help="how many, if made up")
    node.add_argument("--step", type=float, default=1.0, help="node time between rows, s")
    for fault in ("flip", "drop", "duplicate", "garbage"):
        node.add_argument(f"--{fault}", type=float, default=0.0, help="rate a frame, 0..1")
    node.add_argument("--reboot", type=int, action="append", default=[], help="before this row")
    node.add_argument("--seed", type=int, default=0)
    lines = kinds.add_parser("lines", help="a logger that sends lines")
    lines.add_argument("--file", type=Path, required=True)
    for each in (node, lines):
        each.add_argument("--link", type=Path, help="symlink to make for the device")
        each.add_argument("--interval", type=float, default=1.0, help="time between rows, s")
        each.add_argument("--lossy", action="store_true", help="send even if nobody listens")
    return parser


def _instrument(args: argparse.Namespace) -> PtyNode | LinePty:
    if args.kind == "lines":
        text = args.file.read_text(encoding="utf-8", errors="surrogateescape")
        return LinePty(
            text.splitlines(), link=args.link, interval_s=args.interval, hold=not args.lossy
        )
    channels: tuple[Channel, ...] = CHANNELS
    rows: Iterable[Sequence[float]] = creep(args.rows, args.seed)
    if args.csv is not None:
        channels, rows = rows_of_csv(args.csv)
    return PtyNode(
        SimulatedNode(describe(channels), stats_every=60),
        rows,
        link=args.link,
        interval_s=args.interval,
        step_us=round(args.step * 1e6),
        hold=not args.lossy,
        faults=Faults(
            args.flip, args.drop, args.duplicate, args.garbage, tuple(args.reboot), args.seed
        ),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run an instrument from the command line until Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        instrument = _instrument(args)
    except (OSError, ValueError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    print(instrument.device, flush=True)
    try:
        instrument.run()
    except KeyboardInterrupt:
        pass
    finally:
        instrument.stop()
        print(f"rows sent {instrument.rows_sent}, unheard {instrument.rows_unheard}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
