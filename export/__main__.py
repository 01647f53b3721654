"""The command ``talus-export``: from a site's history to a signed bundle."""

from __future__ import annotations

import argparse
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
    "generate",
    "demo_bundle",
)
_EXAMPLES = """\
examples:
  talus-export generate --days 120 --out history.csv
  talus-export train --site site.toml --data history.csv --out bundle/
  talus-export train --help                       each command has examples of its own

exit codes: 0 done, 1 something is wrong (it says what), 2 wrong usage, 130 stopped by Ctrl-C
"""
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
    except (TalusError, OSError) as error:
        print(f"talus-export {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        text = "stopped; nothing was written" + _AGAIN.get(args.command, "")
        print(f"\ntalus-export {args.command}: {text}", file=sys.stderr)
        return 130
    except MemoryError:
        text = "out of memory: a shorter history (--until), a longer step_s, or fewer channels"
        print(f"talus-export {args.command}: {text}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        text = f"{error.name} is not installed: pip install '.[export]' where Talus was cloned"
        print(f"talus-export {args.command}: {text}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
