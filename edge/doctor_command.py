"""The command `talus doctor`: its arguments, waiting until all is well, and what it prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.doctor_diagnosis import CHECKS, exit_code
from edge.doctor_show import json_values, line_of, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.doctor import Wanted
    from edge.doctor_diagnosis import Diagnosis

DEFAULT_CONFIG = Path("/etc/talus/gateway.toml")
AGAIN_S = 5.0
_EXAMPLES = f"""\
examples:
  sudo talus doctor                                  all of it, by {DEFAULT_CONFIG}
  talus doctor --config gateway.toml | grep ^FAIL    what must be mended
  talus doctor --only ports,power                    after the cable was put back
  talus doctor --drill slope --level 3               and an alarm, marked as a drill, all the way
  talus doctor --json | jq -r '.diagnoses[] | select(.state=="fault") | .fix'
  talus doctor --health-gate --wait 180              after an update: keep it, or go back
  talus doctor --health-gate --skip broker           the same where the broker may be away
  talus doctor --schema                              JSON Schema of --json

It changes nothing (--drill sends an alarm) and takes no port from a talus run that is at work.
Run it as root or as the user of the gateway: others cannot see all.

A line: ok, ?? (only you can tell), -- (there is none here), WARN or FAIL; the check; what is wrong.
Fix: what to do. Checks: {", ".join(CHECKS[:9])},
{", ".join(CHECKS[9:])}.

exit codes: 0 no FAIL (with --strict: no WARN either), 1 something is to be mended; with
--health-gate only what an update can have broken counts; 2 wrong usage; 130 stopped by Ctrl-C
"""


def add_commands(commands: Any) -> None:
    """Add it to the parser of ``talus``."""
    doctor = commands.add_parser(
        "doctor", help="what is not well on this gateway, from the supply to the alarm",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    doctor.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="gateway.toml",
                        help=f"default: {DEFAULT_CONFIG}")  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    doctor.add_argument("--schema", action="store_true", help="print the JSON Schema of --json")
    doctor.add_argument("--only", type=_checks, metavar="CHECK,...", help="these checks alone")
    doctor.add_argument("--skip", type=_checks, metavar="CHECK,...", default=frozenset(),
                        help="all but these")  # fmt: skip
    doctor.add_argument("--drill", nargs="?", const="", metavar="STATION",
                        help="send an alarm marked as a drill (first station)")  # fmt: skip
    doctor.add_argument("--level", type=int, choices=(1, 2, 3, 4), default=1, help="of the drill")
    doctor.add_argument("--health-gate", action="store_true",
                        help="for RAUC, Mender, tryboot: does this release serve?")  # fmt: skip
    doctor.add_argument("--strict", action="store_true", help="WARN counts as well")
    doctor.add_argument("--wait", type=_seconds, default=0.0, metavar="SECONDS",
                        help="look again until all is well, at most so long")  # fmt: skip
    doctor.add_argument("--listen", type=_seconds, default=3.0, metavar="SECONDS",
                        help="for a reading on each port that is free (3)")  # fmt: skip
    doctor.add_argument("--write-budget-mb", type=int, default=0, metavar="MB",
                        help="a day, that the card should bear (1000)")  # fmt: skip
    doctor.add_argument("--root", type=Path, default=Path("/"), metavar="DIR",
                        help="where sys, proc, run and usr are looked for (/)")  # fmt: skip


def run_doctor(args: argparse.Namespace) -> int:
    """Run ``talus doctor``; returns its exit code."""
    if args.schema:
        print(files("edge").joinpath("schemas", "doctor.json").read_text(encoding="utf-8"), end="")
        return 0
    if args.health_gate and args.drill is not None:
        print("talus doctor: --drill is not for a health gate: it would send an alarm at every "
              "update", file=sys.stderr)  # fmt: skip
        return 2
    wanted = _wanted(args)
    end_s = time.monotonic() + args.wait
    told = None if args.json or args.wait else _teller()
    while True:
        found = _look(wanted, told)
        code = exit_code(found, gate=args.health_gate, strict=args.strict)
        if code == 0 or time.monotonic() + AGAIN_S > end_s:
            break
        time.sleep(AGAIN_S)
    _print(args, found, code, shown=told is not None)
    return code


def _wanted(args: argparse.Namespace) -> Wanted:
    from edge.doctor import Wanted
    from edge.doctor_drill import Drill
    from edge.doctor_root import Root
    from edge.doctor_storage import WRITE_BUDGET_MB

    checks = (args.only or frozenset(CHECKS)) - args.skip - {"drill"}
    return Wanted(
        args.config,
        Root(args.root),
        checks if args.drill is None else checks | {"drill"},
        listen_s=args.listen,
        write_budget_mb=args.write_budget_mb or WRITE_BUDGET_MB,
        drill=Drill(args.drill or "", args.level),
    )


def _look(wanted: Wanted, told: Callable[[Diagnosis], None] | None) -> list[Diagnosis]:
    from edge.doctor import examine

    found = []
    for diagnosis in examine(wanted):
        found.append(diagnosis)
        if told is not None:
            told(diagnosis)
    return found


def _teller() -> Callable[[Diagnosis], None]:
    dumb = os.environ.get("TERM", "") in {"", "dumb"}
    colours = sys.stdout.isatty() and not dumb and not os.environ.get("NO_COLOR")
    return lambda diagnosis: print(line_of(diagnosis, colours=colours), flush=True)


def _print(args: argparse.Namespace, found: list[Diagnosis], code: int, *, shown: bool) -> None:
    if args.json:
        values = json_values(found, _name(args.config), time.time_ns() // 1_000_000, code)
        print(json.dumps(values, indent=1, allow_nan=False))
        return
    if not shown:
        tell = _teller()
        for diagnosis in found:
            tell(diagnosis)
    print(summary(found, code, gate=args.health_gate))


def _name(path: Path) -> str:
    """Return the name of the gateway, "" where its configuration cannot be read."""
    from edge.config import load_config
    from edge.errors import ConfigError

    try:
        return load_config(path, site=True).name  # not the folder of its data, which may be closed
    except ConfigError:
        return ""


def _checks(given: str) -> frozenset[str]:
    names = frozenset(filter(None, given.split(",")))
    unknown = sorted(names - set(CHECKS))
    if unknown or not names:
        known = ", ".join(CHECKS)
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or given!r}: there are {known}")
    return names


def _seconds(given: str) -> float:
    value = float(given)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{given} is no time")
    return value


RUN: dict[str, Callable[[argparse.Namespace], int]] = {"doctor": run_doctor}
