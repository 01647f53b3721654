"""``talus-export wheelhouse``: Talus in a folder that installs without network: for a Jetson."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_EXAMPLES = """\
examples:
  talus-export wheelhouse --for jetpack7 --out jetson/
  talus-export wheelhouse --for jetpack6 --out jetson/ --python-archive cpython-3.11-...tar.gz
  talus-export wheelhouse --for ubuntu24.04 --arch amd64 --out pc/
  sudo ./jetson/install.sh                        on the gateway

JetPack 7 is Ubuntu 24.04: its own Python 3.12 is used. JetPack 6 is Ubuntu 22.04 with Python 3.10,
and Talus needs 3.11: have python3.11 there (deadsnakes), or give a standalone build with
--python-archive (python-build-standalone, "install_only"). The models run on the CPU.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "wheelhouse",
        help="make a folder that installs Talus offline where no .deb is made for",
        description="Fetch all wheels for another machine, as locked, with a script that installs "
        "them in an environment of their own.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--for", dest="release", metavar="RELEASE",
                        help="jetpack6|7, ubuntu22.04|24.04, bookworm, trixie")  # fmt: skip
    parser.add_argument("--arch", default="arm64", metavar="ARCH", help="arm64 (default) or amd64")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    parser.add_argument("--slim", action="store_true", help="LiteRT as the only runtime")
    parser.add_argument("--python-archive", type=Path, metavar="FILE",
                        help="a standalone Python to go along")  # fmt: skip
    parser.add_argument("--wheels", type=Path, metavar="FOLDER",
                        help="take wheels from here, not from the network")  # fmt: skip
    parser.add_argument("--renew-lock", action="store_true",
                        help="for developers: lock the newest versions instead")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the folder. Raises TalusError, OSError."""
    from export.package.lock import renew
    from export.package.targets import RELEASES, known, target
    from export.package.wheelhouse import make_wheelhouse
    from export.package.wheels import FILES

    if args.renew_lock:
        for line in renew(FILES):
            print(line)
        return
    if args.release is None or args.out is None:
        raise TalusError("--for RELEASE and --out FOLDER are needed")
    known("--for", args.release, tuple(RELEASES))
    wanted = target(args.release, args.arch)
    archive: Path | None = args.python_archive
    if archive is not None and not archive.is_file():
        raise TalusError(f"--python-archive {archive}: no such file")
    make_wheelhouse(wanted, args.out, slim=args.slim, python_archive=archive, wheels=args.wheels)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}   {size / 1e6:.0f} MB: copy it there, then sudo ./install.sh")
    if wanted.release.note and archive is None:
        print(f"{args.release}: {wanted.release.note}")
