"""``talus-export calibrate``: from a site's history to its numbers and set points, as TOML."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from edge.config import Config
    from export.calibrate.calibration import Calibration
    from export.progress import Bars

_EXAMPLES = """\
examples:
  talus-export calibrate --site site.toml --data history.csv --out calibrated.toml
  talus-export calibrate --site site.toml --data history.csv --until 2025-01-01 --budget 0.05
  talus-export calibrate --site gateway.toml --data logger=north.dat --station north \\
      --into gateway.toml --out gateway.new.toml --plot north.png
  talus-export calibrate --site site.toml --data history.csv --json > found.json

Without --out the TOML is printed. With --into it is put below its station in that file, what it
replaces is commented out, and the whole is read as a gateway would before it is written.
The history counts as one without failure: end it before a real one (--until).
"""
_LOOK = ("step", "spike", "unit", "units")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "calibrate",
        help="noise, speeds and set points of a station, from its history",
        description="Measure noise, resolution, temperature coefficients, steady and greatest "
        "speeds, neighbours and seasons of each channel, and choose speeds from which to alarm "
        "for a stated number of false alarms a year. Written as commented TOML to edit.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--site", type=Path, required=True, metavar="site.toml")
    parser.add_argument("--data", action="append", required=True, metavar="[PORT=]FILE")
    parser.add_argument(
        "--budget", type=float, default=0.1, metavar="ONSETS",
        help="false alarms of level 4 a station-year (default 0.1); levels 1 to 3: 40, 10, 3 times",
    )  # fmt: skip
    parser.add_argument("--station", default="", help="default: the first")
    parser.add_argument("--profile", default="", help="rules to replay beside; default: its own")
    parser.add_argument("--until", default="", help="leave out all from this date on (ISO, UTC)")
    parser.add_argument("--out", type=Path, metavar="calibrated.toml", help="default: print it")
    parser.add_argument("--into", type=Path, metavar="site.toml", help="OUT: this, and the result")
    parser.add_argument("--plot", type=Path, metavar="calibrated.png", help="one page")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no notes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Calibrate and write. Raises TalusError."""
    from edge.config import load_config
    from export.calibrate.aside import put
    from export.calibrate.insert import inserted, write_whole
    from export.progress import Bars

    budgets = _budgets(args.budget)
    _check_files(args)
    config = load_config(args.site, site=True)
    station = config.station(args.station).name if args.station else config.stations[0].name
    bars = Bars(quiet=args.quiet)
    try:
        with bars.interruptible():
            found, warnings = _found(args, config, station, budgets, bars)
    finally:
        bars.close()
    text = _text(found, warnings)
    if args.into is not None:
        write_whole(args.out, inserted(_read(args.into), station, text))
    elif args.out is not None:
        put(args.out, lambda aside: aside.write_text(text, encoding="utf-8"))
    if args.plot is not None:
        from export.calibrate.plot import plot

        plot(args.plot, found)
    if args.json:
        from export.calibrate.values import values

        print(json.dumps(values(found, warnings), indent=1))
    elif args.out is None:
        print(text, end="")
    for path in (args.out, args.plot):
        if path is not None:
            bars.note(f"wrote {path}")


def _found(
    args: argparse.Namespace,
    config: Config,
    station: str,
    budgets: tuple[float, ...],
    bars: Bars,
) -> tuple[Calibration, tuple[str, ...]]:
    from export.calibrate.calibration import calibrate
    from export.commands.train import date_ms

    until_ms = date_ms(args.until) if args.until else None
    warnings = _warnings(config, station, args.data, until_ms, bars)
    found = calibrate(
        config, station, args.data, budgets=budgets, profile=args.profile, until_ms=until_ms,
        bars=bars,
    )  # fmt: skip
    return found, warnings


def _warnings(
    config: Config, station: str, data: list[str], until_ms: int | None, bars: Bars
) -> tuple[str, ...]:
    """Look at the history first; return what would spoil set points: jumps of an instrument."""
    from edge.decide import MOVING
    from export.history import advice, known_share, load_history
    from export.quality.findings import examine, lines

    bars.stage("history", 1)
    history = load_history(config, station, data, until_ms)
    bars.step("")
    for reason, count in history.rejected:
        bars.note(f"  rejected: {reason}: {count}{advice(reason)}")
    for name, share in known_share(history):
        bars.note(f"  {name}: known in {share:.0%} of the steps")
    channels = config.station(station).channels
    moving = tuple(c.name for c in channels if c.quantity in MOVING)
    findings = examine(
        history, moving, {c.name: c.quantity for c in channels}, {c.name: c.unit for c in channels}
    )
    for text in lines(findings):
        bars.note(text)
    return tuple(
        f"{f.text}; set points are taken from the history as it is"
        for f in findings
        if f.channel in moving and f.kind in _LOOK
    )


def _text(found: Calibration, warnings: tuple[str, ...]) -> str:
    import tomllib

    from export.calibrate.fragment import fragment

    text = fragment(found, warnings)
    tomllib.loads("[[station]]\n" + text)  # what is written can be read
    return text


def _budgets(level_4: float) -> tuple[float, ...]:
    from export.calibrate.set_points import BUDGET

    if not 0.001 <= level_4 <= 100.0:
        raise TalusError("--budget must be 0.001 .. 100 onsets of level 4 a station-year")
    return tuple(float(f"{level_4 * b / BUDGET[3]:.6g}") for b in BUDGET)


def _check_files(args: argparse.Namespace) -> None:
    """Find out before the long work whether its result can be written."""
    if args.into is not None and args.out is None:
        raise TalusError("--into needs --out: where the whole file is to be written")
    for path in (args.out, args.plot):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise TalusError(f"{path}: is a folder, or in a folder that does not exist")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TalusError(f"{path} is not UTF-8: {error.reason}") from error
