"""The commands `talus replay` and `talus explain`: past decisions, made again and in words."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.alarm import AlarmChange
    from edge.config import Config
    from edge.pipeline import Outcome

_REPLAY = """\
examples:
  talus replay flood.capture --config gateway.toml             the same alarms, without hardware
  talus replay flood.capture --config gateway.toml --why       each with its evidence
  talus replay node=2024.csv --config gateway.toml --json > alarms.jsonl

exit codes: 0 done, 1 a station has no bundle that could be armed, 2 wrong usage
"""
_EXPLAIN = """\
examples:
  talus explain slope-1796385000000-4 --config gateway.toml
  talus explain --list --config gateway.toml                   the last alarms, newest first
  talus explain slope-1796385000000-4 --config gateway.toml --again --plot why.svg

--again makes the decision anew from the recorded bytes ([gateway] capture, or --capture FILE) and
says whether the same came of it. --plot draws the channels that led to it, up to the alarm.

exit codes: 0 explained (and, with --again, the same came of it), 1 not so, 2 wrong usage
"""


def add_commands(commands: Any) -> None:
    """Add both to the parser of ``talus``."""
    shape = argparse.RawDescriptionHelpFormatter
    replay = commands.add_parser(
        "replay", help="run a capture, CSV or logger file, no hardware", epilog=_REPLAY,
        formatter_class=shape,
    )  # fmt: skip
    replay.add_argument("sources", nargs="+", metavar="[PORT=]FILE")
    form = replay.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object an alarm change")
    form.add_argument("--why", action="store_true", help="each change with its evidence")
    explain = commands.add_parser(
        "explain", help="an alarm in words: rule, sensors, values, thresholds, age",
        epilog=_EXPLAIN, formatter_class=shape,
    )  # fmt: skip
    explain.add_argument("id", nargs="?", metavar="ALARM_ID")
    explain.add_argument("--list", action="store_true", help="the last alarms, newest first")
    explain.add_argument("--json", action="store_true", help="as it was published")
    explain.add_argument("--again", action="store_true", help="decide anew from the recorded bytes")
    explain.add_argument("--capture", type=Path, help="default: the one of [gateway] capture")
    explain.add_argument("--plot", type=Path, metavar="FILE.svg", help="implies --again")
    for each in (replay, explain):
        each.add_argument("--config", type=Path, required=True, metavar="gateway.toml")


def run_replay(args: argparse.Namespace) -> int:
    """Run ``talus replay``."""
    from edge.bundles import open_bundles
    from edge.config import load_config
    from edge.replay import recorded, replay
    from firmware_bridge.capture import Maintained, Ordered, Tick
    from firmware_bridge.reading import Reading

    config = load_config(args.config)
    bundles = open_bundles(config)
    for name, bundle in bundles.items():
        if isinstance(bundle, str) and config.station(name).bundle:
            print(f"station {name} is NOT WATCHED by models: {bundle}", file=sys.stderr)
    counts: Counter[str] = Counter()
    seen: dict[str, set[str]] = {}
    for item, outcome in replay(config, bundles, recorded(config, args.sources)):
        heard = not isinstance(item, Maintained | Ordered | Tick)
        counts["in"] += heard
        if isinstance(item, Reading):
            seen.setdefault(item.source, set()).update(item.channels)
        if outcome is None or outcome.reason:
            counts[outcome.reason if outcome else getattr(item, "reason", "")] += 1
            continue
        counts["accepted"] += heard
        for change, text in _texts(config, outcome):
            _tell(change, text, args)
    rejected = {k: v for k, v in sorted(counts.items()) if k not in ("in", "accepted")}
    accounts = f"readings in {counts['in']}, accepted {counts['accepted']}, rejected {rejected}"
    print(accounts, file=sys.stderr)
    _tell_unknown_columns(args.config, config, seen)
    lacking = [n for n, b in bundles.items() if isinstance(b, str) and config.station(n).bundle]
    return 1 if lacking else 0


def _texts(config: Config, outcome: Outcome) -> Iterator[tuple[AlarmChange, bytes]]:
    """Give each change with the very text that a gateway publishes."""
    from edge.message import change_values, to_json

    for change in outcome.changes:
        yield change, to_json(change_values(change, config.name))


def _tell(change: AlarmChange, text: bytes, args: argparse.Namespace) -> None:
    from edge.alarm import LEVELS
    from edge.explain import explanation, utc

    if args.json:
        print(text.decode())
    elif args.why:
        print("\n".join(explanation(json.loads(text))))
    else:
        word = "no-data" if change.no_data else LEVELS[change.level]
        reason = change.reason.removeprefix("NO-DATA: ")
        print(f"{utc(change.time_ms)} {change.station} {change.level} {word} {reason}")


def _tell_unknown_columns(path: Path, config: Config, seen: dict[str, set[str]]) -> None:
    for i, station in enumerate(config.stations):
        for j, channel in enumerate(station.channels):
            columns = seen.get(channel.port)
            if columns and channel.plan.column not in columns:
                known = ", ".join(sorted(columns))
                where = f"{path}: station[{i}].channel[{j}].column"
                text = f"{channel.plan.column!r} is nowhere in the files; they have {known}"
                print(f"{where}: {text}", file=sys.stderr)


def run_explain(args: argparse.Namespace) -> int:
    """Run ``talus explain``."""
    from edge.config import load_config
    from edge.explain import explanation, utc
    from edge.journal import find, newest

    config = load_config(args.config)
    if args.list or not args.id:
        for values in newest(config.data_dir, 20):
            print(f"{values['id']}  {utc(values['time_ms'])}  {values['reason']}")
        return 0
    found = find(config.data_dir, args.id)
    if found is None:
        raise TalusError(f"{args.id}: no such alarm in {config.data_dir} (talus explain --list)")
    print(json.dumps(found) if args.json else "\n".join(explanation(found)))
    if not (args.again or args.plot):
        return 0
    capture = args.capture or (config.data_dir / config.capture if config.capture else None)
    if capture is None:
        raise TalusError("nothing is recorded: [gateway] capture is not set; name a --capture FILE")
    return _again(config, capture, found, args.plot)


def _again(config: Config, capture: Path, values: dict[str, Any], plot: Path | None) -> int:
    from edge.bundles import open_bundles
    from edge.history_plot import Trail
    from edge.replay import recorded, replay

    trail = Trail(config, values)
    same = None
    items = recorded(config, [str(capture)])
    # It may have been told long after the last that was recorded: nothing came any more.
    for _, outcome in replay(config, open_bundles(config), items, values["received_ms"] + 1):
        if outcome is None:
            continue
        trail.add(outcome)
        for change, text in _texts(config, outcome):
            if (change.station, change.time_ms, change.level, change.kind) == tuple(
                values[key] for key in ("station", "time_ms", "level", "kind")
            ):
                same = _same(json.loads(text), values)
        if same is not None:
            break
    if plot is not None:
        plot.write_text(trail.picture(), encoding="utf-8")
        print(f"{plot} written", file=sys.stderr)
    if same is None:
        print(f"decided anew from {capture}: no such change came of it", file=sys.stderr)
        return 1
    what = "the same came of it" if not same else f"it differs in {', '.join(same)}"
    print(f"decided anew from {capture}: {what}", file=sys.stderr)
    return 1 if same else 0


def _same(again: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Give the keys that differ; the id counts all changes since the start of a capture or not."""
    return [key for key in values if key != "id" and again.get(key) != values[key]]


RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "replay": run_replay,
    "explain": run_explain,
}
