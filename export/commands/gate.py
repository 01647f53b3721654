"""``talus-export gate``: whether the GRU of a bundle is still better than doing without."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.models.replayed import Replayed

_EXAMPLES = """\
examples:
  talus-export gate bundle/ --site site.toml --data history.csv --since 2026-06-01
  talus-export gate bundle/ --site site.toml --data new.csv --json gate.json
  talus-export gate bundle/ --site site.toml --data new.csv --out judged/   (then sign it)

Judge on data that the bundle was not trained on: name its first day with --since.
exit codes: 0 the GRU is better than every naive forecast, 3 it is not, 1 something is wrong
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "gate",
        help="judge an existing bundle on a history",
        description="Stream a history through a bundle as a gateway would: skill against every "
        "naive forecast, and how often each score would have been over its threshold.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="bundle/")
    parser.add_argument("--site", type=Path, required=True, metavar="site.toml")
    parser.add_argument("--data", action="append", required=True, metavar="[PORT=]FILE")
    parser.add_argument("--station", default="", help="default: [train] station, or the first")
    parser.add_argument("--since", default="", help="judge from this date on (ISO, UTC)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was found")
    parser.add_argument("--out", type=Path, metavar="judged/", help="a copy, armed as judged")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge; returns the exit code. Raises TalusError."""
    from edge.bundle import load_bundle
    from edge.bundle_fit import check_schema
    from edge.config import RuntimeConfig
    from edge.runtime import RUNTIMES
    from edge.trust import ANY_SIGNER
    from export.commands.train import date_ms
    from export.folder import check_file, write_file
    from export.history import load_history
    from export.models.bundle import bundled_files, check_out, write_bundle
    from export.models.replayed import replay_bundle
    from export.quality.findings import examine_station, lines, refuse
    from export.train_config import load_site

    if args.out is not None:
        check_out(args.out)
    if args.json is not None:
        check_file(args.json, "--json")
    config, wanted = load_site(args.site, args.station)
    runtimes = RuntimeConfig(tuple(RUNTIMES), "auto")
    bundle = load_bundle(args.bundle, runtimes, ANY_SIGNER)
    station = config.station(wanted.station)
    check_schema(station, bundle.manifest)
    history = load_history(config, wanted.station, args.data)
    if history.sha256 == bundle.manifest.data_sha256 and not args.since:
        print("this is the very history it was trained on: its skill here means little; "
              "see --since", file=sys.stderr)  # fmt: skip
    findings = examine_station(history, bundle.manifest.forecaster.targets, station)
    for line in lines(f for f in findings if f.severity != "note"):
        print(line, file=sys.stderr)
    refuse(findings, anew=False)
    since = date_ms(args.since) if args.since else int(history.time_ms[0])
    found = replay_bundle(bundle, station, history, since)
    print(said(bundle.manifest.label, found))
    if args.json is not None:
        rows = [asdict(s) | {"skill": s.skill, "best_naive": s.best_naive} for s in found.skills]
        values = {"armed": found.verdict.armed, "reason": found.verdict.reason, "skills": rows}
        write_file(args.json, json.dumps(values, indent=1).encode() + b"\n")
    if args.out is not None:
        m = bundle.manifest
        judged = replace(m.forecaster, armed=found.verdict.armed, reason=found.verdict.reason)
        write_bundle(args.out, replace(m, forecaster=judged), bundled_files(args.bundle, m), {})
        print(f"wrote {args.out}: sign it with talus-export sign")
    return 0 if found.verdict.armed else 3


def said(label: str, found: Replayed) -> str:
    """Return what was found, for a person."""
    lines = [f"{label} over {found.steps} steps", ""]
    for s in found.skills:
        naive = "  ".join(f"{kind} {rmse:.4g}" for kind, rmse in s.naive)
        lines.append(
            f"{s.target} at {s.horizon} steps: RMSE {s.rmse:.4g} (skill {s.skill:+.3f} "
            f"+- {s.standard_error:.3f})  {naive}"
        )
    lines.append("")
    for kind, armed, share in found.over:
        state = "armed" if armed else "shadow"
        lines.append(f"{kind:<12} {state:<7} over its threshold in {share:.3%} of its scores")
    lines += ["", f"gru: {'ARMED' if found.verdict.armed else 'shadow'}: {found.verdict.reason}"]
    return "\n".join(lines)
