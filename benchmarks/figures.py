"""What every benchmark shares: its options, the machine's name, and the flat JSON of figures."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# benchmarks/export.py is named as the package is, and Python looks beside a script first: from
# here on it looks there last. So this is imported before anything of export.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [*(p for p in sys.path if Path(p).resolve() != _HERE), str(_HERE)]


def parse(
    description: str | None,
    *,
    data: bool = False,
    needed: bool = True,
    markdown: bool = False,
    add: Callable[[argparse.ArgumentParser], object] | None = None,
) -> argparse.Namespace:
    """Read the options; with ``data``, --data DIR: stop where it is absent, if it is ``needed``.

    ``add`` adds what one benchmark alone knows.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under 3 minutes on 2 cores")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    if data:
        parser.add_argument("--data", type=Path, metavar="DIR", help="real monitoring data")
    if data and needed:
        parser.add_argument("--png", type=Path, metavar="OUT", help="where the picture goes")
    if markdown:
        parser.add_argument("--markdown", type=Path, metavar="OUT", help="where the tables go")
    if add is not None:
        add(parser)
    args = parser.parse_args()
    if data and (args.data is not None or needed) and not (args.data and args.data.is_dir()):
        print(
            f"--data: {args.data}: no such folder; this benchmark needs real data", file=sys.stderr
        )
        sys.exit(2)
    for option in ("json", "png", "markdown"):
        path = getattr(args, option, None)
        if path is not None and not path.absolute().parent.is_dir():
            print(f"--{option}: {path.parent}: no such folder", file=sys.stderr)
            sys.exit(2)
    return args


def machine() -> str:
    """Return the name of this machine, as every figure is printed with it."""
    node = os.uname()
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        model = node.machine
    return f"{node.nodename}, {model}, {os.cpu_count()} CPUs, Linux {node.release}"


def write(figures: dict[str, float], path: Path | None) -> None:
    """Print the figures, and write them as one flat object."""
    print()
    for name, value in figures.items():
        print(f"{name:<22} {value:.4g}" if isinstance(value, float) else f"{name:<22} {value}")
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
