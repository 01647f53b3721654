"""The command `talus-flash`: the firmware of a sensor node, updated so that it survives it."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.flash_files import keep_firmware, kept_firmware, read_firmware, read_keys
from firmware_bridge.flash_options import JournalPlace, UsageError, parser, place_of, setup_of
from firmware_bridge.flash_show import EXIT_CODES, Progress, ending, identity_lines
from firmware_bridge.flash_target import make_target
from firmware_bridge.flash_work import Maintenance, holding, now_ms, take_port, work
from firmware_bridge.update_journal import Journal, JournalError
from firmware_bridge.update_manifest import ManifestError
from firmware_bridge.update_sim import Behaviour, make_image
from firmware_bridge.update_sim_file import make_sim_file
from firmware_bridge.update_target import TargetError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from firmware_bridge.flash_files import Firmware
    from firmware_bridge.update_target import Target

TOLD = (ManifestError, JournalError, TargetError, OSError, ValueError)
"""What a person is told of in one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = parser().parse_args(argv)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "update": _update,
        "resume": _resume,
        "status": _status,
        "identify": _identify,
        "sim": _sim,
    }
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return commands[args.command](args)
    except UsageError as error:
        print(f"talus-flash {args.command}: {error}", file=sys.stderr)
        return 2
    except TOLD as error:
        print(f"talus-flash {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = " (what is done is kept: talus-flash resume)" if args.command != "identify" else ""
        print(f"\ntalus-flash {args.command}: stopped{again}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _update(args: argparse.Namespace) -> int:
    setup_of(args, 0)  # wrong usage is told before anything is read
    place = place_of(args)
    keys = read_keys(args.key, Path.cwd())
    signature = args.signature or args.manifest.with_name(args.manifest.name + ".minisig")
    firmware = read_firmware(args.manifest, signature, args.image, keys)
    setup = setup_of(args, firmware.manifest.counter)
    manifest = firmware.manifest
    print(
        f"{manifest.board} {manifest.version_text}, {manifest.size} bytes, "
        f"signed by {firmware.key_id}, counter {manifest.counter}"
    )
    with holding(place.folder):
        last = Journal.read(place.folder)
        if last is not None and not last.ended:
            raise JournalError(f"{last.path}: an update is unfinished: {place.resume} first")
        target = make_target(setup(None if last is None else last.floor), place.folder)
        target.prepare(firmware.image)  # no image of this kind: nothing is begun
        keep_firmware(place.folder, firmware)
        journal = Journal.start(place.folder, setup(None if last is None else last.floor), now_ms())
        return _carry_out(journal, firmware, target, place)


def _resume(args: argparse.Namespace) -> int:
    place = place_of(args)
    if Journal.read(place.folder) is None:
        raise JournalError(f"{place.folder}: no update was begun here: is the folder right?")
    with holding(place.folder):
        journal = Journal.read(place.folder)
        assert journal is not None
        if journal.ended:
            print("nothing to resume: " + _ended(journal, place))
            return EXIT_CODES[journal.state.outcome]
        firmware = kept_firmware(place.folder)
        return _carry_out(journal, firmware, make_target(journal.setup, place.folder), place)


def _carry_out(journal: Journal, firmware: Firmware, target: Target, place: JournalPlace) -> int:
    state = work(journal, firmware, target, Progress(sys.stdout, firmware.manifest.size))
    text = ending(state, firmware.manifest.version_text, place.resume)
    code = EXIT_CODES[state.outcome]
    print(text, file=sys.stderr if code else sys.stdout)
    return code


def _status(args: argparse.Namespace) -> int:
    place = place_of(args)
    journal = Journal.read(place.folder)
    if journal is None:
        print(f"{place.folder}: no update was begun here")
        return 0
    setup, state = journal.setup, journal.state
    print(f"node      {setup.name} at {setup.port}, {setup.target}")
    print(f"journal   {journal.path}")
    if journal.ended:
        print(f"ended     {_ended(journal, place)}")
        return 0
    print(f"step      {state.phase.value}, {state.offset} bytes written")
    print(f"stopped   {state.detail or 'in the middle'}")
    print(f"go on     {place.resume}")
    return 0


def _ended(journal: Journal, place: JournalPlace) -> str:
    try:
        version = kept_firmware(place.folder).manifest.version_text
    except ManifestError:  # an ended update needs its files no more
        version = "the new image"
    return ending(journal.state, version, place.resume)


def _identify(args: argparse.Namespace) -> int:
    setup = setup_of(args, 0)(None)
    maintenance = Maintenance(setup)
    try:
        maintenance.go_on()
        if setup.target != "sim":
            take_port(setup.port)
        with tempfile.TemporaryDirectory() as folder:
            target = make_target(setup, Path(folder))
            try:
                found = target.identify()
            finally:
                target.close()
    finally:
        maintenance.end()
    for line in identity_lines(found):
        print(line)
    return 0


def _sim(args: argparse.Namespace) -> int:
    first, second, third = args.version
    image = make_image(
        Behaviour((first, second, third), samples=args.samples, boots=not args.dead), args.size
    )
    if args.image_only:
        args.file.write_bytes(image)
        print(f"{args.file}: an image for a simulated node, {len(image)} bytes, board sim-node")
        return 0
    make_sim_file(args.file, image, args.slots, args.delay_ms)
    print(f"{args.file}: a simulated node with {args.slots} slots, board sim-node")
    return 0


if __name__ == "__main__":
    sys.exit(main())
