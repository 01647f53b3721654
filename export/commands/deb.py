"""``talus-export deb``: Talus for a Debian gateway, as a package that installs without network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_EXAMPLES = """\
examples:
  talus-export deb --arch arm64 --suite trixie              for Raspberry Pi OS of today
  talus-export deb --arch arm64 --suite bookworm --slim     small, numpy is the system's
  talus-export deb --arch arm64 --suite trixie --wheels wheelhouse/        without network
  dpkg -i talus-edge_*.deb                                  on the gateway

Full packages need nothing that a stock system has not; slim ones need python3-numpy (and what it
needs) from apt. Two runs give the same bytes; SOURCE_DATE_EPOCH sets the time of the files.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "deb",
        help="make the package that a gateway is installed from",
        description="Make a .deb of Talus for another machine: fetched as locked, no emulation.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--arch", required=True, metavar="ARCH", help="arm64 or amd64")
    parser.add_argument("--suite", required=True, metavar="SUITE", help="bookworm or trixie")
    parser.add_argument("--slim", action="store_true", help="LiteRT alone, numpy from apt")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER",
                        help="where to put it (default: here)")  # fmt: skip
    parser.add_argument("--wheels", type=Path, metavar="FOLDER",
                        help="take wheels from here, not from the network")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the package. Raises TalusError, OSError."""
    from export.folder import check_file, write_file
    from export.package.deb import NAME, deb_version, make_deb
    from export.package.targets import SUITES, known, target

    known("--suite", args.suite, SUITES)
    wanted = target(args.suite, args.arch)
    version = deb_version(wanted, slim=args.slim)
    path: Path = args.out / f"{NAME}_{version}_{args.arch}.deb"
    if args.out.suffix == ".deb":
        raise TalusError(f"--out {args.out}: name a folder; the file's name says what is in it")
    check_file(path, "--out")
    deb = make_deb(wanted, slim=args.slim, wheels=args.wheels)
    write_file(path, deb.content)
    print(f"{path}   {len(deb.content) / 1e6:.1f} MB")
    print(f"sha256 {deb.sha256}")
