"""Is a new configuration one that this gateway can live with? A process of its own answers.

It parses, its bundles hold on this CPU, and it takes away neither the sensors nor the way by which
the next update would come: what a person at the gateway may do, a letter from afar may not.
"""

from __future__ import annotations

import glob
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge.doctor import Wanted, examine
from edge.doctor_diagnosis import exit_code
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.config import Config

CHECKS = frozenset({"config", "runtime", "bundles", "trust"})


def wrongs(path: Path, before: Path, gateway: str) -> list[str]:
    """Return what is wrong with a configuration that would take the place of another."""
    from edge.config import load_config

    found = list(examine(Wanted(path, checks=CHECKS)))
    if exit_code(found, gate=True, strict=False):
        bad = [each for each in found if exit_code([each], gate=True, strict=False)]
        return [" ".join(filter(None, (d.check, d.subject, d.text))) for d in bad]
    new = load_config(path)
    if new.name != gateway:
        return [f"gateway.name: {new.name}, and it was signed for {gateway}"]
    try:
        old = load_config(before)
    except ConfigError:
        return []  # one that cannot be read is compared with nothing
    return [*_differs(new, old), *_bare(new, old)]


def _differs(new: Config, old: Config) -> list[str]:
    """Return what only a person at the gateway may change."""
    found = []
    if new.name != old.name:
        found.append(f"gateway.name: {new.name}, and this gateway is {old.name}")
    if new.data_dir != old.data_dir:
        found.append("gateway.data_dir: another folder: what waits there would be left behind")
    if old.trust.keys and not new.trust.keys:
        found.append("trust.keys: none: no update would be taken any more")
    if (old.remote.keys or old.remote.allow_unsigned) and not (
        new.remote.keys or new.remote.allow_unsigned
    ):
        found.append("remote.keys: none: no command would reach this gateway any more")
    return found


def left_out(path: Path, before: Path) -> list[str]:
    """Return which stations and ports of the old one are not in the new one, in words."""
    from edge.config import load_config

    new = load_config(path)
    try:
        old = load_config(before)
    except ConfigError:
        return []
    gone = (
        ("watched no more", {s.name for s in old.stations} - {s.name for s in new.stations}),
        ("read no more", {p.name for p in old.ports} - {p.name for p in new.ports}),
    )
    return [f"{words}: {', '.join(sorted(names))}" for words, names in gone if names]


def _bare(new: Config, old: Config) -> list[str]:
    """Return where nothing would be left to watch, or nothing to watch it with."""
    found = []
    known = {port.device for port in old.ports}
    if not any(p.device in known or glob.glob(p.device) for p in new.ports):
        devices = ", ".join(port.device for port in new.ports)
        found.append(f"port: none of them is there, nor was it before: {devices}")
    if not {s.name for s in new.stations} & {s.name for s in old.stations}:
        found.append("station: none of those that are watched now is left")
    before = {s.name for s in old.stations if s.bundle or s.decision.rules}
    found += [
        f"station {station.name}: neither a bundle nor rules: nothing watches it"
        for station in new.stations
        if station.name in before and not (station.bundle or station.decision.rules)
    ]
    return found


def main() -> int:
    """Answer for the new file, the old one, and the gateway's name that was signed."""
    new, old, gateway = sys.argv[1:4]
    found = wrongs(Path(new), Path(old), gateway)
    for each in found:
        print(f"FAIL {each}")
    if not found:
        print(*left_out(Path(new), Path(old)), sep="\n")
    return 1 if found else 0
