"""Which channels share a set point, and the rules that come of it.

One number is a threshold for sensors of one quantity and unit, with noise of one size: beside a
crack meter that shows 0.03 mm, GNSS of 3 mm would set every threshold by its noise alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from edge.rule import Condition, Rule
from export.calibrate.onsets import KEEP, Trace, onsets, trace
from export.calibrate.set_points import SetPoint, choose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export.calibrate.channel import Measured
    from export.calibrate.rehearsal import Rehearsed, Seen

YEAR_D = 365.25
_VALID_MS = (86_400_000, 86_400_000, 172_800_000, 172_800_000)
_FOR_MS = (10_800_000, 10_800_000, 21_600_000, 21_600_000)
_FLOOR_NOISE, _FLOOR_STEADY = 6.0, 2.0
_SAME_EVENT_MS = 3 * 86_400_000
_SAME_NOISE = 3.0
"""Times the noise of the quietest sensor of a group: more is another group."""


@dataclass(frozen=True, slots=True)
class Group:
    """The set points of channels that are alike, and the rules that they make."""

    unit: str
    """Of the speed, such as mm/d."""
    channels: tuple[str, ...]
    together: tuple[str, ...]
    """Those that move together: levels 2 to 4 ask for two of them; empty: for any one."""
    points: tuple[SetPoint, ...]
    rules: tuple[Rule, ...]
    seen: Seen
    traces: tuple[Trace, Trace, Trace, Trace]
    """What decides each level."""


def make_groups(
    seen: Rehearsed, channels: tuple[Measured, ...], budgets: tuple[float, ...], step_ms: int
) -> tuple[Group, ...]:
    """Return the groups of a station, that of most channels first."""
    by_name = {m.track.name: m for m in channels if m.usable}
    # Of as many channels, those that move together come first: it has the plain names.
    kinds = sorted(
        ((s, names) for s in seen.seen for names in _kinds(s, by_name)),
        key=lambda pair: (-len(_together(pair[1], by_name)), -len(pair[1])),
    )
    years = seen.days / YEAR_D

    def made(shares: tuple[float, ...]) -> tuple[Group, ...]:
        return tuple(
            _group(s, names, by_name, shares, years, step_ms, plain=i == 0)
            for i, (s, names) in enumerate(kinds)
        )

    whole = made(budgets)
    apart = _apart(whole)
    return whole if apart <= 1.0 else made(tuple(b / apart for b in budgets))


def _apart(groups: tuple[Group, ...]) -> float:
    """Return how many times more onsets all groups have than the worst of them alone.

    An alarm of any group is an alarm, and groups that see the same movement have it at once.
    """
    each = [
        sorted(int(g.traces[0].time_ms[i]) for i in onsets(g.traces[0], g.points[0].threshold))
        for g in groups
    ]
    most = max(len(times) for times in each)
    if not most:
        return 1.0
    every = sorted(t for times in each for t in times)
    events = 1 + sum(b - a > _SAME_EVENT_MS for a, b in pairwise(every))
    return max(1.0, events / most)


def _kinds(seen: Seen, by_name: dict[str, Measured]) -> Iterator[tuple[str, ...]]:
    """Give the names of channels that may share a threshold, in their order."""
    left = [name for name in seen.channels if name in by_name]
    while left:
        first = min(left, key=lambda name: _noise(by_name[name]))
        kind, most = by_name[first].track.quantity, _SAME_NOISE * _noise(by_name[first])
        alike = tuple(
            name for name in left
            if by_name[name].track.quantity == kind and _noise(by_name[name]) <= most
        )  # fmt: skip
        yield alike
        left = [name for name in left if name not in alike]


def _noise(m: Measured) -> float:
    return m.noise.sd if m.noise is not None else 0.0


def _together(names: tuple[str, ...], by_name: dict[str, Measured]) -> tuple[str, ...]:
    """Return those that move with another of them; none where there are not two."""
    found = tuple(n for n in names if any(o in names for o, _ in by_name[n].neighbours))
    return found if len(found) > 1 else ()


def _group(
    seen: Seen,
    names: tuple[str, ...],
    by_name: dict[str, Measured],
    budgets: tuple[float, ...],
    years: float,
    step_ms: int,
    *,
    plain: bool,
) -> Group:
    together = _together(names, by_name)
    places = [seen.channels.index(name) for name in names]
    some = [seen.channels.index(name) for name in together] or places
    two = 2 if together else 1
    spans = tuple(max(ms, 2 * step_ms) for ms in _FOR_MS)
    traces = (
        trace(seen.time_ms, seen.values[:, places], 1, spans[0], _VALID_MS[0]),
        trace(seen.time_ms, seen.values[:, some], two, spans[1], _VALID_MS[1]),
        trace(seen.time_ms, seen.values[:, some], two, spans[2], _VALID_MS[2]),
        trace(seen.time_ms, seen.values[:, some], two, spans[3], _VALID_MS[3]),
    )
    floor = max(_floor(by_name[name], seen.window_ms, step_ms) for name in names)
    points = choose(traces, budgets, years, floor)
    rules = tuple(
        _rule(
            p,
            seen,
            names if p.level == 1 else together or names,
            two,
            spans,
            "" if plain else f" {names[0]}",
        )
        for p in points
    )
    return Group(seen.unit, names, together, points, rules, seen, traces)


def _rule(
    point: SetPoint, seen: Seen, names: tuple[str, ...], two: int, spans: tuple[int, ...],
    suffix: str,
) -> Rule:  # fmt: skip
    level = point.level
    condition = Condition(
        "velocity", seen.window_ms, point.threshold, float(f"{KEEP * point.threshold:.6g}"),
        False, names, 1 if level == 1 else two, False,
    )  # fmt: skip
    return Rule(
        f"speed {level}{suffix}", level, (condition,), spans[level - 1], _VALID_MS[level - 1]
    )


def _floor(m: Measured, window_ms: int, step_ms: int) -> float:
    """Return a speed that noise and steady creep stay below: see edge.movement_velocity."""
    tau_steps = window_ms / 4.0 / step_ms
    tau_d = window_ms / 4.0 / 86_400_000.0
    noise = _noise(m) / (2.0 * tau_d * max(1.0, tau_steps) ** 0.5)
    steady = abs(m.speed.v_eq) if m.speed and m.speed.moves else 0.0
    return float(max(_FLOOR_NOISE * noise, _FLOOR_STEADY * steady))
