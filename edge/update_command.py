"""``talus update FILE`` by hand, and ``talus-update``, which the system starts as a service.

The service takes what `talus run` has gathered, and goes on with what a power cut has ended.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from edge.update_item import SUFFIX
from edge.update_place import find_place
from edge.update_state import COMMITTED, State, words
from edge.update_system import GATE_S, SETTLE_S, System

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EXAMPLES = f"""\
examples:
  sudo talus update gateway.toml              beside it gateway.toml{SUFFIX}: put in, watched, kept
  sudo talus update talus-edge_0.2.0_arm64.deb
  sudo talus update gateway.toml --without-broker       where the broker is away now
  sudo talus update                           go on with one that a power cut has ended

FILE is signed at the desk (talus-export sign-update). It is proven, switched to in one step, and
watched: if talus doctor --health-gate does not pass within {GATE_S:.0f} s after the restart, and
again {SETTLE_S:.0f} s later, the one before comes back by itself. The one before is kept.
exit codes: 0 it runs and stays, 1 refused or taken back (it says why), 2 wrong usage
"""
STUCK = 75
"""Of the service: a step must be done and cannot be now (EX_TEMPFAIL)."""
_BUSY = "another update is at work here: journalctl -u talus-update says how far it is"


def add_commands(commands: Any) -> None:
    """Add it to the parser of ``talus``."""
    update = commands.add_parser(
        "update", help="put in a signed configuration or package; taken back if it does not serve",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    update.add_argument("file", type=Path, nargs="?", metavar="FILE",
                        help="gateway.toml or .deb (default: go on)")  # fmt: skip
    _add_patience(update)
    update.add_argument("--without-broker", action="store_true",
                        help="keep it though no broker can be reached")  # fmt: skip


def _add_patience(parser: argparse.ArgumentParser) -> None:
    for name, default, text in (
        ("--gate", GATE_S, "it must serve so long after the restart at the latest"),
        ("--settle", SETTLE_S, "and still do so much later"),
    ):
        parser.add_argument(name, type=_seconds, default=default, metavar="SECONDS",
                            help=f"{text} ({default:.0f})")  # fmt: skip


def run_update(args: argparse.Namespace) -> int:
    """Run ``talus update``; returns its exit code. Raises TalusError."""
    from edge.update_run import Run, StuckError
    from edge.update_take import Request

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    place = find_place()
    if place.is_system and os.geteuid():
        raise TalusError("only root may put in an update: sudo talus update FILE")
    run = Run(place, System(place, args.gate, args.settle))
    held = run.hold()
    if held is None:
        raise TalusError(_BUSY)
    with held:
        try:
            end: State | str | None = run.go_on()
            if args.file is not None:
                skip = "broker" if args.without_broker else ""
                end = run.put_in(Request(who=_who(), skip=skip), args.file.absolute())
        except (StuckError, OSError) as error:
            raise TalusError(f"{error}: make that possible, then: sudo talus update") from error
    if end is None:
        print("no update is at work")
        return 0
    if isinstance(end, str):
        print(f"refused: {end}", file=sys.stderr)
        return 1
    print(words(end))
    return 0 if end.outcome == COMMITTED else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve ``talus-update``: go on, then do what is asked for, until nothing is."""
    from edge.update_run import Run, StuckError

    parser = argparse.ArgumentParser(prog="talus-update", description=__doc__)
    _add_patience(parser)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    place = find_place()
    try:
        run = Run(place, System(place, args.gate, args.settle))
        held = run.hold()
        if held is None:
            print(_BUSY, file=sys.stderr)
            return STUCK
        with held:
            run.go_on()
            while run.requested() is not None:
                pass
    except (StuckError, TalusError, OSError) as error:
        print(f"talus-update: {error}", file=sys.stderr)
        return STUCK
    return 0


def _who() -> str:
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _seconds(given: str) -> float:
    value = float(given)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{given} is no time")
    return value


RUN: dict[str, Callable[[argparse.Namespace], int]] = {"update": run_update}

if __name__ == "__main__":
    sys.exit(main())
