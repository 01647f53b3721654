"""The commands `talus ack`, `shelve`, `drill`, `rezero`: what a person tells a running gateway."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from edge.order import MAX_SHELF_MS, Order, OrderError, decode_order, encode_order

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 5.0
_EXAMPLES = """\
examples:
  talus ack slope --config gateway.toml --why "seen on the webcam, road is closed"
  talus shelve slope "moves faster" --for 8h --why "digging at the toe" --config gateway.toml
  talus shelve slope "moves faster" --for 0 --config gateway.toml            take it off the shelf
  talus drill slope --level 3 --config gateway.toml
  talus rezero slope crack_1 --why "mount replaced" --config gateway.toml

Each is an event of its own with the name of who did it, and a line of DATA_DIR/orders.log.
exit codes: 0 done, 1 refused or no answer (it says why), 2 wrong usage
"""


def add_commands(commands: Any) -> None:
    """Add all to the parser of ``talus``."""
    helps = {
        "ack": "say that somebody has seen a station's level; a latched one may fall then",
        "shelve": "let a rule, or 'models', ask for nothing for a while",
        "drill": "send an alarm that is marked as a drill, through the whole path",
        "rezero": "set a channel to go on from here, with an entry in the audit",
    }
    made = {}
    for name, text in helps.items():
        each = commands.add_parser(
            name, help=text, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        each.add_argument("station")
        made[name] = each
    made["shelve"].add_argument("rule", help="the name of a rule, or 'models'")
    made["shelve"].add_argument("--for", dest="span_ms", type=_span, required=True,
                                metavar="8h", help="90s, 30min, 8h, 2d; 0: no longer")  # fmt: skip
    made["drill"].add_argument("--level", type=int, choices=(1, 2, 3, 4), default=1)
    made["rezero"].add_argument("channel")
    for each in made.values():
        each.add_argument("--why", default="", help="for the audit")
        each.add_argument("--who", default="", help="default: the user who is logged in")
        each.add_argument("--config", type=Path, required=True, metavar="gateway.toml")


def _span(text: str) -> int:
    """Read 90s, 30min, 8h, 2d or 0 as ms."""
    units = {"min": 60_000, "s": 1000, "h": 3_600_000, "d": 86_400_000}
    for unit, unit_ms in units.items():
        number = text.removesuffix(unit)
        if number != text and number.isdecimal() and int(number) * unit_ms <= MAX_SHELF_MS:
            return int(number) * unit_ms
    if text == "0":
        return 0
    raise argparse.ArgumentTypeError(f"{text!r}: such as 90s, 30min, 8h, 2d (7d at most) or 0")


def run(args: argparse.Namespace) -> int:
    """Run any of them."""
    from edge.config import load_config
    from edge.order_box import await_reply, put_order
    from edge.owner import as_owner

    config = load_config(args.config)
    what = "acknowledge" if args.command == "ack" else args.command
    now_ms = time.time_ns() // 1_000_000
    order = Order(
        id=uuid.uuid4().hex,
        what=what,
        station=args.station,
        who=args.who or getpass.getuser(),
        why=args.why,
        level=getattr(args, "level", 0),
        rule=getattr(args, "rule", ""),
        until_ms=now_ms + args.span_ms if what == "shelve" and args.span_ms else 0,
        channel=getattr(args, "channel", ""),
    )
    try:
        decode_order(encode_order(order))
        with as_owner(config.data_dir):
            put_order(config.data_dir, order)
            reply = await_reply(config.data_dir, order, PATIENCE_S)
    except (OrderError, OSError) as error:
        raise TalusError(f"{error}") from error
    if reply is None:
        print(f"no answer in {PATIENCE_S:g} s: is talus run at work? The order goes on waiting in "
              f"{config.data_dir}/orders", file=sys.stderr)  # fmt: skip
        return 1
    print(reply.text, file=sys.stdout if reply.done else sys.stderr)
    return 0 if reply.done else 1


RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "ack": run,
    "shelve": run,
    "drill": run,
    "rezero": run,
}
