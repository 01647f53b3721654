"""``talus-export command``: what the operations room tells a gateway in the field."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

_EXAMPLES = """\
examples:
  talus-export command --gateway bluff --key talus.key --broker broker.example.org --ca ca.crt \\
      ack slope --why "seen on the webcam"
  talus-export command --gateway bluff --key talus.key shelve slope models --for 8h      prints it
  talus-export command ... drill slope --level 3
  talus-export command ... rezero slope crack_1 --why "mount replaced"
  talus-export command ... health-now
  talus-export command ... telemetry-rate --every 1 --for 30min
  talus-export command ... backfill --from 2026-03-01T00:00 --to 2026-03-01T06:00
  talus-export command ... install bundle/ --as slope-7      sends it; the gateway proves it
  talus-export command ... commit slope slope-7              tried first, then it watches
  talus-export command ... install-config gateway.toml       and gateway.toml.minisig
  talus-export command ... --wait 600 commit-update config   now, or taken back (docs/updates.md)

Without --broker the command is printed, to be published under TOPIC/GATEWAY/command within five
minutes. exit codes: 0 done, 1 refused or no answer (it says why), 2 wrong usage
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "command",
        help="tell a gateway something over MQTT, signed, and wait for its answer",
        description="Make a command, sign it, and with --broker send it and wait for the answer.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gateway", required=True, metavar="NAME")
    parser.add_argument("--key", type=Path, metavar="talus.key", help="default: unsigned")
    parser.add_argument("--password-file", type=Path, metavar="FILE",
                        help="its first line is the password of the key")  # fmt: skip
    parser.add_argument("--who", default="", help="default: the user who is logged in")
    broker = parser.add_argument_group("broker")
    broker.add_argument("--broker", metavar="HOST[:PORT]")
    broker.add_argument("--topic", default="talus", help="mqtt.topic of the gateway")
    broker.add_argument("--username", default="")
    broker.add_argument("--broker-password-file", type=Path, metavar="FILE")
    broker.add_argument("--ca", type=Path, metavar="ca.crt", help="TLS, trusting this alone")
    broker.add_argument("--cert", type=Path, metavar="room.crt")
    broker.add_argument("--cert-key", type=Path, metavar="room.key")
    broker.add_argument("--wait", type=float, default=20.0, metavar="SECONDS",
                        help="for each answer (default 20)")  # fmt: skip
    _add_actions(parser.add_subparsers(dest="action", required=True))
    parser.set_defaults(run=run)


