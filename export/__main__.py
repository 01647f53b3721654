"""The command ``talus-export``: from a site's history to a signed bundle."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from edge import __version__
from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    "train",
    "gate",
    "quantize",
    "parity",
    "update",
    "keygen",
    "sign",
    "sign_firmware",
    "sign_update",
    "generate",
    "calibrate",
    "broker",
    "command",
    "deb",
    "provision",
    "image",
    "enrol",
    "wheelhouse",
    "demo_bundle",
)
_EXAMPLES = """\
examples:
  talus-export generate --days 120 --out history.csv
  talus-export train --site site.toml --data history.csv --out bundle/
  talus-export train --help                       each command has examples of its own

exit codes: 0 done, 1 something is wrong (it says what), 2 wrong usage, 130 stopped by Ctrl-C
"""
_FULL = "the disk is full, nothing is left half written; make room"
_AGAIN = {"train": "; the same command goes on after the last part that was finished"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="talus-export",
        description="Train, convert, prove, judge and sign the models of one slope.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"talus-export {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        import_module(f"export.commands.{name}").add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    # The same sums in the same order on every CPU: a bundle can be made again from its seed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    warnings.filterwarnings("ignore", message="(?s).*LiteRT interpreter", category=UserWarning)
    try:
        return int(args.run(args) or 0)
    except KeyboardInterrupt:
        text = "stopped; nothing was written" + _AGAIN.get(args.command, "")
        print(f"\ntalus-export {args.command}: {text}", file=sys.stderr)
        return 130
    except Exception as error:
        text = _told(error, args.command)
        if not text:
            raise
        print(f"talus-export {args.command}: {text}", file=sys.stderr)
        return 1


def _told(error: Exception, command: str) -> str:
    """Return an error in words for a person, "" for one that nobody foresaw."""
    said = str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{said}: {_FULL}{_AGAIN.get(command, '')}"
    if isinstance(error, (TalusError, OSError)):
        return said
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: pip install '.[export]' where Talus was cloned"
    # The loader of TensorFlow's libraries, and TensorFlow itself, run out of it in their own words.
    loader = isinstance(error, ImportError) and ("map segment" in said or "allocate" in said)
    if loader or isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "out of memory: a shorter history (--until), a longer step_s, or fewer channels"
    return ""


if __name__ == "__main__":
    sys.exit(main())
