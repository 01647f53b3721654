"""The command `talus bench`: its arguments, what it keeps where it is stopped, exit codes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.bench_result import Result
    from edge.bench_run import Wanted

_EXAMPLES = """\
examples:
  talus bench                                    this board: all runtimes, precisions, stages
  talus bench --bundle slope/ --bundle large/    of your bundles (each has its own hidden size)
  talus bench --runtime litert --precision int8,float32 --count 20000
  talus bench --stations 1,10,100,1000           what one more station costs
  talus bench --data-dir /var/lib/talus          fsync on the card that counts
  talus bench --rate 200 --seconds 60            latency from when each reading was due
  talus bench --soak 8h --json pi4.json          heat: a histogram a minute, kept as it goes
  talus bench --json pi4.json                    all figures (JSON Schema: talus schemas bench)
  talus bench compare pi4.json pi5.json          side by side, as ratios
  talus bench compare *.json --markdown --plot boards.svg

Every reading goes from frame bytes to decision through all models, in one thread. docs/bench.md
says how to read the figures.

exit codes: 0 done, 1 something is wrong (it says what), 2 wrong usage; stopped: 130 by Ctrl-C,
143 by SIGTERM, and what was measured until then is kept, marked "interrupted"
"""
_COMPARE = """\
examples:
  talus bench compare pi4.json pi5.json              against the first of them
  talus bench compare *.json --markdown > boards.md  one Markdown table, a column a board
  talus bench compare *.json --all                   stages and artifacts as well
  talus bench compare a.json b.json --plot ab.svg    p50, p99, p99.9; soaks over their time
