"""Faults and accelerations put into a real history: what a detector is there to find.

They go into the raw channels, and the features are made anew, so that a fault takes the same road
as in the field. Sizes are in multiples of what the channel itself does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from export.history import Floats, History

KINDS = ("offset", "drift", "noise", "freeze", "spikes", "acceleration")


@dataclass(frozen=True, slots=True)
class Event:
    """A fault of one channel over steps [start, stop) of the history."""

    kind: str
    channel: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Spread:
    """What each channel does in calm times: over a window, and from step to step; float64[C]."""

    window: Floats
    step: Floats


def spread(history: History, span: slice, window: int) -> Spread:
    """Return the standard deviation of changes over a window and over a step."""
    values = history.values[span]

    def over(steps: int) -> Floats:
        change = values[steps:] - values[:-steps]
        sd = np.nan_to_num(np.nanstd(change, axis=0)) if len(change) else np.zeros(values.shape[1])
        return np.asarray(np.maximum(sd, 1e-9))

    return Spread(over(min(window, max(1, len(values) - 1))), over(1))


def injected(
    history: History,
    span: slice,
    length: int,
    gap: int,
    targets: tuple[str, ...],
    size: Spread,
    seed: int,
) -> tuple[History, tuple[Event, ...]]:
    """Return a copy of a history with events of ``length`` steps in a span, ``gap`` apart.

    Accelerations are of the ``targets`` alone (Voight 1989, alpha 2: displacement grows with the
    logarithm of the time left); what they moved stays moved until the next gap has passed.
    """
    random = np.random.default_rng(seed)
    values = history.values.copy()
    events = []
    start = span.start + int(random.integers(1, max(2, gap)))
    while start + length <= span.stop:
        kind = KINDS[int(random.integers(len(KINDS)))]
        names = targets if kind == "acceleration" else history.channels
        name = names[int(random.integers(len(names)))]
        column = history.channels.index(name)
        part = values[start : start + length, column]
        changed = _changed(kind, part, size.window[column], size.step[column], random)
        values[start : start + length, column] = changed
        events.append(Event(kind, name, start, start + length))
        start += length + gap
    return replace(history, values=values), tuple(events)


def _changed(
    kind: str, part: Floats, window: float, step: float, random: np.random.Generator
) -> Floats:
    """Return the values of an event with the fault in them."""
    n = len(part)
    sign = 1.0 if random.random() < 0.5 else -1.0
    size = float(random.uniform(2.0, 6.0)) * sign
    if kind == "offset":
        return part + size * window
    if kind == "drift":
        return part + size * window * np.linspace(0.0, 1.0, n)
    if kind == "noise":
        return part + abs(size) * step * random.standard_normal(n)
    if kind == "freeze":
        return np.full(n, part[0])
    if kind == "spikes":
        hit = random.random(n) < 0.2
        hit[0] = True
        return np.asarray(part + np.where(hit, 2.0 * size * max(step, 0.5 * window), 0.0))
    left = 1.0 - np.arange(n) / n
    return np.asarray(part + abs(size) * window * (-np.log(left) / np.log(n + 1.0)))
