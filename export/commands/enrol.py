"""``talus-export enrol``: certificates for gateways that make their keys themselves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_MAX_DAYS = 3650
_EXAMPLES = """\
examples:
  talus-export enrol --broker broker/ --token gw7     a token: broker/enrol/gw7.json, for site.toml
  talus-export enrol --broker broker/ --serve         sign for gateways that ask, until Ctrl-C
  talus-export enrol --broker broker/ --list          whose tokens are open, used, expired

A token is good for one certificate, and for so many days. The gateway makes its key itself; nobody
else ever has it. --serve needs authority/ca.key: run it where that is kept, while gateways are
started. Once it has run a first time, requests that come while it does not wait at the broker.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "enrol",
        help="one-time tokens for new gateways, and the certificates they ask for with them",
        description="Make a one-time token for a gateway, or sign the certificates of gateways "
        "that ask for one over the broker that talus-export broker has made.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--broker", type=Path, required=True, metavar="broker/",
                        help="the folder of talus-export broker")  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--token", default="", metavar="NAME", help="make a token for a gateway")
    what.add_argument("--serve", action="store_true", help="sign for gateways that ask")
    what.add_argument("--list", action="store_true", help="show the tokens")
    parser.add_argument("--expires-days", type=int, default=14, metavar="N",
                        help="a token can be used so long (default: 14)")  # fmt: skip
    parser.add_argument("--days", type=int, default=825, help="certificates hold (default: 825)")
    parser.add_argument("--host", default="", help="of the broker (default: its first name)")
    parser.add_argument("--port", type=int, default=0,
                        help="with --token: where gateways without a certificate connect "
                        "(default: 8884); with --serve: of the broker")  # fmt: skip
    parser.add_argument("--once", action="store_true", help="with --serve: end after one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Do one of the three. Raises TalusError, OSError."""
    from export.broker.enrol_serve import serve

    for name in ("days", "expires_days"):
        if not 1 <= getattr(args, name) <= _MAX_DAYS:
            raise TalusError(f"--{name.replace('_', '-')}: 1 .. {_MAX_DAYS}")
    if not 0 <= args.port <= 65535:
        raise TalusError("--port: 1 .. 65535")
    if args.token:
        _token(args)
    elif args.list:
        _list(args.broker)
    else:
        serve(args.broker, args.host, args.port, args.days, once=args.once,
              told=lambda text: print(text, flush=True))  # fmt: skip


def _token(args: argparse.Namespace) -> None:
    import time

    from export.broker.enrol import make_token
    from export.broker.mosquitto import ENROL

    out: Path = args.broker
    plan, is_new = make_token(out, args.token, args.port, args.expires_days, time.time())
    print(f"{out / ENROL / args.token}.json   into site.toml: [broker] token; it opens port "
          f"{plan.enrol_port} for one request within {args.expires_days} days")  # fmt: skip
    files = "mosquitto.conf, acl and enrol.passwd" if is_new else "acl and enrol.passwd"
    how = "start it again (a new port)" if is_new else "kill -HUP $(pidof mosquitto)"
    print(f"{out}/mosquitto   copy {files} to the broker, chown {plan.user}: them, then {how}")
    print(f"then: talus-export enrol --broker {out} --serve   while the gateway starts")


def _list(out: Path) -> None:
    import time

    from export.broker.enrol import read_tokens

    now_s = time.time()
    for token in read_tokens(out):
        date = time.strftime("%Y-%m-%d", time.gmtime(token.expires_s))
        state = "used" if token.used_by else "expired" if now_s > token.expires_s else "open"
        print(f"{token.gateway:<24} {state:<8} until {date}")
