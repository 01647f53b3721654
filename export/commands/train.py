"""``talus-export train``: from a site's history to a bundle."""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.config import Config
    from export.history import History
    from export.models.train import Trained
    from export.progress import Bars
    from export.quality.finding import Finding
    from export.train_config import TrainConfig

_EXAMPLES = """\
examples:
  talus-export train --site site.toml --data history.csv --out bundle/
  talus-export train --site site.toml --station north --data logger=north.dat --out north/
  talus-export train --site site.toml --data history.csv --until 2025-01-01 --out bundle/
  talus-export train --site site.toml --data history.csv --out bundle/ --report page.html
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="train the models of a station, write a bundle",
        description="Check a history, train, convert, prove, judge, and write a bundle and a page. "
        "Stopped by Ctrl-C, the same command goes on after the last part that was finished.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--site", type=Path, required=True, metavar="site.toml")
    parser.add_argument("--data", action="append", required=True, metavar="[PORT=]FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="bundle/")
    parser.add_argument("--report", type=Path, metavar="page.html", help="default: OUT.report.html")
    parser.add_argument("--station", default="", help="default: [train] station, or the first")
    parser.add_argument("--until", default="", help="leave out all from this date on (ISO, UTC)")
    parser.add_argument("--fresh", action="store_true", help="do not go on after a stop: anew")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train and write. Raises TalusError."""
    from export.folder import check_file

    out = args.out.resolve()
    if args.report is not None:
        check_file(args.report, "--report")
    train_to(
        args.site,
        args.data,
        args.out,
        station=args.station,
        until=args.until,
        report=args.report or out.with_name(f"{out.name}.report.html"),
        resume_in=out.with_name(f".{out.name}.training"),
        fresh=args.fresh,
        quiet=args.quiet,
    )


def train_to(
    site: Path,
    data: list[str],
    out: Path,
    *,
    station: str = "",
    until: str = "",
    report: Path | None = None,
    resume_in: Path | None = None,
    fresh: bool = False,
    quiet: bool = False,
) -> Trained:
    """Train the models of one station; write its bundle, and the page if one is asked for."""
    from export.checkpoint import Checkpoint
    from export.models.bundle import check_out, write_bundle
    from export.models.train import train
    from export.progress import Bars
    from export.quality.findings import examine_station, lines, refuse
    from export.quiet import native_silence
    from export.train_config import load_site

    config, wanted = load_site(site, station)
    check_out(out)
    bars = Bars(quiet=quiet)
    history = _history(config, wanted, data, until, bars)
    findings = examine_station(history, wanted.targets, config.station(wanted.station))
    for line in lines(findings):
        bars.note(line)
    refuse(findings)
    if fresh and resume_in is not None:
        shutil.rmtree(resume_in, ignore_errors=True)
    checkpoint = Checkpoint(resume_in, f"{__version__} {history.sha256} {wanted!r}")
    try:
        with native_silence():
            importlib.import_module("tensorflow")
        with bars.interruptible():
            trained = train(config, wanted, history, bars, checkpoint)
    finally:
        bars.close()
    if checkpoint.resumed:
        bars.note(f"{checkpoint.resumed} parts were finished before and not trained again")
    files = {**trained.files, **accompanying(trained)}
    write_bundle(out, trained.manifest, files, trained.golden)
    if report is not None:
        write_report(report, trained, findings)
    checkpoint.done()
    if not quiet:
        from export.report.summary import summary

        print(summary(trained))
        print(f"wrote {out}" + (f" and {report}" if report else ""))
    return trained


def _history(
    config: Config, wanted: TrainConfig, data: list[str], until: str, bars: Bars
) -> History:
    from export.history import advice, known_share, load_history

    history = load_history(config, wanted.station, data, date_ms(until) if until else None)
    bars.note(f"{wanted.station}: {len(history.values)} steps of history, {_span(history)}")
    for reason, count in history.rejected:
        bars.note(f"  rejected: {reason}: {count}{advice(reason)}")
    for name, share in known_share(history):
        bars.note(f"  {name}: known in {share:.0%} of the steps")
    return history


def accompanying(trained: Trained) -> dict[str, bytes]:
    """Return what a bundle holds for people: the model card and the parity matrix."""
    from export.report.card import FILE, card

    rows = [asdict(row) for row in trained.parity]
    return {FILE: card(trained), "parity.json": json.dumps(rows, indent=1).encode() + b"\n"}


def write_report(path: Path, trained: Trained, findings: Sequence[Finding]) -> None:
    """Write the page; written aside first, so that there is never half of it."""
    from export.folder import write_file
    from export.plots.history import plot_history
    from export.quality.findings import lines
    from export.report.page import page

    m = trained.material
    with tempfile.TemporaryDirectory() as folder:
        png = Path(folder) / "history.png"
        plot_history(png, m.history, tuple(findings), m.parts)
        text = page(trained, lines(findings), png.read_bytes())
    write_file(path, text.encode())


def _span(history: History) -> str:
    from datetime import UTC, datetime

    ends = (int(history.time_ms[i]) / 1000 for i in (0, -1))
    return " to ".join(f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M}" for end in ends)


def date_ms(text: str) -> int:
    """Return a date as ms since 1970. Raises TalusError."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TalusError(f"--until {text!r}: {error}") from error
    return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
