"""The command line of `talus-flash`, and the `Setup` of a journal that it makes."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.flash_target import KINDS, MAX_ADDRESS, default_address, missing
from firmware_bridge.update_journal import Setup
from firmware_bridge.update_manifest import MIN_BATTERY_MV
from firmware_bridge.update_notes import MAINTENANCE_MIN, MAX_MAINTENANCE_MIN
from firmware_bridge.update_state import GOOD_SAMPLES
from firmware_bridge.update_target import MAX_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable

_EXAMPLES = """\
examples:
  talus-flash update --port /dev/ttyUSB0 --target mcuboot --manifest app.json --image app.bin \\
      --key talus.pub --data-dir /var/lib/talus --name node-1
  talus-flash resume --data-dir /var/lib/talus --name node-1      after a power cut, at any step
  talus-flash status --data-dir /var/lib/talus --name node-1      where it stands; touches nothing
  talus-flash identify --port /dev/ttyUSB0 --target esp32 --no-gateway
  talus-flash sim node.json && talus-flash sim app.bin --image-only --version 1.1.0
  talus-flash update --port node.json --target sim --manifest app.json --image app.bin \\
      --key talus.pub --no-gateway --journal trial/

A manifest is made and signed on the workstation: talus-export sign-firmware.

exit codes: 0 confirmed (or told what was asked), 1 not finished or something is wrong (it says
what; resume), 2 wrong usage, 3 refused and nothing changed, 4 reverted: the old image runs again,
130 stopped (resume)
"""


class UsageError(ValueError):
    """Options that do not go together; the text says what to do."""


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """The folder of one node's journal, and the command that goes on from it."""

    folder: Path

    @property
    def resume(self) -> str:
        """The command, to be copied."""
        return f"talus-flash resume --journal {shlex.quote(str(self.folder))}"


def place_of(args: argparse.Namespace) -> JournalPlace:
    """Give where the journal is: as told, or in the gateway's folder."""
    if args.journal is not None:
        return JournalPlace(Path(args.journal))
    if args.data_dir is None or not args.name:
        raise UsageError("--journal is needed, or --data-dir and --name")
    return JournalPlace(args.data_dir / "flash" / args.name)


def setup_of(args: argparse.Namespace, counter: int) -> Callable[[int | None], Setup]:
    """Give the setup of the options, once it is known which counter this node has run."""
    if (args.data_dir is None) == (not args.no_gateway):
        raise UsageError("one of --data-dir and --no-gateway: does a gateway here use this node?")
    if args.data_dir is not None and not args.name:
        raise UsageError("--name is needed: what gateway.toml calls this port")
    if args.data_dir is not None and not args.data_dir.is_dir():
        raise UsageError(f"--data-dir {args.data_dir}: no such folder: gateway.data_dir says which")
    address = default_address(args.target) if args.address is None else args.address

    def setup(floor: int | None) -> Setup:
        return Setup(
            target=args.target,
            port=str(Path(args.port).absolute()) if args.target == "sim" else args.port,
            name=args.name or Path(args.port).name,
            baud=args.baud,
            data_baud=args.data_baud or args.baud,
            part=args.part,
            programmer=args.programmer,
            address=address,
            min_battery_mv=getattr(args, "min_battery", 0),
            good_samples=getattr(args, "good_samples", GOOD_SAMPLES),
            counter_floor=floor,
            counter=counter,
            gateway="" if args.data_dir is None else str(args.data_dir.absolute()),
            maintenance_min=args.maintenance,
        )

    wrong = missing(setup(None))
    if wrong:
        raise UsageError(wrong)
    return setup


