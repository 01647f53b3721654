"""``talus-export demo-bundle``: the bundle shipped for the demo, made anew."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo-bundle", help="train the bundle shipped for the demo")
    parser.add_argument("--out", type=Path, help="default: edge/demo/bundle of this package")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Generate 120 days, train on them, write the bundle."""
    from edge.bench import demo_bundle
    from export.commands.train import train_to
    from export.slope import generate, write_csv

    out = args.out or demo_bundle()
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history.csv"
        write_csv(generate(days=120, seed=1), history)
        train_to(demo_bundle().parent / "site.toml", [str(history)], out)
