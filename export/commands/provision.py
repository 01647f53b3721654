"""``talus-export provision``: from a site and a blank card to a gateway's card."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from export.provision.device import Device
    from export.provision.plan import Plan

_EXAMPLES = """\
examples:
  talus-export provision --example > site.toml
  talus-export provision --site site.toml --bundle bundle/ --deb talus_arm64.deb --out card/
  talus-export provision --site site.toml --bundle bundle/ --deb talus_arm64.deb
                         --out /media/me/bootfs                    a card that has its OS already
  talus-export provision --site site.toml --bundle slope=a/ --bundle wall=b/ --deb talus_arm64.deb
                         --image raspios-lite.img.xz --device /dev/sdX --out card/

--out alone: the files, for the boot partition. With --image: --out/card.img as well, or with
--device the card itself, read back to the last byte: that takes root (sudo). One --deb is Talus;
more are installed with it, for a gateway without network. docs/gateway.md goes on from here.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "provision",
        help="write the card of a gateway: OS image, package, configuration, bundle, identity",
        description="Write what a gateway reads at its first boot, for Raspberry Pi OS (Trixie: "
        "cloud-init; Bookworm: firstrun.sh) and for talus-export image.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--example", action="store_true", help="print a commented site.toml")
    parser.add_argument("--site", type=Path, metavar="site.toml")
    parser.add_argument("--bundle", action="append", default=[], metavar="[STATION=]DIR",
                        help="signed by whom gateway.toml trusts")  # fmt: skip
    parser.add_argument("--deb", type=Path, action="append", default=[], metavar="FILE.deb")
    parser.add_argument("--suite", choices=("trixie", "bookworm"), default="trixie")
    parser.add_argument("--out", type=Path, metavar="card/")
    parser.add_argument("--image", type=Path, metavar="FILE.img[.xz]", help="of the OS")
    parser.add_argument("--device", type=Path, metavar="/dev/sdX", help="the card, all of it")
    parser.add_argument("--yes-really", action="store_true",
                        help="the device is the card though it is not removable")  # fmt: skip
    # For tests: a file in place of a card, and no question.
    parser.add_argument("--device-is-a-file", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check all, write the folder, then image or card. Raises TalusError, OSError."""
    import time

    from export.provision.folder import write_card
    from export.provision.plan import make_plan
    from export.provision.site import example_text, load_site
    from export.source_date import FAT_BEGINS_S, source_date_s

    if args.example:
        print(example_text(), end="")
        return
    for name in ("site", "out"):
        if getattr(args, name) is None:
            raise TalusError(f"--{name} is needed; --example prints a site.toml to begin with")
    if args.device is not None and args.image is None:
        raise TalusError("--device: which OS? --image raspios-lite.img.xz")
    if args.image is not None and not args.image.is_file():
        raise TalusError(f"--image {args.image}: there is no such file")
    device = _ask_first(args)
    made_s = source_date_s(int(time.time()), since_s=FAT_BEGINS_S)
    bundles = dict(_bundle(text) for text in args.bundle)
    plan = make_plan(load_site(args.site), args.deb, bundles, args.suite, time.time())
    count = write_card(args.out, plan, made_s)
    label = f"{plan.package.package} {plan.package.version}, {args.suite} {plan.site.arch}"
    print(f"{args.out}   {count} files for {plan.site.name}, {label}")
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr)
    if args.image is not None:
        _flash(args, plan, made_s, device)
    elif args.suite == "bookworm" and not (args.out / "cmdline.txt").is_file():
        print("append cmdline-add.txt to the one line of cmdline.txt on the boot partition")
    print("the first boot takes the secrets off it, and no other does: until then keep it, the "
          "folder and the image as you keep keys")  # fmt: skip


def _bundle(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals else ("", Path(text))


def _ask_first(args: argparse.Namespace) -> Device | None:
    """Show the device and have its name typed: before anything takes minutes. Returns it."""
    if args.device is None:
        return None
    if args.device_is_a_file:
        if not args.device.is_file():
            raise TalusError(f"--device {args.device}: is no file")
        return None
    import os

    from export.provision.device import inspect, objections

    device = inspect(args.device)
    said = objections(device, sure=args.yes_really)
    if said:
        raise TalusError(said)
    if args.device.exists() and not os.access(args.device, os.R_OK | os.W_OK):
        raise TalusError(f"{device.path}: belongs to root: sudo")
    print(f"{device.path}: {device.model}, {device.size}. All that is on it will be lost.")
    try:
        typed = input(f"Type {device.path} to go on: ").strip()
    except EOFError:
        typed = ""
    if typed != str(device.path):
        raise TalusError("not confirmed; nothing was written")
    return device


def _flash(args: argparse.Namespace, plan: Plan, made_s: int, device: Device | None) -> None:
    import tempfile

    from export.provision.folder import write_card
    from export.provision.stock import put_files, unpack
    from export.provision.writing import write_and_verify

    bar = _Bar()
    out: Path = args.out
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".talus-card.") as scratch:
        image, files = Path(scratch) / "card.img", Path(scratch) / "files"
        unpack(args.image, image, bar)
        write_card(files, plan, made_s)
        put_files(image, files, plan, made_s)
        bar.close()
        if args.device is None:
            image.replace(out / "card.img")
            print(f"{out / 'card.img'}   to be written to a card of that size or more")
            return
        if device is not None:
            _inspect_again(args, device)
        total = write_and_verify(image, args.device, bar)
        bar.close()
        print(f"{args.device}   {total / 1e6:.0f} MB written, and read back the same")


def _inspect_again(args: argparse.Namespace, before: Device) -> None:
    """Minutes have gone by: it may be mounted now, or another card."""
    from export.provision.device import inspect, is_same, objections

    device = inspect(args.device)
    if not is_same(before, device):
        what = f"is not what was confirmed: {device.model}, {device.size} now"
        raise TalusError(f"{device.path}: {what}; nothing was written")
    if said := objections(device, sure=args.yes_really):
        raise TalusError(said)


class _Bar:
    """A bar of bytes a stage, on a terminal; a line where there is none."""

    def __init__(self) -> None:
        self._bar: Any = None

    def stage(self, name: str, total: int) -> None:
        """Begin a stage."""
        from tqdm import tqdm

        self.close()
        bars = sys.stderr.isatty()
        if not bars:
            print(f"{name} ...", file=sys.stderr)
        self._bar = tqdm(total=total, desc=f"{name:<8}", unit="B", unit_scale=True,
                         disable=not bars)  # fmt: skip

    def step(self, count: int) -> None:
        """Tell of bytes done."""
        self._bar.update(count)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
