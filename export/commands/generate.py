"""``talus-export generate``: the history of a made-up slope."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_MAX_DAYS = 36_500.0
_EXAMPLES = """\
examples:
  talus-export generate --days 120 --out history.csv
  talus-export generate --days 60 --seed 7 --failure-day 50 --out failing.csv
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        help="write the history of a made-up slope",
        description="Write the history of a made-up slope, to try things on.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failure-day", type=float, help="it fails on this day")
    parser.add_argument("--out", type=Path, required=True, metavar="history.csv")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the CSV. Raises TalusError."""
    from export.slope import generate, write_csv

    if not 1.0 <= args.days <= _MAX_DAYS or args.seed < 0:
        raise TalusError(f"--days must be 1 .. {_MAX_DAYS:g}, --seed not below 0")
    if args.failure_day is not None and not args.failure_day > 0:
        raise TalusError("--failure-day must be above 0")
    write_csv(generate(args.days, args.seed, failure_day=args.failure_day), args.out)