"""
_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DAYS = 31
_Number = TypeVar("_Number", int, float)


def add_commands(commands: Any) -> None:
    """Add it to the parser of ``talus``."""
    bench = commands.add_parser(
        "bench", help="how fast this board is: latency, memory, start, heat; compare boards",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = bench.add_argument
    add("--bundle", type=Path, action="append", metavar="bundle/",
        help="one or several (default: the demo bundle of this package)")  # fmt: skip
    add("--count", type=_whole, default=5000, help="readings to time a way (5000)")
    add("--rounds", type=_whole, default=5, help="in so many rounds, ways in turn (5)")
    add("--runtime", type=_words, default=(), metavar="NAME,...",
        help="litert, onnxruntime, tflite (default: what is installed)")  # fmt: skip
    add("--precision", type=_words, default=(), metavar="NAME,...",
        help="float32, float16, dynamic, int8, int16x8 (default: all of the bundle)")  # fmt: skip
    add("--kernels", choices=("tuned", "plain"), default="tuned",
        help="tuned to this CPU, or plain: floats hardly depend on it (tuned)")  # fmt: skip
    add("--stations", type=_counts, default=(1, 10, 100), metavar="N,...",
        help="stations due at once (1,10,100)")  # fmt: skip
    add("--no-start", action="store_true", help="start no processes: no start-up, no memory")
    add("--core", type=_core, metavar="N", help="core to stay on (the last one); any: not pinned")
    add("--data-dir", type=Path, metavar="DIR", help="disk for the outbox (temporary files')")
    add("--rate", type=_rate, metavar="HZ", help="paced: so many readings a second")
    add("--seconds", type=_span, metavar="S", help="how long, with --rate (10)")
    add("--soak", type=_span, metavar="TIME", help="for 30min, 8h, ..; flat out, or with --rate")
    add("--interval", type=_span, metavar="TIME", help="of a soak's histograms (60s)")
    add("--json", type=Path, metavar="OUT", help="all figures into a file (-: to stdout alone)")
    add("--root", type=Path, default=Path("/"), metavar="DIR",
        help="where sys and proc are looked for (/)")  # fmt: skip
    bench.set_defaults(usage_error=bench.error)
    compare = bench.add_subparsers(dest="action", metavar="compare").add_parser(
        "compare", help="results of several boards side by side", epilog=_COMPARE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    compare.add_argument("files", type=Path, nargs="+", metavar="A.json")
    compare.add_argument("--markdown", action="store_true", help="a Markdown table")
    compare.add_argument("--all", action="store_true", help="stages and artifacts as well")
    compare.add_argument("--plot", type=Path, metavar="OUT.svg", help="draw it")


def run_bench(args: argparse.Namespace) -> int:
    """Run ``talus bench``; returns its exit code."""
    if args.action == "compare":
        from edge.bench_compare import run_compare

        return run_compare(args.files, args.plot, markdown=args.markdown, everything=args.all)
    wanted = _wanted(args)
    from edge.bench_method import pinned
    from edge.bench_result import check_place
    from edge.bench_run import begin
    from edge.bench_stop import stoppable
    from edge.bench_ways import check_runtimes

    check_runtimes(wanted.runtimes)
    to_stdout = args.json == Path("-")
    if args.json is not None and not to_stdout:
        check_place(args.json)
    with pinned(args.core) as (core, words), stoppable():
        return _run(wanted, begin(wanted, core, words), args.json, to_stdout=to_stdout)


def _run(wanted: Wanted, found: Result, out: Path | None, *, to_stdout: bool) -> int:
    from edge.bench_result import DONE, FAILED, INTERRUPTED, save, to_text
    from edge.bench_run import measure
    from edge.bench_stop import Interrupted

    def keep() -> None:
        if out is not None and not to_stdout:
            save(out, found.values())

    lines_to = sys.stderr if to_stdout else sys.stdout
    code = 0
    try:
        for line in measure(wanted, found, keep):
            print(line, file=lines_to, flush=True)
        found.ended = DONE
    except Interrupted as stop:
        found.ended, found.ended_by, code = INTERRUPTED, str(stop), stop.exit_code
        kept = "nothing is kept (--json OUT keeps it)" if out is None else f"kept: {out}"
        print(f"INTERRUPTED by {stop}: not all was measured; {kept}", file=lines_to, flush=True)
    except BaseException as error:
        found.ended, found.ended_by = FAILED, str(error)
        raise
    finally:
        if found.bundles:  # else nothing was measured, and an older result stays
            keep()
            if to_stdout:
                print(to_text(found.values()), end="")
    return code


def _wanted(args: argparse.Namespace) -> Wanted:
    from edge.bench_node import demo_bundle
    from edge.bench_run import Wanted
    from edge.bench_soak import MAX_INTERVALS

    soak, interval = args.soak, args.interval or 60.0
    if args.seconds is not None and (args.rate is None or soak is not None):
        args.usage_error("--seconds goes with --rate, without --soak")
    if args.interval is not None and soak is None:
        args.usage_error("--interval goes with --soak")
    if soak is not None and soak / interval > MAX_INTERVALS:
        args.usage_error(f"more than {MAX_INTERVALS} intervals: make --interval longer")
    return Wanted(
        bundles=tuple(args.bundle or (demo_bundle(),)), count=args.count,
        rounds=args.rounds, runtimes=args.runtime, precisions=args.precision,
        kernels=args.kernels, stations=args.stations, starts=not args.no_start, rate_hz=args.rate,
        seconds=args.seconds or 10.0, soak_s=soak, interval_s=interval, data_dir=args.data_dir,
        root=args.root,
    )  # fmt: skip


def _whole(given: str) -> int:
    return _within(int(given), given, 1, 10_000_000)


def _rate(given: str) -> float:
    return _within(float(given), given, 0.001, 1e6)


def _span(given: str) -> float:
    """Take 90, 90s, 30min, 8h: seconds."""
    number = given.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = given[len(number) :] or "s"
    if unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{given}: not a time as 90s, 30min or 8h")
    return _within(float(number) * _UNITS[unit], given, 0.01, _DAYS * 86_400.0)


def _within(value: _Number, given: str, low: float, high: float) -> _Number:
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{given} is outside {low:g} .. {high:g}")
    return value


def _words(given: str) -> tuple[str, ...]:
    return tuple(filter(None, given.split(",")))


def _counts(given: str) -> tuple[int, ...]:
    from edge.bench_stations import MAX_STATIONS

    found = [_within(int(each), each, 1, MAX_STATIONS) for each in filter(None, given.split(","))]
    return tuple(dict.fromkeys(found))


def _core(given: str) -> int:
    return -1 if given == "any" else _within(int(given), given, 0, 4095)


RUN: dict[str, Callable[[argparse.Namespace], int]] = {"bench": run_bench}
