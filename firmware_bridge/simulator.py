"""Simulated instruments by hand: `python -m firmware_bridge.simulator --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_instruments import LinePty, PtyNode
from firmware_bridge.sim_node import NodeIdentity, SimulatedNode, describe
from firmware_bridge.sim_pty import Pty
from firmware_bridge.sim_rows import CHANNELS, creep, rows_of_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
