"""The command ``talus-export``: from a site's history to a signed-off bundle."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from edge import __version__
from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from export.history import History

_MAX_DAYS = 36_500.0
_EXAMPLES = """\
examples:
  talus-export generate --days 120 --out history.csv
  talus-export train --site site.toml --data history.csv --out bundle/
  talus-export train --site site.toml --station north --data logger=north.dat --out north/
  talus-export demo-bundle                        make edge/demo/bundle anew

exit codes: 0 done, 1 something is wrong (it says what), 2 wrong usage
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="talus-export",
        description="Train, convert, prove and bundle the models of one slope.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"talus-export {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train the models of a station, write a bundle")
    train.add_argument("--site", type=Path, required=True, metavar="site.toml")
    train.add_argument("--data", action="append", required=True, metavar="[PORT=]FILE")
    train.add_argument("--out", type=Path, required=True, metavar="bundle/")
    train.add_argument("--station", default="", help="default: [train] station, or the first")
    train.add_argument("--until", default="", help="leave out all from this date on (ISO, UTC)")
    train.add_argument("--quiet", action="store_true", help="no progress bars")
    generate = commands.add_parser("generate", help="write the history of a made-up slope")
    generate.add_argument("--days", type=float, default=120.0)
    generate.add_argument("--seed", type=int, default=1)
    generate.add_argument("--failure-day", type=float, help="it fails on this day")
    generate.add_argument("--out", type=Path, required=True, metavar="history.csv")
    demo = commands.add_parser("demo-bundle", help="train the bundle shipped for the demo")
    demo.add_argument("--out", type=Path, help="default: edge/demo/bundle of this package")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    # The same sums in the same order on every CPU: a bundle can be made again from its seed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    warnings.filterwarnings("ignore", message="(?s).*LiteRT interpreter", category=UserWarning)
    commands: dict[str, Callable[[argparse.Namespace], None]] = {
        "train": _train,
        "generate": _generate,
        "demo-bundle": _demo_bundle,
    }
    try:
        commands[args.command](args)
    except TalusError as error:
        print(f"talus-export {args.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"talus-export {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ntalus-export {args.command}: stopped; nothing was written", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed: pip install '.[export]' where Talus was cloned"
        print(f"talus-export {args.command}: {text}", file=sys.stderr)
        return 1
    return 0


def _train(args: argparse.Namespace) -> None:
    train_to(
        args.site,
        args.data,
        args.out,
        station=args.station,
        until=args.until,
        quiet=args.quiet,
    )


def train_to(
    site: Path,
    data: list[str],
    out: Path,
    *,
    station: str = "",
    until: str = "",
    quiet: bool = False,
) -> None:
    """Train the models of one station and write its bundle."""
    from export.history import advice, known_share, load_history
    from export.models.bundle import check_out, write_bundle
    from export.models.train import train
    from export.progress import Bars
    from export.quiet import native_silence
    from export.train_config import load_site

    config, wanted = load_site(site, station)
    check_out(out)
    bars = Bars(quiet=quiet)
    history = load_history(config, wanted.station, data, _date_ms(until) if until else None)
    bars.note(f"{wanted.station}: {len(history.values)} steps of history, {_span(history)}")
    for reason, count in history.rejected:
        bars.note(f"  rejected: {reason}: {count}{advice(reason)}")
    for name, share in known_share(history):
        bars.note(f"  {name}: known in {share:.0%} of the steps")
    try:
        with native_silence():
            importlib.import_module("tensorflow")
        with bars.interruptible():
            trained = train(config, wanted, history, bars)
    finally:
        bars.close()
    write_bundle(out, trained.manifest, trained.files, trained.golden)
    if not quiet:
        from export.report import summary

        print(summary(trained))
        print(f"wrote {out}")


def _span(history: History) -> str:
    from datetime import UTC, datetime

    ends = (int(history.time_ms[i]) / 1000 for i in (0, -1))
    return " to ".join(f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M}" for end in ends)


def _date_ms(text: str) -> int:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TalusError(f"--until {text!r}: {error}") from error
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def _generate(args: argparse.Namespace) -> None:
    from export.slope import generate, write_csv

    if not 1.0 <= args.days <= _MAX_DAYS or args.seed < 0:
        raise TalusError(f"--days must be 1 .. {_MAX_DAYS:g}, --seed not below 0")
    if args.failure_day is not None and not args.failure_day > 0:
        raise TalusError("--failure-day must be above 0")
    write_csv(generate(args.days, args.seed, failure_day=args.failure_day), args.out)


def _demo_bundle(args: argparse.Namespace) -> None:
    import tempfile

    from edge.bench import demo_bundle
    from export.slope import generate, write_csv

    out = args.out or demo_bundle()
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history.csv"
        write_csv(generate(days=120, seed=1), history)
        train_to(demo_bundle().parent / "site.toml", [str(history)], out)


if __name__ == "__main__":
    sys.exit(main())
