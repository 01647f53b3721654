"""``talus-export update``: a bundle trained on with new history, without forgetting the old."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from edge.manifest import Manifest
    from export.models.artifacts import Exported
    from export.models.rehearsal import Rehearsal
    from export.models.update import Updated

_EXAMPLES = """\
examples:
  talus-export update bundle/ --site site.toml --data since-spring.csv --out updated/
  talus-export gate updated/ --site site.toml --data since-spring.csv
  talus-export sign updated/ --key talus.key

The GRU goes on from its weights; detectors, features and scales stay as they are. What is new
must lie after what the bundle was trained on.
exit codes: 0 written, 3 the new network is not better on both periods: nothing written
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "update",
        help="train a bundle on with new history",
        description="Go on training the GRU of a bundle on new history and on stored stretches of "
        "the old; written only if it is better on the new period and no worse on the old.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="bundle/")
    parser.add_argument("--site", type=Path, required=True, metavar="site.toml")
    parser.add_argument("--data", action="append", required=True, metavar="[PORT=]FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="updated/")
    parser.add_argument("--station", default="", help="default: [train] station, or the first")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Update; returns the exit code. Raises TalusError."""
    from edge.bundle import read_manifest
    from edge.bundle_fit import check_schema
    from edge.trust import ANY_SIGNER
    from export.history import load_history
    from export.models.bundle import check_out
    from export.models.rehearsal import read_rehearsal
    from export.models.update import update
    from export.progress import Bars
    from export.quality.findings import examine_station, lines, refuse
    from export.quiet import native_silence
    from export.train_config import load_site

    check_out(args.out)
    config, wanted = load_site(args.site, args.station)
    manifest = read_manifest(args.bundle, ANY_SIGNER)
    check_schema(config.station(wanted.station), manifest)
    rehearsal = read_rehearsal(args.bundle)
    history = load_history(config, wanted.station, args.data)
    if history.sha256 == manifest.data_sha256:
        raise TalusError("this is the very history the bundle was trained on: nothing is new")
    if history.channels != tuple(c.name for c in manifest.channels):
        raise TalusError("the site's channels are not in the order of the bundle's: train anew")
    bars = Bars(quiet=args.quiet)
    station = config.station(wanted.station)
    findings = examine_station(history, manifest.forecaster.targets, station)
    for line in lines(findings):
        bars.note(line)
    refuse(findings, anew=False)
    try:
        with native_silence():
            importlib.import_module("tensorflow")
        with bars.interruptible():
            found = update(manifest, rehearsal, history, bars)
            print(found.reason)
            if not found.better:
                print("not better on both periods: nothing was written, the old bundle stands")
                return 3
            write_updated(args.bundle, args.out, manifest, rehearsal, found, bars, history.sha256)
    finally:
        bars.close()
    print(f"wrote {args.out}: judge it on later data with talus-export gate, then sign it")
    return 0


def write_updated(
    old: Path,
    out: Path,
    manifest: Manifest,
    rehearsal: Rehearsal,
    found: Updated,
    bars: Any,
    data_sha256: str,
) -> None:
    """Write the bundle with its GRU exchanged; all else is as it was."""
    import numpy as np

    from export.models.artifacts import export_model
    from export.models.bundle import bundled_files, write_bundle
    from export.models.forecaster import decide
    from export.models.gru_export import ExportableGru
    from export.models.rehearsal import FILE, packed
    from export.models.thresholds import with_artifacts
    from export.models.update import updated_spec

    spec = updated_spec(manifest.forecaster, found)
    model = ExportableGru(found.weights)
    made: Exported = export_model("gru", model, found.rows, bars, decide(spec))
    spec = with_artifacts(spec, made)
    length = min(rehearsal.x.shape[1], found.x.shape[1])
    x = np.concatenate([rehearsal.x[:, :length], rehearsal.judge_x[:, :length], found.x])
    y = np.concatenate([rehearsal.y[:, :length], rehearsal.judge_y[:, :length], found.y])
    gone = {a.file for a in manifest.forecaster.artifacts} | {spec.golden}
    files = {k: v for k, v in bundled_files(old, manifest).items() if k not in gone}
    files |= {**made.files, FILE: packed(found.weights, x, y)}
    metrics = dict(manifest.metrics) | {
        "update.new.before": found.new_before,
        "update.new.after": found.new_after,
        "update.old.before": found.old_before,
        "update.old.after": found.old_after,
    }
    fresh = replace(
        manifest,
        version=manifest.version + 1,
        forecaster=spec,
        data_sha256=data_sha256,
        metrics=tuple(metrics.items()),
    )
    write_bundle(out, fresh, files, {spec.golden: made.golden})
