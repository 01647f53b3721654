"""The commands `talus watch` and `talus subscribe`: their arguments, and running them."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.parse_mqtt import MqttConfig
    from edge.watch_link import Arrival, Subscriber

_REDRAW_S = 1.0
_TURN_S = 0.2
_FIRST_S = 30.0
"""A script is told after so long that there is no broker; whoever watches waits."""
_COMMON = """
The broker is that of --config (a gateway's own; the files in it must be readable), or --broker
with --ca, --cert, --key, --username and --password-file. With --ca it is TLS, and never plain.
"""
_WATCH = f"""\
examples:
  talus watch --broker ops.example.org --ca ca.crt --cert me.crt --key me.key
  talus watch --config gateway.toml               as this gateway sees its broker
  talus watch --broker 10.0.0.5:1883 --topic talus/ridge     everything under another prefix
  talus watch --broker 10.0.0.5 | tee watch.log   not a terminal: a line a change

On a terminal the screen is redrawn; Ctrl-C ends it. Ages are by the clock of this machine.
{_COMMON}
exit codes: 0 ended by Ctrl-C or --seconds, 1 no connection was ever made (it says why),
2 wrong usage
"""
_SUBSCRIBE = f"""\
examples:
  talus subscribe --broker ops.example.org --ca ca.crt           topic and payload, a line each
  talus subscribe --config gateway.toml --json | jq .payload.level
  talus subscribe --broker 10.0.0.5 --filter '+/+/alarm' --count 1 --seconds 60 && siren
  talus subscribe --broker 10.0.0.5 --json --client-id archive >> all.jsonl

--client-id: the broker keeps what comes while nobody listens (MQTT 5; 7 days), and what was not
printed comes again: at least once, look at the id. The first time must come before what is missed.
{_COMMON}
exit codes: 0 --count messages came, or Ctrl-C, or --seconds without --count; 1 fewer came, or no
connection was made (it says why); 2 wrong usage
"""


def add_commands(commands: Any) -> None:
    """Add both to the parser of ``talus``."""
    watch = commands.add_parser(
        "watch", help="stations, levels and links of all gateways, as they are now",
        epilog=_WATCH, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    subscribe = commands.add_parser(
        "subscribe", help="what gateways publish, one line a message, for scripts",
        epilog=_SUBSCRIBE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    for each in (watch, subscribe):
        each.add_argument("--config", type=Path, metavar="gateway.toml")
        each.add_argument("--broker", type=_address, metavar="HOST[:PORT]",
                          help="default port: 1883, with --ca 8883")  # fmt: skip
        for name, what in (("ca", "its CA"), ("cert", "our certificate"), ("key", "its key")):
            each.add_argument(f"--{name}", default="", metavar="FILE", help=what)
        each.add_argument("--username", default="")
        each.add_argument("--password-file", default="", metavar="FILE")
        each.add_argument("--topic", type=_prefix, metavar="PREFIX",
                          help="default: talus, or as the configuration says")  # fmt: skip
        each.add_argument("--seconds", type=_positive, default=0.0, metavar="N",
                          help="end after this time")  # fmt: skip
    subscribe.add_argument("--json", action="store_true", help="one JSON object a line")
    subscribe.add_argument("--filter", type=_filter, default="#", metavar="FILTER",
                           help="under the prefix (default '#': all)")  # fmt: skip
    subscribe.add_argument("--count", type=int, default=0, metavar="N",
                           help="end after so many messages")  # fmt: skip
    subscribe.add_argument("--client-id", default="", metavar="ID", help="keep a session")


def run_watch(args: argparse.Namespace) -> int:
    """Run ``talus watch``; returns its exit code."""
    return _guarded(args, _watch, f"{_topic(args)}/#", "")


def run_subscribe(args: argparse.Namespace) -> int:
    """Run ``talus subscribe``; returns its exit code."""
    if args.client_id.startswith("talus-"):
        return _usage(args, "--client-id: talus-... are the gateways: it would throw one out")
    return _guarded(args, _subscribe, f"{_topic(args)}/{args.filter}", args.client_id)


def _guarded(
    args: argparse.Namespace,
    run: Callable[[argparse.Namespace, Subscriber], int],
    topic: str,
    client_id: str,
) -> int:
    from edge.watch_link import Subscriber

    if (args.config is None) == (args.broker is None):
        return _usage(args, "either --config gateway.toml or --broker HOST[:PORT]")
    config, folder = _config(args)
    subscriber = Subscriber(config, folder, [topic], client_id)
    try:
        return run(args, subscriber)
    except KeyboardInterrupt:
        return 0 if subscriber.was_connected else 1
    except BrokenPipeError:  # whoever read it has enough; the interpreter flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        subscriber.close()


def _config(args: argparse.Namespace) -> tuple[MqttConfig, Path]:
    from edge.parse_mqtt import MqttConfig

    if args.config is not None:
        from edge.config import load_config

        loaded = load_config(args.config)
        return loaded.mqtt, loaded.folder
    if bool(args.cert) != bool(args.key) or (args.cert and not args.ca):
        raise TalusError("--cert and --key go together, and with --ca")
    host, port = args.broker
    return MqttConfig(
        host, port or (8883 if args.ca else 1883), _topic(args), 15, args.username,
        args.password_file, args.ca, args.cert, args.key,
    ), Path.cwd()  # fmt: skip


def _topic(args: argparse.Namespace) -> str:
    if args.topic or args.config is None:
        return str(args.topic or "talus")
    from edge.config import load_config

    return load_config(args.config).mqtt.topic


def _watch(args: argparse.Namespace, subscriber: Subscriber) -> int:
    from edge.watching import View

    view = View(_topic(args))
    if not sys.stdout.isatty():
        return _watch_lines(args, subscriber, view)
    from edge.watch_screen import ENTER, LEAVE, screen

    colours = not os.environ.get("NO_COLOR")
    end_s, drawn_s = _end_s(args), 0.0
    sys.stdout.write(ENTER)
    try:
        while time.monotonic() < end_s and not subscriber.refused:
            for arrival in subscriber.turn(_TURN_S):
                view.take(arrival.topic, arrival.values())
                subscriber.done(arrival)
            if time.monotonic() - drawn_s >= _REDRAW_S / 4:
                drawn_s = time.monotonic()
                size = shutil.get_terminal_size()
                head = f"{subscriber.where}  {subscriber.reason or 'connected'}"
                now_ms = time.time_ns() // 1_000_000
                drawn = screen(view, head, now_ms, (size.columns, size.lines), colours=colours)
                sys.stdout.write(drawn)
                sys.stdout.flush()
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
    return _said_why(args, subscriber)


def _watch_lines(args: argparse.Namespace, subscriber: Subscriber, view: Any) -> int:
    from edge.watch_screen import iso

    end_s, told = _end_s(args), ""
    while time.monotonic() < end_s and not subscriber.refused:
        for arrival in subscriber.turn(_TURN_S):
            for line in view.take(arrival.topic, arrival.values()):
                print(iso(time.time_ns() // 1_000_000), line, flush=True)
            subscriber.done(arrival)
        told = _tell(args, subscriber, told)
    return _said_why(args, subscriber)


def _subscribe(args: argparse.Namespace, subscriber: Subscriber) -> int:
    end_s, told, printed = _end_s(args), "", 0
    first_s = time.monotonic() + _FIRST_S
    while time.monotonic() < (end_s if subscriber.was_connected else min(first_s, end_s)):
        if subscriber.refused:
            break
        for arrival in subscriber.turn(_TURN_S):
            print(_line(arrival, as_json=args.json), flush=True)
            subscriber.done(arrival)
            printed += 1
            if printed == args.count:
                return 0
        told = _tell(args, subscriber, told)
    return max(_said_why(args, subscriber), int(bool(args.count)))


def _line(arrival: Arrival, *, as_json: bool) -> str:
    """Write a message in one line, whatever it holds."""
    values = arrival.values()
    if as_json:
        told = {"topic": arrival.topic, "retained": arrival.retained, "payload": values}
        if values is None and arrival.payload != b"null":
            told["bytes"] = len(arrival.payload)
        return json.dumps(told, ensure_ascii=True, separators=(",", ":"))
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    topic = "".join(c if c.isprintable() and not c.isspace() else "?" for c in arrival.topic)
    return f"{topic} {text}"


def _end_s(args: argparse.Namespace) -> float:
    return time.monotonic() + args.seconds if args.seconds else float("inf")


def _said_why(args: argparse.Namespace, subscriber: Subscriber) -> int:
    if subscriber.was_connected and not subscriber.refused:
        return 0
    print(f"talus {args.command}: {subscriber.reason}", file=sys.stderr)
    return 1


def _tell(args: argparse.Namespace, subscriber: Subscriber, told: str) -> str:
    """Say on stderr how the connection stands, once a change."""
    if subscriber.reason != told and not subscriber.refused:
        what = subscriber.reason or f"connected to {subscriber.where}"
        print(f"talus {args.command}: {what}", file=sys.stderr, flush=True)
    return subscriber.reason


def _usage(args: argparse.Namespace, what: str) -> int:
    print(f"talus {args.command}: {what}", file=sys.stderr)
    return 2


def _address(given: str) -> tuple[str, int]:
    """Read `host`, `host:port`, `[::1]:port`."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\s/\[\]]+)(?::([0-9]{1,5}))?", given)
    if found is None or int(found[2] or 1) not in range(1, 65536):
        raise argparse.ArgumentTypeError(f"{given!r}: HOST or HOST:PORT")
    return found[1].strip("[]"), int(found[2] or 0)


def _prefix(given: str) -> str:
    if not all(given.strip("/").split("/")) or any(c in given for c in "+#\0 "):
        raise argparse.ArgumentTypeError(f"{given!r}: a plain topic such as 'talus'")
    return given.strip("/")


def _filter(given: str) -> str:
    *levels, last = given.split("/")
    wrong = any("#" in level for level in levels) or ("#" in last and last != "#")
    if wrong or any("+" in level and level != "+" for level in (*levels, last)):
        raise argparse.ArgumentTypeError(f"{given!r}: '#' stands last, '+' for a whole level")
    return given


def _positive(given: str) -> float:
    value = float(given)
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"{given} is no time")
    return value


RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "watch": run_watch,
    "subscribe": run_subscribe,
}
