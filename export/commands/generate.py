"""``talus-export generate``: the history of a made-up slope."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from export.generator.fault import Fault
    from export.generator.spec import SlopeSpec

_MAX_DAYS = 36_500.0
_STEP_S = 3600
_EXAMPLES = """\
examples:
  talus-export generate --days 120 --out history.csv
  talus-export generate --days 60 --seed 7 --failure-day 50 --out failing.csv
  talus-export generate --behaviour stopping --sensors crack=3,tilt=5 --out stops.csv
  talus-export generate --behaviour failure --days 90 --failure-day 80 --out fails.csv
  talus-export generate --behaviour rain_steps --faults all --labels faults.csv --out dirty.csv
  talus-export generate --behaviour creep --faults freeze=6,spike=20 --out dirty.csv
"""
_COUNTED = {
    "crack": "cracks", "extensometer": "extensometers", "gnss": "gnss", "tilt": "tilt_nodes",
}  # fmt: skip
_AROUND = ("rain", "pore_pressure", "soil_moisture", "reservoir", "temperature")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        help="write the history of a made-up slope",
        description="Write the history of a made-up slope, to try things on. With --behaviour, "
        "--sensors, --noise, --step or --faults it is a slope of the generator of the "
        "benchmarks; without, the slope of the demo, every ten minutes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--days", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failure-day", type=float, help="it fails on this day")
    parser.add_argument(
        "--behaviour",
        help="stable, creep, seasonal, rain_steps, reservoir_steps, stopping, or failure",
    )
    parser.add_argument(
        "--sensors",
        metavar="KIND[=N],..",
        help="crack, extensometer, gnss, tilt (each =N); rain, pore_pressure, soil_moisture, "
        "reservoir, temperature. Default: crack=2,rain,pore_pressure,temperature",
    )
    parser.add_argument("--noise", type=float, help="times the sensors' own noise (default 1)")
    parser.add_argument("--step", type=int, metavar="SECONDS", help="between rows (default 3600)")
    parser.add_argument(
        "--faults", metavar="KIND=N,..", help='faults a year, such as freeze=6,spike=20; or "all"'
    )
    parser.add_argument("--labels", type=Path, metavar="faults.csv", help="where the faults are")
    parser.add_argument("--out", type=Path, required=True, metavar="history.csv")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the CSV. Raises TalusError."""
    if not 1.0 <= args.days <= _MAX_DAYS or args.seed < 0:
        raise TalusError(f"--days must be 1 .. {_MAX_DAYS:g}, --seed not below 0")
    if args.failure_day is not None and not args.failure_day > 0:
        raise TalusError("--failure-day must be above 0")
    if args.labels is not None and args.faults is None:
        raise TalusError("--labels goes with --faults")
    ours = (args.behaviour, args.sensors, args.noise, args.step, args.faults)
    if any(option is not None for option in ours):
        _run_generator(args)
        return
    from export.slope import generate, write_csv

    write_csv(generate(args.days, args.seed, failure_day=args.failure_day), args.out)


def _run_generator(args: argparse.Namespace) -> None:
    """Write a slope of export.generator."""
    from export.generator.faults import inject
    from export.generator.site import generate_site
    from export.generator.table import write_csv, write_spans

    spec = _spec(args)
    rates = _rates(args.faults) if args.faults is not None else {}
    site = generate_site(spec)
    faulted = inject(site, rates, args.seed) if rates else None
    write_csv(site, args.out, faulted)
    if args.labels is not None and faulted is not None:
        write_spans(faulted, args.labels)


def _spec(args: argparse.Namespace) -> SlopeSpec:
    from export.generator.spec import SlopeSpec

    behaviour: Any = args.behaviour or ("creep" if args.failure_day is None else "failure")
    sensors = _sensors(args.sensors) if args.sensors is not None else {}
    if behaviour == "reservoir_steps":
        sensors = {"reservoir": True, **sensors}
    return SlopeSpec(
        args.seed,
        days=args.days,
        step_s=_STEP_S if args.step is None else args.step,
        behaviour=behaviour,
        noise_scale=1.0 if args.noise is None else args.noise,
        failure_day=args.failure_day,
        **sensors,
    )


def _sensors(text: str) -> dict[str, Any]:
    """Return what ``--sensors`` says: exactly these are there."""
    fields: dict[str, Any] = dict.fromkeys(_COUNTED.values(), 0) | dict.fromkeys(_AROUND, False)
    for part in text.split(","):
        name, _, count = part.strip().partition("=")
        if name in _COUNTED and (count or "1").isdecimal():
            fields[_COUNTED[name]] = int(count or "1")
        elif name in _AROUND and not count:
            fields[name] = True
        else:
            known = ", ".join([f"{kind}=N" for kind in _COUNTED] + list(_AROUND))
            raise TalusError(f"--sensors {part.strip()!r}: there are {known}")
    return fields


def _rates(text: str) -> dict[Fault, float]:
    """Return what ``--faults`` says: events a year of each kind."""
    from export.generator.fault import Fault
    from export.generator.fault_plan import USUAL

    if text == "all":
        return USUAL
    kinds = {fault.text: fault for fault in Fault}
    rates = {}
    for part in text.split(","):
        name, _, count = part.strip().partition("=")
        try:
            rates[kinds[name]] = float(count or "1")
        except (KeyError, ValueError):
            known = ", ".join(kinds)
            raise TalusError(f"--faults {part.strip()!r}: KIND=N of {known}; or all") from None
        if not 0.0 <= rates[kinds[name]] <= 1e5:
            raise TalusError(f"--faults {part.strip()!r}: 0 .. 100000 a year")
    return rates