def _add_actions(actions: Any) -> None:
    for name in ("ack", "shelve", "drill", "rezero"):
        each = actions.add_parser(name)
        each.add_argument("station")
        each.add_argument("--why", default="", help="for the audit")
        if name == "shelve":
            each.add_argument("rule", help="the name of a rule, or 'models'")
            each.add_argument("--for", dest="span_ms", type=_span, required=True, metavar="8h",
                              help="90s, 30min, 8h, 2d; 0: no longer")  # fmt: skip
        elif name == "drill":
            each.add_argument("--level", type=int, choices=(1, 2, 3, 4), default=1)
        elif name == "rezero":
            each.add_argument("channel")
    actions.add_parser("health-now")
    rate = actions.add_parser("telemetry-rate")
    rate.add_argument("--every", type=float, required=True, metavar="SECONDS")
    rate.add_argument("--for", dest="span_ms", type=_span, required=True, metavar="30min")
    backfill = actions.add_parser("backfill")
    for end in ("from", "to"):
        backfill.add_argument(f"--{end}", dest=f"{end}_ms", type=_time, required=True,
                              metavar="2026-03-01T06:00",
                              help="ISO 8601, UTC unless it says otherwise")  # fmt: skip
    install = actions.add_parser("install")
    install.add_argument("folder", type=Path, metavar="bundle/")
    install.add_argument("--as", dest="bundle", default="", metavar="NAME",
                         help="its name for commit; the same one goes on after a cut")  # fmt: skip
    for kind, metavar in (("config", "gateway.toml"), ("package", "FILE.deb")):
        each = actions.add_parser(f"install-{kind}", help="signed before (sign-update)")
        each.add_argument("file", type=Path, metavar=metavar)
    update = actions.add_parser("commit-update", help="put in what came; --wait 600 for its end")
    update.add_argument("kind", choices=("config", "package"))
    commit = actions.add_parser("commit")
    commit.add_argument("station", help="'*': each whose bundle is of the same name")
    commit.add_argument("bundle", metavar="NAME")
    commit.add_argument("--now", action="store_true",
                        help="no trial: it watches from the next start on")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Make, sign, and print or send. Raises TalusError."""
    import getpass

    from edge.update_item import SUFFIX
    from export.command_sign import chunks, make_command, update_chunks

    key = _key(args)
    common = {"gateway": args.gateway, "who": args.who or getpass.getuser()}

    def sign(values: dict[str, Any]) -> bytes:
        return make_command(values | common, key, _now_ms())

    if args.broker:
        return _send(args, sign)
    if args.action == "install":
        from edge.bundle import read_manifest
        from edge.trust import ANY_SIGNER

        named = [name for name, _, _ in read_manifest(args.folder, ANY_SIGNER).files]
        wanted = ["manifest.json", "manifest.json.minisig", *named]
        paths = [args.folder / name for name in wanted if (args.folder / name).is_file()]
        for path in paths:
            for values in chunks(args.bundle or args.folder.resolve().name, path):
                print(sign(values).decode())
    elif args.action.startswith("install-"):
        signature = args.file.with_name(f"{args.file.name}{SUFFIX}")
        for path in (signature, args.file):
            for values in update_chunks(args.action.removeprefix("install-"), path):
                print(sign(values).decode())
    else:
        print(sign(_values(args)).decode())
    return 0


def _key(args: argparse.Namespace) -> Any:
    """Return the key to sign with, None where none was named."""
    from export.password import from_file, typed
    from export.secret_key import MAX_KEY_FILE_BYTES, parse_secret, unlock

    if args.key is None:
        return None
    with args.key.open("rb") as file:
        locked = parse_secret(file.read(MAX_KEY_FILE_BYTES + 1), str(args.key))
    password = b""
    if locked.encrypted:
        given = args.password_file
        password = from_file(given) if given else typed(f"password of {args.key}")
    return unlock(locked, password)


def _values(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the chosen action says."""
    a = args.action
    if a in ("ack", "shelve", "drill", "rezero"):
        values = {"what": "acknowledge" if a == "ack" else a, "station": args.station,
                  "why": args.why}  # fmt: skip
        if a == "shelve":
            until_ms = _now_ms() + args.span_ms if args.span_ms else 0
            values |= {"rule": args.rule, "until_ms": until_ms}
        elif a == "drill":
            values["level"] = args.level
        elif a == "rezero":
            values["channel"] = args.channel
        return values
    if a == "telemetry-rate":
        return {"what": "telemetry_rate", "every_ms": round(1000 * args.every),
                "until_ms": _now_ms() + args.span_ms}  # fmt: skip
    if a == "backfill":
        return {"what": "backfill", "from_ms": args.from_ms, "to_ms": args.to_ms}
    if a == "commit-update":
        return {"what": "commit_update", "update": args.kind}
    if a == "commit":
        values = {"what": "commit_bundle", "station": args.station, "bundle": args.bundle}
        return values | ({"now": 1} if args.now else {})
    return {"what": "health_now"}


def _send(args: argparse.Namespace, sign: Any) -> int:
    """Publish, wait, and print what came back."""
    import sys

    from export.command_send import Sender

    host, _, port = args.broker.rpartition(":") if ":" in args.broker else (args.broker, "", "")
    number = int(port) if port.isdecimal() else 8883 if args.ca else 1883
    with Sender(_client(args), f"{args.topic}/{args.gateway}", sign) as sender:
        sender.connect(host, number)
        if args.action == "install":
            reply = sender.install(args.folder, args.bundle, args.wait)
        elif args.action.startswith("install-"):
            kind = args.action.removeprefix("install-")
            reply = sender.install_update(kind, args.file, args.wait)
        else:
            reply = sender.ask(_values(args), args.wait)
    if reply is None:
        print(f"no answer in {args.wait:g} s: is gateway {args.gateway!r} connected to this "
              "broker, and may it read its command topic?", file=sys.stderr)  # fmt: skip
        return 1
    print(reply.get("text", ""), file=sys.stdout if reply.get("done") else sys.stderr)
    return 0 if reply.get("done") else 1


def _client(args: argparse.Namespace) -> Any:
    import uuid

    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    from export.password import from_file

    client = mqtt.Client(CallbackAPIVersion.VERSION2, f"talus-command-{uuid.uuid4().hex[:8]}")
    if args.username:
        given = args.broker_password_file
        client.username_pw_set(args.username, from_file(given).decode() if given else None)
    if args.ca:
        cert, key = (str(p) if p else None for p in (args.cert, args.cert_key))
        client.tls_set(ca_certs=str(args.ca), certfile=cert, keyfile=key)
    return client


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _span(text: str) -> int:
    """Read 90s, 30min, 8h, 2d or 0 as ms."""
    for unit, unit_ms in (("min", 60_000), ("s", 1000), ("h", 3_600_000), ("d", 86_400_000)):
        number = text.removesuffix(unit)
        if number != text and number.isdecimal() and len(number) < 8:
            return int(number) * unit_ms
    if text == "0":
        return 0
    raise argparse.ArgumentTypeError(f"{text!r}: such as 90s, 30min, 8h, 2d or 0")


def _time(text: str) -> int:
    """Read ISO 8601 (UTC unless it says otherwise) as ms since 1970."""
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: such as 2026-03-01T06:00") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