def parser() -> argparse.ArgumentParser:
    """Give the parser of the whole command line."""
    whole = argparse.ArgumentParser(
        prog="talus-flash",
        description="Update a sensor node's firmware: signed, proven before it stays, resumable.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"talus-flash {_installed()}")
    commands = whole.add_subparsers(dest="command", required=True)
    update = commands.add_parser("update", help="write a signed image, prove it, or go back")
    _line(update)
    _journal(update)
    update.add_argument("--manifest", type=Path, required=True, metavar="FILE")
    update.add_argument("--signature", type=Path, metavar="FILE", help="default: MANIFEST.minisig")
    update.add_argument("--image", type=Path, required=True, metavar="FILE")
    update.add_argument("--key", action="append", required=True, metavar="KEY",
                        help="trusted public key: RW..., or a .pub file; one or two")  # fmt: skip
    update.add_argument("--min-battery", type=_number(0, 100_000), default=MIN_BATTERY_MV,
                        metavar="MV", help="0: it is on mains (default %(default)s)")  # fmt: skip
    update.add_argument("--good-samples", type=_number(1, MAX_SAMPLES), default=GOOD_SAMPLES,
                        metavar="N", help="in a row, as proof (default %(default)s)")  # fmt: skip
    resume = commands.add_parser("resume", help="go on after a power cut, at any step")
    status = commands.add_parser("status", help="where an update stands; touches nothing")
    for each in (resume, status):
        _journal(each)
        _gateway(each.add_argument_group("instead of --journal"))
    _line(commands.add_parser("identify", help="ask a node who it is and what runs"))
    _sim(commands.add_parser("sim", help="make a simulated node, or an image for it, to try out"))
    return whole


def _line(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", required=True, metavar="DEV",
                         help="serial device; for sim the node's file")  # fmt: skip
    command.add_argument("--target", choices=KINDS, required=True)
    command.add_argument("--baud", type=_number(50, 4_000_000), default=115_200,
                         help="of the boot loader (default %(default)s)")  # fmt: skip
    command.add_argument("--data-baud", type=_number(50, 4_000_000), default=0, metavar="BAUD",
                         help="of the running image (default: --baud)")  # fmt: skip
    command.add_argument("--part", default="", help="avr: the part; stm32: the family; esp32: chip")
    command.add_argument("--programmer", default="", help="avr: as avrdude -c, such as arduino")
    command.add_argument("--address", type=_address, metavar="HEX",
                         help="where the image begins (esp32: default 0x10000)")  # fmt: skip
    group = command.add_argument_group("the gateway on this machine, one of")
    _gateway(group)
    group.add_argument("--maintenance", type=_number(1, MAX_MAINTENANCE_MIN), metavar="MIN",
                       default=MAINTENANCE_MIN,
                       help="its channels read `maintenance` for so long at most without a sign "
                       "of life from here (default %(default)s)")  # fmt: skip
    group.add_argument("--no-gateway", action="store_true",
                       help="none runs here: no alarm is asked for, and nobody told")  # fmt: skip


def _gateway(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data-dir", type=Path, metavar="DIR", help="its gateway.data_dir")
    group.add_argument("--name", default="", help="what gateway.toml calls this port")


def _journal(command: argparse.ArgumentParser) -> None:
    command.add_argument("--journal", metavar="DIR",
                         help="folder of its journal (default: DATA_DIR/flash/NAME)")  # fmt: skip


def _sim(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path)
    command.add_argument("--slots", type=int, choices=(1, 2), default=2)
    command.add_argument("--version", type=_version, default=(1, 0, 0), metavar="X.Y.Z")
    command.add_argument("--image-only", action="store_true", help="write an image, not a node")
    command.add_argument("--size", type=_number(400, 1_000_000), default=4000, help="bytes")
    command.add_argument("--samples", choices=("good", "out", "nan", "none"), default="good",
                         help="what the image will send")  # fmt: skip
    command.add_argument("--dead", action="store_true", help="the image will not start")
    command.add_argument("--delay-ms", type=_number(0, 10_000), default=0, help="of each answer")


def _installed() -> str:
    try:
        return version("talus-edge")
    except PackageNotFoundError:  # run from a checkout
        return "(not installed)"


def _number(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{low} to {high}")
        return int(text)

    return number


def _address(text: str) -> int:
    address = int(text, 0)
    if not 0 <= address <= MAX_ADDRESS:
        raise argparse.ArgumentTypeError("0 to 0xffffffff")
    return address


def _version(text: str) -> tuple[int, int, int]:
    first, second, third = map(int, text.split("."))
    return first, second, third
