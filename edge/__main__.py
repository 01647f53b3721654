"""The command ``talus``: what a technician types at a gateway."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge import __version__
from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

_EXAMPLES = """\
examples:
  talus check --config gateway.toml               what is wrong, and what to do
  talus doctor --config gateway.toml              what is not well, from the supply to the alarm
  talus run --config gateway.toml                 serve until SIGTERM or Ctrl-C
  talus replay flood.capture --config gateway.toml       the same alarms, without hardware
  talus replay node=2024.csv --config gateway.toml --json > alarms.jsonl
  talus explain ALARM_ID --config gateway.toml    why this alarm, on which numbers, how old
  talus ack slope --config gateway.toml           somebody has seen it (also: shelve, drill, rezero)
  talus bundle show bundle/ --config gateway.toml        what is in it, who signed it, what it arms
  talus probe                                     which serial devices are here
  talus probe /dev/ttyUSB0                        what speaks there, and the TOML for it
  talus tail --config gateway.toml                live readings, one line each
  talus watch --config gateway.toml               levels, links, the newest alarms
  talus subscribe --config gateway.toml --json    one line a message, for scripts
  talus schemas alarm                             what a message holds
  talus update gateway.toml                       put in what was signed; taken back if it fails
  talus bench                                     how fast is this board

exit codes: 0 done, 1 something is wrong (it says what), 2 wrong usage
"""


def _parser(modules: Sequence[ModuleType]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="talus",
        description="Landslide monitoring on a field gateway.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"talus {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="read the ports, watch the slopes, relay the alarms")
    check = commands.add_parser("check", help="validate configuration, bundles, ports and broker")
    for each in (run, check):
        each.add_argument("--config", type=Path, required=True, metavar="gateway.toml")
    check.add_argument("--listen", type=float, default=3.0, metavar="SECONDS",
                       help="how long to wait for a reading on each port (default 3)")  # fmt: skip
    run.add_argument("-v", "--verbose", action="store_true", help="log each rejected reading")
    bundle = commands.add_parser("bundle", help="what a bundle is, who signed it, what it arms")
    show = bundle.add_subparsers(dest="action", required=True).add_parser(
        "show", help="its models, thresholds and artifacts, and its signature",
        description="Exit code 1: it is damaged, or this configuration would not arm it.",
    )  # fmt: skip
    show.add_argument("folder", type=Path, metavar="bundle/")
    show.add_argument("--config", type=Path, metavar="gateway.toml",
                      help="judge signature and counter by this configuration")  # fmt: skip
    show.add_argument("--json", action="store_true", help="one JSON object")
    for module in modules:
        module.add_commands(commands)
    return parser


def _modules() -> tuple[ModuleType, ...]:
    from edge import (
        bench_command,
        doctor_command,
        line_commands,
        order_commands,
        replay_commands,
        schema_commands,
        update_command,
        watch_commands,
    )

    return (
        replay_commands, order_commands, line_commands, schema_commands, doctor_command,
        watch_commands, update_command, bench_command,
    )  # fmt: skip


def _parsed(argv: Sequence[str]) -> tuple[argparse.Namespace, Sequence[ModuleType]]:
    if argv[:1] == ["run"]:  # a gateway that starts does not wait for what others need
        args, unknown = _parser(()).parse_known_args(argv)
        if not unknown:
            return args, ()
    modules = _modules()
    return _parser(modules).parse_args(argv), modules


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args, modules = _parsed(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "run": _run,
        "check": _check,
        "bundle": _show,
    }
    for module in modules:
        commands |= module.RUN
    try:
        return commands[args.command](args)
    except TalusError as error:
        print(f"talus {args.command}: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        who = "not for this user: be root, or the user of the gateway (sudo)"
        print(f"talus {args.command}: {error.filename}: {who}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"talus {args.command}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # | head
        sys.stderr.close()
        return 1


def _run(args: argparse.Namespace) -> int:
    import faulthandler
    import json
    import sqlite3

    from edge.late import load_late
    from edge.settle import keep_little

    keep_little()  # before what comes now is made
    load_late()

    from edge.config import load_config
    from edge.gateway import Gateway

    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    faulthandler.enable()  # a watchdog that bites (SIGABRT) leaves in the log where it hung
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, _: asked.append(which))
    config = load_config(args.config)
    try:
        gateway = Gateway(config)
    except (OSError, sqlite3.Error) as error:
        raise TalusError(f"gateway.data_dir: {config.data_dir}: {error}") from error
    gateway.run(lambda: bool(asked))
    logging.getLogger("talus").info("stopped: %s", json.dumps(gateway.totals()))
    return 0


def _check(args: argparse.Namespace) -> int:
    from edge.check import check

    wrong = 0
    for finding in check(args.config, listen_s=args.listen):
        wrong += not finding.ok
        word = "FAIL" if not finding.ok else "ok  " if finding.sure else "??  "
        print(f"{word} {finding.path}: {finding.text}", flush=True)
    if wrong:
        print(f"{wrong} to mend")
    return 1 if wrong else 0


def _show(args: argparse.Namespace) -> int:
    from edge.config import load_config
    from edge.show import json_values, lines, look

    shown = look(args.folder, load_config(args.config) if args.config else None)
    if args.json:
        import json

        print(json.dumps(json_values(shown), indent=1))
    else:
        for line in lines(shown):
            print(line)
    return 1 if shown.refused else 0


if __name__ == "__main__":
    sys.exit(main())
