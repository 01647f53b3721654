"""The commands `talus probe` and `talus tail`: their arguments, and running them."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_bridge.uart_frame import FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable

PROTOCOLS = ("tw1", "lines", "gnss", "modbus", "sdi12")
MAX_SECONDS = 86_400.0

_PROBE = """\
examples:
  talus probe                                     the serial devices that are here, by stable names
  talus probe /dev/ttyUSB0                        what speaks there, at what speed, and its TOML
  talus probe usb:A10KX7 --quick                  the common speeds alone
  talus probe /dev/ttyUSB0 --baud 9600 --listen 70         a logger that speaks once a minute
  talus probe /dev/ttyUSB0 --protocol modbus --addresses 1-247 --baud 19200
  talus probe /dev/ttyUSB0 >> gateway.toml        progress goes to stderr

It listens. Where nobody speaks it asks: HELLO (TW1), ?! and aI! (SDI-12), functions 3 and 4
(Modbus). It writes no register and no setting. Stop talus run first: a port has one reader.

exit codes: 0 found, 1 nothing found or the port cannot be opened (it says why), 2 wrong usage
"""
_TAIL = """\
examples:
  talus tail --config gateway.toml                every port, as the gateway reads it
  talus tail --config gateway.toml --port node-1 | grep --line-buffered tilt
  talus tail /dev/ttyUSB0                         whatever speaks there, found as by talus probe
  talus tail /dev/ttyUSB0 --baud 115200 --protocol tw1     at once
  talus tail --config gateway.toml --json --count 100 > readings.jsonl

One line a reading: time, port, channel=value unit. What arrived and gave no reading goes to stderr
with its reason (--all: among the readings). Stop talus run first: a port has one reader.

exit codes: 0 readings came, 1 none came (it says why), 2 wrong usage
"""


def add_commands(commands: Any) -> None:
    """Add both to the parser of ``talus``."""
    probe = commands.add_parser(
        "probe", help="which serial devices are here; baud rate and protocol of one",
        epilog=_PROBE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    probe.add_argument("device", nargs="?", metavar="PORT",
                       help="path, pattern or usb:SERIAL; none: list what is here")  # fmt: skip
    probe.add_argument("--baud", type=_baud, action="append", default=[], metavar="N",
                       help="only this baud rate (several: give it several times)")  # fmt: skip
    probe.add_argument("--frame", choices=tuple(FRAMES), default="", metavar="8N1",
                       help="only these data bits, parity and stop bits")  # fmt: skip
    probe.add_argument("--protocol", choices=PROTOCOLS, default="", help="look for this alone")
    probe.add_argument("--listen", type=_seconds, default=1.2, metavar="SECONDS",
                       help="how long at each speed (default 1.2)")  # fmt: skip
    probe.add_argument("--seconds", type=_seconds, metavar="SECONDS",
                       help="how long in all, at most (default 90, with --quick 25)")  # fmt: skip
    probe.add_argument("--addresses", type=_addresses, default=tuple(range(1, 17)), metavar="1-16",
                       help="Modbus addresses to ask (default 1-16)")  # fmt: skip
    probe.add_argument("--quick", action="store_true", help="the most common speeds alone")
    probe.add_argument("--json", action="store_true", help="one JSON object")
    tail = commands.add_parser(
        "tail", help="live readings as text, one line each",
        epilog=_TAIL, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    tail.add_argument("device", nargs="?", metavar="PORT", help="a device, in place of --config")
    tail.add_argument("--config", type=Path, metavar="gateway.toml")
    tail.add_argument("--port", action="append", default=[], metavar="NAME",
                      help="only this port of the configuration")  # fmt: skip
    tail.add_argument("--baud", type=_baud, metavar="N", help="of PORT (default: it is found)")
    tail.add_argument("--frame", choices=tuple(FRAMES), default="", metavar="8N1")
    tail.add_argument("--protocol", choices=PROTOCOLS, default="", help="of PORT")
    tail.add_argument(
        "--count", type=int, default=0, metavar="N", help="end after so many readings"
    )
    tail.add_argument("--seconds", type=_seconds, metavar="SECONDS", help="end after this time")
    tail.add_argument("--all", action="store_true", help="dropped ones among the readings too")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")


def run_probe(args: argparse.Namespace) -> int:
    """Run ``talus probe``; returns its exit code."""
    from edge.probe import Asked, probe
    from edge.probe_show import device_lines, json_values, lines
    from firmware_bridge.devices import present

    if args.device is None:
        devices = present()
        if args.json:
            _print([json.dumps([{"device": d, "description": what} for d, what in devices])])
        else:
            _print(device_lines(devices))
        return 0 if devices else 1
    asked = Asked(
        bauds=tuple(args.baud),
        frame=args.frame,
        protocol=args.protocol,
        listen_s=args.listen,
        budget_s=args.seconds or max(25.0 if args.quick else 90.0, 2 * args.listen),
        addresses=args.addresses,
        quick=args.quick,
    )
    probed = probe(args.device, asked, lambda line: print(line, file=sys.stderr, flush=True))
    if args.json:
        _print([json.dumps(json_values(probed))])
    elif probed.finding is None:
        print("\n".join(lines(probed)), file=sys.stderr)
    else:
        _print(lines(probed))
    return 0 if probed.finding is not None else 1


def run_tail(args: argparse.Namespace) -> int:
    """Run ``talus tail``; returns its exit code."""
    from edge.tail import Wanted, ports_of, tail

    if (args.config is None) == (args.device is None):
        print("talus tail: either --config gateway.toml or a PORT", file=sys.stderr)
        return 2
    wanted = Wanted(args.json, args.all, args.count, args.seconds or math.inf)
    try:
        return 0 if tail(ports_of(args, _put), _put, wanted) else 1
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # whoever read it has enough; the interpreter flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _put(line: str, *, aside: bool) -> None:
    """Print one line at once: whoever reads the pipe sees it now."""
    print(line, file=sys.stderr if aside else sys.stdout, flush=True)


def _print(lines: list[str]) -> None:
    print("\n".join(lines), flush=True)


def _baud(given: str) -> int:
    return int(_within(int(given), 50, 4_000_000))


def _seconds(given: str) -> float:
    return _within(float(given), 0.05, MAX_SECONDS)


def _addresses(given: str) -> tuple[int, ...]:
    """Read `5`, `1-16`, `1,3,7-9`."""
    found: list[int] = []
    for part in given.split(","):
        first, _, last = part.partition("-")
        low = int(_within(int(first), 1, 247))
        found += range(low, int(_within(int(last or first), low, 247)) + 1)
    return tuple(dict.fromkeys(found))


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value:g} is outside {low:g}..{high:g}")
    return value


RUN: dict[str, Callable[[argparse.Namespace], int]] = {"probe": run_probe, "tail": run_tail}
