"""``talus-export broker``: a Mosquitto that lets in whom it should, with all its certificates."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_MAX_DAYS = 3650
_EXAMPLES = """\
examples:
  talus-export broker --out broker/ --host mqtt.example.org --gateway gw1 --gateway gw2
  talus-export broker --out broker/ --host mqtt.example.org --host 10.0.0.5 --gateway gw1
                      --place /etc/mosquitto/talus
  talus-export broker --out broker/ --renew                    new certificates for all
  talus-export broker --out broker/ --renew --gateway gw3      for a new gateway, or one alone
  talus-export broker --out broker/ --renew --gateway gw3 --datastream gw3=17
  talus-export broker --out broker/ --remove gw2               shut out for good: stolen, copied

authority/ca.key makes new gateways: keep it off the broker and in two places. The rest goes where
docs/security.md says. A certificate that was renewed is taken at the next connection.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "broker",
        help="make the set-up of a broker: CA, certificates, access list, mosquitto.conf",
        description="Make a private CA, the certificates of a broker, its gateways and its "
        "operations room, and a Mosquitto that lets each do its own and nothing else.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="broker/")
    parser.add_argument("--host", action="append", default=[], metavar="NAME",
                        help="how gateways reach it; the first stands in their tables")  # fmt: skip
    parser.add_argument("--gateway", action="append", default=[], metavar="NAME")
    parser.add_argument("--days", type=int, default=825, help="certificates hold (default: 825)")
    parser.add_argument("--port", type=int, default=8883)
    parser.add_argument("--topic", default="talus", help="as in [mqtt] of the gateways")
    parser.add_argument("--user", default="mosquitto", help="whom the broker runs as")
    parser.add_argument("--place", default="", metavar="PATH",
                        help="where mosquitto/ will stand (default: where it is made)")  # fmt: skip
    parser.add_argument("--datastream", action="append", default=[], metavar="GATEWAY=ID",
                        help="of a SensorThings server, as in [publish.sensorthings] of that "
                        "gateway: it may write it")  # fmt: skip
    parser.add_argument("--remove", action="append", default=[], metavar="NAME",
                        help="shut a gateway out: its name is never let in again")  # fmt: skip
    parser.add_argument("--renew", action="store_true", help="sign anew with the CA that is there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the folder, tell what goes where. Raises TalusError, OSError."""
    from export.broker.write import Plan, make, renew

    if not 1 <= args.days <= _MAX_DAYS:
        raise TalusError(f"--days: 1 .. {_MAX_DAYS}")
    if not 1 <= args.port <= 65535:
        raise TalusError("--port: 1 .. 65535")
    out: Path = args.out
    if args.remove:
        _remove(args)
        return
    if args.renew:
        if args.host:
            raise TalusError("--host: a broker keeps its names; make another one for others")
        plan = renew(out, args.gateway, args.days, _datastreams(args.datastream))
    else:
        place = args.place or str((out / "mosquitto").absolute())
        gateways = tuple(args.gateway)
        plan = Plan(tuple(args.host), args.port, args.topic, args.user, place, gateways,
                    datastreams=_datastreams(args.datastream))  # fmt: skip
        make(out, plan, args.days)
    print(f"{out}/authority   the key of the CA: off every machine of the net")
    print(f"{out}/mosquitto   to the broker, at {plan.place}; then: chown -R {plan.user}: "
          f"{plan.place} && mosquitto -c {plan.place}/mosquitto.conf")  # fmt: skip
    for gateway in args.gateway or plan.gateways:
        if gateway in plan.enrolled:
            print(f"{gateway} makes its keys itself: docs/security.md has how it gets a new "
                  "certificate")  # fmt: skip
        else:
            print(f"{out}/gateways/{gateway}   to that gateway: see mqtt.toml")
    print(f"{out}/room   to the operations room")


def _remove(args: argparse.Namespace) -> None:
    import time

    from export.broker.enrol import shut_out

    if args.renew or args.gateway or args.host or args.datastream:
        raise TalusError("--remove: goes with --out alone")
    out: Path = args.out
    plan = shut_out(out, args.remove, time.time())
    files = "acl and enrol.passwd" if plan.enrol_port else "acl"
    print(f"{out}/mosquitto   copy {files} to the broker, at {plan.place}, chown {plan.user}: "
          "them, then kill -HUP $(pidof mosquitto)")  # fmt: skip


def _datastreams(words: list[str]) -> tuple[tuple[str, str], ...]:
    """Read GATEWAY=ID: a number stands between the brackets as it is, a text in quotes."""
    pairs = [word.partition("=") for word in words]
    return tuple((g, d if d.isdecimal() else f"'{d}'") for g, _, d in pairs)
