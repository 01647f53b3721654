"""The history through the very stations of the gateway: what they see, and what they raise."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.decide import MOVING
from edge.errors import TalusError
from edge.pipeline import Pipeline
from edge.replay import recorded
from edge.rule import NO_RULES, Condition, Decision, Rule
from edge.rule_state import RuleState  # noqa: TC001
from edge.station import Station  # noqa: TC001
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from edge.config import Config, StationConfig
    from edge.evidence import Series
    from export.history import Floats

NEVER_LATCHED = 5
_OUT_OF_REACH = 1e300
_EVERY = 2000


@dataclass(slots=True)
class Seen:
    """Velocities of one unit on the grid, as the rules see them (NaN: not known)."""

    channels: tuple[str, ...]
    unit: str
    window_ms: int
    time_ms: npt.NDArray[np.int64]
    values: Floats


@dataclass(slots=True)
class Rehearsed:
    """What became of a history. ``onsets`` counts rises to a level or beyond it, by level."""

    days: float
    """With at least one velocity known."""
    seen: tuple[Seen, ...] = ()
    onsets: Counter[int] = field(default_factory=Counter)
    by_rule: Counter[str] = field(default_factory=Counter)
    """How often each rule began to stand."""


def rehearse(
    config: Config,
    station: StationConfig,
    sources: list[str],
    *,
    window_ms: int,
    until_ms: int | None,
    step: Callable[[int], None],
) -> Rehearsed:
    """Run one station, with its rules alone, over the history. ``step`` is told of readings done.

    Latching is off: nobody acknowledges what is past.
    """
    rules = station.decision.rules or (_watching(window_ms),)
    decision = Decision(rules, NEVER_LATCHED, station.decision.profile)
    alone = replace(station, bundle="", decision=decision)
    others = (replace(s, bundle="", decision=NO_RULES) for s in config.stations)
    stations = tuple(alone if s.name == station.name else s for s in others)
    pipeline = Pipeline(
        replace(config, stations=stations), {s.name: "rules only" for s in stations}
    )
    found = pipeline.stations[station.name]
    tape = _Tape(found, window_ms)
    out = Rehearsed(0.0)
    for count, reading in enumerate(_readings(config, sources, until_ms), start=1):
        outcome = pipeline.receive(reading)
        if reading.source in found.ports and not outcome.reason:
            tape.note(reading.time_ms, out.by_rule)
        for change in outcome.changes:
            if change.station == station.name and change.kind == "level":
                rises = range(change.previous_level + 1, change.level + 1)
                out.onsets.update(rises)
        if count % _EVERY == 0:
            step(_EVERY)
    out.seen = tape.seen()
    out.days = tape.days()
    return out


def _readings(config: Config, sources: list[str], until_ms: int | None) -> Iterator[Reading]:
    for item in recorded(config, sources):
        if isinstance(item, Reading) and (until_ms is None or item.time_ms < until_ms):
            yield item


def _watching(window_ms: int) -> Rule:
    """Return a rule that never holds: without rules a station looks at nothing."""
    never = Condition("velocity", window_ms, _OUT_OF_REACH, _OUT_OF_REACH, False, (), 1, False)
    return Rule("calibrate", 1, (never,))


class _Tape:
    """What the rules of a station see, a row a grid step."""

    def __init__(self, station: Station, window_ms: int) -> None:
        assert station.rules is not None
        decider = station.rules.decider
        self._series = _velocity(decider.offered, window_ms)
        self._rules: tuple[RuleState, ...] = decider.engine.rules
        self._stood = [False] * len(self._rules)
        self._step_ms = station.config.step_ms
        self._steps = array("q")
        self._rows = array("d")

    def note(self, time_ms: int, by_rule: Counter[str]) -> None:
        """Take what is seen after a reading; the last one of a grid step counts."""
        row, step = self._series.values, time_ms // self._step_ms
        if self._steps and step <= self._steps[-1]:
            self._rows[-len(row) :] = array("d", row.tolist())
        else:
            self._steps.append(step)
            self._rows.extend(row.tolist())
        for i, rule in enumerate(self._rules):
            if rule.stands and not self._stood[i]:
                by_rule[rule.rule.name] += 1
            self._stood[i] = rule.stands

    def _table(self) -> Floats:
        return np.array(self._rows).reshape(-1, len(self._series.channels))

    def days(self) -> float:
        """Return for how long a velocity was known."""
        known = np.isfinite(self._table()).any(axis=1)
        return float(np.count_nonzero(known)) * self._step_ms / 86_400_000.0

    def seen(self) -> tuple[Seen, ...]:
        """Return the velocities by unit: one number is a threshold for one unit."""
        table, series = self._table(), self._series
        time_ms = np.array(self._steps, dtype=np.int64) * self._step_ms
        found = []
        for unit in dict.fromkeys(series.units):
            places = [i for i, u in enumerate(series.units) if u == unit]
            names = tuple(series.channels[i] for i in places)
            found.append(Seen(names, unit, series.window_ms, time_ms, table[:, places]))
        return tuple(found)


def _velocity(offered: tuple[Series, ...], window_ms: int) -> Series:
    for series in offered:
        if series.kind == "velocity" and series.window_ms == window_ms:
            return series
    raise TalusError(
        f"the station has no velocity over {window_ms / 3.6e6:g} h: it needs a channel of "
        f"{', '.join(MOVING)}"
    )
