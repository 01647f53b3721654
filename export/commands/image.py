"""``talus-export image``: the image of a card from a root file system, the same bytes each time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_EXAMPLES = """\
examples:
  mmdebstrap --architectures=arm64 --include=systemd-sysv,udev,python3,openssl bookworm root.tar
  talus-export image --root root.tar --card card/ --out gateway.img
  talus-export image --root root/ --boot firmware/ --cmdline "root=PARTUUID=7a1d5000-02 rootwait"
                     --out gateway.img

partitions: 1 bootfs (FAT), 2 rootfs (ext4), 3 talus-data (ext4, mounted at /var/lib/talus, grown
to the end of the card at first boot). Neither root nor emulation is needed. Two builds of the same
inputs are the same bytes; SOURCE_DATE_EPOCH sets the one date that stands in them.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "image",
        help="build the image of a card from a root file system, reproducibly",
        description="Build an image of three partitions from a root file system (a folder or a "
        "tarball) and the folder that talus-export provision wrote. For Raspberry Pi OS as it is "
        "downloaded: talus-export provision --image.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR|TAR")
    parser.add_argument("--card", type=Path, metavar="card/", help="of talus-export provision")
    parser.add_argument("--boot", type=Path, metavar="DIR",
                        help="kernel, initrd, firmware: into the boot partition")  # fmt: skip
    parser.add_argument("--cmdline", default="", metavar="TEXT", help="into cmdline.txt there")
    parser.add_argument("--boot-mb", type=int, default=256, metavar="MIB")
    parser.add_argument("--root-mb", type=int, default=0, metavar="MIB",
                        help="default: what it takes, and some room")  # fmt: skip
    parser.add_argument("--data-mb", type=int, default=64, metavar="MIB",
                        help="before it grows (default: 64)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.img")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Build it, say its sha256. Raises TalusError, OSError."""
    from export.image.build import TIME_S, Wanted, build
    from export.progress import Bars
    from export.source_date import FAT_BEGINS_S, source_date_s

    out: Path = args.out
    if not out.parent.is_dir() or out.is_dir():
        raise TalusError(f"--out {out}: a file, in a folder that is there")
    if args.boot is not None and not args.boot.is_dir():
        raise TalusError(f"--boot {args.boot}: there is no such folder")
    if "\n" in args.cmdline:
        raise TalusError("--cmdline: is one line")
    wanted = Wanted(args.root, args.card, args.boot, args.cmdline, args.boot_mb, args.root_mb,
                    args.data_mb, time_s=source_date_s(TIME_S, since_s=FAT_BEGINS_S))  # fmt: skip
    bars = Bars()
    digest = build(out, wanted, bars.note)
    print(f"{out}   {out.stat().st_size // 1024**2} MiB, sha256 {digest}")
