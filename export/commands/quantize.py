"""``talus-export quantize``: an existing model in the precisions asked for, each proven."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from export.models.chooser import Choice
    from export.models.quantize import Source

_EXAMPLES = """\
examples:
  talus-export quantize bundle/ --out forms/
  talus-export quantize bundle/ --out forms/ --precision int8,float16 --device pi4
  talus-export quantize model.keras --out forms/                  float16, dynamic, float32
  talus-export quantize model.keras --calibrate x.npy --precision int8 --out forms/
  talus-export quantize step.keras --calibrate x.npy --device npu --out forms/

SOURCE is the folder of a bundle (its GRU), or a Keras model x -> y, or (x, state) -> (y,
next_state). x.npy is float32[n, ...]: inputs as the model meets them, in order; of a bundle,
features. Without it a bundle is driven over the stretches of history that it carries.
Every file is driven over 20,000 calls in every runtime installed here, against the weights.
What is over its limit is in the matrix, not in the folder.
devices: pi3 (tflite-runtime), pi4, pi5 (LiteRT), jetson (ONNX Runtime), npu (integers alone),
this; times are of this machine, stretched by an estimate of how much slower the device is.
exit codes: 0 written, 3 nothing is within its limit, or nothing fits the device; 1 bad input
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "quantize",
        help="convert an existing model or a bundle's GRU, prove each form, choose one",
        description="Convert a model to each precision, and prove each over a long stream.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="model.keras, .h5, or bundle/")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--precision", default="", metavar="LIST", help="default: all")
    parser.add_argument("--calibrate", default="", metavar="x.npy", help="inputs, in order")
    parser.add_argument("--device", default="", metavar="NAME", help="choose for this device")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, prove, write, choose; returns the exit code. Raises TalusError."""
    from export.folder import check_folder, write_folder
    from export.models.artifacts import LIMITS
    from export.models.chooser import choose
    from export.models.devices import device
    from export.models.matrix import NOTE, table
    from export.models.quantize import checked_precisions, quantize
    from export.progress import Bars
    from export.quiet import native_silence

    check_folder(args.out)
    wanted = device(args.device) if args.device else None
    bundle = args.source.is_dir()
    calibrated = bundle or bool(args.calibrate)
    precisions = checked_precisions(args.precision, calibrated=calibrated)
    bars = Bars(quiet=args.quiet)
    try:
        with native_silence():
            importlib.import_module("tensorflow")
        source = _of_bundle(args) if bundle else _of_keras(args)
        made = quantize(source, precisions, bars)
    finally:
        bars.close()
    print(table(made.rows))
    print(f"\n{NOTE}")
    if not source.calibrated:
        left = ", ".join(p for p in LIMITS if p not in precisions)
        print(f"driven over standard-normal inputs: give real ones with --calibrate"
              f"{f' (left out: {left})' if not args.precision else ''}")  # fmt: skip
    if not made.files:
        print("nothing is within its limit in any runtime here: nothing was written")
        return 3
    write_folder(args.out, made.files)
    print(f"wrote {args.out}")
    if wanted is None:
        return 0
    choice = choose(made.rows, wanted, made.integer_files)
    print(said(choice))
    return 0 if choice.row is not None else 3


def said(choice: Choice) -> str:
    """Return the choice and what was passed over, for a person."""
    passed = (f"  passed over {line}" for line in choice.passed_over)
    return "\n".join(["", choice.why, *passed])


def _of_bundle(args: argparse.Namespace) -> Source:
    import numpy as np

    from edge.bundle import read_manifest
    from edge.trust import ANY_SIGNER
    from export.models.forecaster import decide
    from export.models.gru_export import ExportableGru
    from export.models.quantize import Source, read_rows
    from export.models.rehearsal import read_rehearsal

    manifest = read_manifest(args.source, ANY_SIGNER)
    kept = read_rehearsal(args.source)
    size = kept.weights.kernel.shape[0]
    if args.calibrate:
        rows = read_rows(args.calibrate, (size,))
    else:
        rows = np.concatenate([kept.x, kept.judge_x]).reshape(-1, size)
    model = ExportableGru(kept.weights)
    return Source("gru", model, rows, decide(manifest.forecaster), calibrated=True)


def _of_keras(args: argparse.Namespace) -> Source:
    from export.models.keras_export import SUFFIXES, input_shape, read_keras
    from export.models.quantize import Source, made_up, no_alarm, read_rows

    if args.source.suffix not in SUFFIXES:
        raise TalusError(f"{args.source}: no bundle (a folder) and no {' or '.join(SUFFIXES)} file")
    model = read_keras(args.source)
    shape = input_shape(model)
    rows = read_rows(args.calibrate, shape) if args.calibrate else made_up(shape)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in args.source.stem)
    return Source(name, model, rows, no_alarm, calibrated=bool(args.calibrate))
