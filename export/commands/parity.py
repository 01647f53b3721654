"""``talus-export parity``: whether a bundle still computes what its weights say."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_EXAMPLES = """\
examples:
  talus-export parity bundle/
  talus-export parity bundle/ --steps 2000 --json parity.json --markdown parity.md

Every artifact is driven in every runtime installed here over the stretches of history that the
bundle carries: the GRU against its weights in float64, a detector against its own float32
artifact in the first runtime that reads it.
exit codes: 0 all that is offered is within its limit, 3 something is not, 1 bad input
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "parity",
        help="measure every artifact of a bundle again, in every runtime here",
        description="Drive every artifact of a bundle over a long stream, and compare.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="bundle/")
    parser.add_argument("--steps", type=int, default=20_000, metavar="N", help="default: 20000")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the matrix")
    parser.add_argument("--markdown", type=Path, metavar="OUT", help="write it as a page")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and tell; returns the exit code. Raises TalusError."""
    import sys

    from edge.bundle import read_manifest
    from edge.runtime import installed
    from edge.trust import ANY_SIGNER
    from export.folder import write_file
    from export.models import remeasure
    from export.models.artifacts import matrix
    from export.models.matrix import NOTE, markdown, table
    from export.models.rehearsal import read_rehearsal

    _check(args)
    manifest = read_manifest(args.bundle, ANY_SIGNER)
    kept = read_rehearsal(args.bundle)
    if not installed():
        raise TalusError("no inference runtime is installed: pip install ai-edge-litert")
    size = len(manifest.features.terms)
    if kept.weights.kernel.shape[0] != size or kept.x.shape[2] != size:
        raise TalusError(f"{args.bundle}: training.npz is of other features: train anew")
    print(f"{manifest.label}: gru ...", file=sys.stderr)
    rows = remeasure.gru_rows(args.bundle, manifest.forecaster, kept, args.steps)
    for spec in manifest.detectors:
        print(f"{manifest.label}: {spec.name} ...", file=sys.stderr)
        rows += remeasure.detector_rows(args.bundle, manifest, spec, kept, args.steps)
    print(table(rows))
    print(f"\n{NOTE}")
    if args.json is not None:
        write_file(args.json, matrix(rows))
    if args.markdown is not None:
        write_file(args.markdown, markdown(rows, f"Parity of {manifest.label}").encode())
    detectors = (a for spec in manifest.detectors for a in spec.artifacts)
    artifacts = (*manifest.forecaster.artifacts, *detectors)
    for runtime in sorted(remeasure.absent(artifacts, rows)):
        print(f"not measured: {runtime} is offered and not installed here")
    wrong = remeasure.broken(artifacts, rows)
    for line in wrong:
        print(f"WRONG: {line}")
    return 3 if wrong else 0


def _check(args: argparse.Namespace) -> None:
    from export.folder import check_file
    from export.models.remeasure import FEWEST_STEPS

    if args.steps < FEWEST_STEPS:
        raise TalusError(f"--steps {args.steps}: {FEWEST_STEPS} at least")
    for option in ("json", "markdown"):
        path = getattr(args, option)
        if path is not None:
            check_file(path, f"--{option}")
