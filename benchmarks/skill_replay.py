"""Replay: a restart, a day offline, late and doubled rows must lead to the decisions of one run.

Each station is run once as it is, and again as each of WAYS says; every change of level of the one
that is not in the other, by reading time, is a difference.

    restart      the state goes through JSON into a new station in the middle
    offline      a day's rows come a day late, but in order: the times of arrival differ
    late         rows arrive out of order, within the lateness allowed
    doubled      one row in twenty comes twice
"""

from __future__ import annotations

import json
from dataclasses import replace
from multiprocessing import Pool
from typing import TYPE_CHECKING

import numpy as np
from skill_events import PROCESSES
from skill_site import Onset, make_config, make_station, onsets, readings

from export.generator.site import generate_site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.alarm import AlarmChange
    from edge.config import Config
    from export.generator.spec import SlopeSpec
    from firmware_bridge.reading import Reading

WAYS = ("restart", "offline", "late", "doubled")
DAY_MS = 86_400_000
LATENESS_ROWS = 3
SHUFFLED = 3
"""Rows within so many are exchanged: as many as the grid holds open."""


def differences(spec: SlopeSpec) -> dict[str, int]:
    """Return how many changes of level differ from the uninterrupted run, by way."""
    site = generate_site(spec)
    config = make_config(site, lateness_s=LATENESS_ROWS * spec.step_s)
    rows = list(readings(site))
    random = np.random.default_rng([spec.seed, 9])
    plain = _run(config, rows)
    found = {
        "restart": _restarted(config, rows, len(rows) // 2),
        "offline": _run(config, _offline(rows, int(0.6 * len(rows)))),
        "late": _run(config, _shuffled(rows, random)),
        "doubled": _run(config, _doubled(rows, random)),
    }
    return {way: len(set(plain) ^ set(other)) for way, other in found.items()}


def differences_all(specs: list[SlopeSpec]) -> dict[str, int]:
    """Return the sum over stations, by way."""
    with Pool(PROCESSES) as pool:
        found = pool.map(differences, specs, chunksize=1)
    return {way: sum(each[way] for each in found) for way in WAYS}


def _run(config: Config, rows: Iterable[Reading]) -> list[Onset]:
    """Run as the gateway does: silence is looked for before each row."""
    station = make_station(config)
    found: list[AlarmChange] = []
    for reading in rows:
        found += station.tick(reading.received_ms)
        found += station.receive(reading, rebased=False)[2]
    return onsets(found)


def _restarted(config: Config, rows: list[Reading], cut: int) -> list[Onset]:
    station = make_station(config)
    found: list[AlarmChange] = []
    for i, reading in enumerate(rows):
        if i == cut:
            now_ms = reading.received_ms
            kept = json.loads(json.dumps(station.snapshot(now_ms), allow_nan=False))
            station = make_station(config)
            if notes := station.restore(kept, now_ms):
                raise RuntimeError("; ".join(notes))
        found += station.tick(reading.received_ms)
        found += station.receive(reading, rebased=False)[2]
    return onsets(found)


def _offline(rows: list[Reading], first: int) -> list[Reading]:
    """Let a day's rows arrive in a heap at its end."""
    begin_ms = rows[first].time_ms
    end_ms = begin_ms + DAY_MS
    return [
        replace(row, received_ms=max(row.received_ms, end_ms) if row.time_ms >= begin_ms else
                row.received_ms)
        for row in rows
    ]  # fmt: skip


def _shuffled(rows: list[Reading], random: np.random.Generator) -> list[Reading]:
    """Exchange some rows with one shortly after; those after keep their time of arrival."""
    order = list(rows)
    i = 1
    while i + SHUFFLED < len(order):
        if random.random() < 0.05:
            j = i + int(random.integers(1, SHUFFLED))
            arrival = order[j].received_ms
            order[i], order[j] = order[j], replace(order[i], received_ms=arrival)
            i = j
        i += 1
    return order


def _doubled(rows: list[Reading], random: np.random.Generator) -> list[Reading]:
    made = []
    for row in rows:
        made.append(row)
        if random.random() < 0.05:
            made.append(row)
    return made
