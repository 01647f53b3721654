"""Stations as a user has them, over generated sites: configured in TOML, fed reading by reading."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.calibration import Board
from edge.config import load_config
from edge.station import Station
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.alarm import AlarmChange
    from edge.config import Config
    from export.generator.site import Site

HEAD = """
[gateway]
name = "skill"
[mqtt]
host = "localhost"
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
clock = "node"
[[station]]
name = "slope"
step_s = {step_s}
lateness_s = {lateness_s}
no_data_after_s = {no_data_s}
[station.decision]
profile = "{profile}"
latch_level = 5
"""
"""Nothing of the site's history. Unlatched, so that each onset counts and not only the first."""
CHANNEL = """
[[station.channel]]
name = "{name}"
port = "node"
quantity = "{quantity}"
unit = "{unit}"
"""


@dataclass(frozen=True, slots=True)
class Onset:
    """A change of level in reading time."""

    time_ms: int
    previous: int
    level: int


def make_config(site: Site, profile: str = "general", *, lateness_s: int = 0) -> Config:
    """Return the configuration of a gateway for a site, by way of its TOML."""
    step_s = site.spec.step_s
    text = HEAD.format(step_s=step_s, lateness_s=lateness_s, no_data_s=12 * step_s, profile=profile)
    for channel in site.channels:
        quantity = channel.quantity.name.lower()
        text += CHANNEL.format(name=channel.name, quantity=quantity, unit=channel.unit.text)
    with tempfile.TemporaryDirectory(prefix="skill-") as folder:
        path = Path(folder) / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)


def make_station(config: Config) -> Station:
    """Return its station, without any bundle."""
    board = Board(config.reference_max_age_ms)
    return Station(config.stations[0], "no bundle", board, frozenset())


def readings(site: Site) -> Iterator[Reading]:
    """Give its rows as a driver would, each when it was measured."""
    names = site.names
    times, rows = site.time_ms.tolist(), site.values.tolist()
    for i, (time_ms, values) in enumerate(zip(times, rows, strict=True)):
        yield Reading("node", time_ms, i, names, tuple(values), time_ms)


def run(station: Station, rows: Iterator[Reading]) -> list[Onset]:
    """Feed a station; give its changes of level."""
    found: list[AlarmChange] = []
    for reading in rows:
        _, _, changes = station.receive(reading, rebased=False)
        if changes:
            found += changes
    return onsets(found)


def onsets(changes: list[AlarmChange]) -> list[Onset]:
    """Give those of them that are changes of level."""
    return [
        Onset(change.time_ms, change.previous_level, change.level)
        for change in changes
        if change.level != change.previous_level
    ]
