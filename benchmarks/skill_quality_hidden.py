"""Faults that nobody can tell from the ground or the weather with what the station has.

The rules speak of what is there physically, and of nothing that quality control did. They were set
on other seeds than those that are reported; hidden faults are counted and reported beside the rest.

spike        it is less than STEADY times the usual bend (robust sd of second differences over a
             month) of the channel without faults: the air itself does as much within two hours
step         no neighbour is there to tell it from movement: each is silent, at fault, or its own
             differences hide SHARE of it; or it is hidden in the channel's own differences; or
             ground on its way that way covers as much within FAST readings
drift        no neighbour is there whose noise does not hide it and that has no slow fault itself;
             another slow fault is on the channel; or the ground changes its own pace meanwhile by
             more than RESTLESS of what the drift adds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.generator.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export.generator.fault import Faulted, Span
    from export.generator.site import Site
    from export.generator.voight import Floats

DAY_MS = 86_400_000
STEADY = 6.0
SHARE, WITNESS = 0.3, 3.0
OWN = 8.0
FAST = 30.0
RESTLESS = 0.3
DRIFT_WITNESS = 0.25
"""The pace of a drift in sd of a neighbour's noise a day."""
SHORT_D, LONG_D = 10, 60
AFTER_D = 20.0
_SLOW = Fault.DRIFT | Fault.TEMPERATURE
_BAD = Fault.FREEZE | Fault.SPIKE | Fault.NOISE | Fault.RANGE | Fault.MISSING | Fault.SWAP


class Hidden:
    """What can be seen at one site."""

    def __init__(self, site: Site, faulted: Faulted) -> None:
        self._site, self._faulted = site, faulted
        self._came = np.full(site.values.shape, np.nan)
        self._came[faulted.row] = faulted.values

    def why(self, span: Span) -> str:
        """Say why a fault cannot be seen; "" where it can."""
        if span.kind is Fault.SPIKE:
            return self._spike(span)
        if span.kind is Fault.STEP:
            return self._step(span)
        if span.kind is Fault.DRIFT:
            return self._drift(span)
        return ""

    def _spike(self, span: Span) -> str:
        around = self._around(self._site.values, span, 15)
        bend = _robust(np.diff(around, n=2))
        return "no more than the channel does itself" if abs(span.size) < STEADY * bend else ""

    def _step(self, span: Span) -> str:
        row, size = span.first_row, abs(span.size)
        if size < OWN * self._usual(span.channel, row):
            return "within its own differences"
        pace = self._site.truth.velocity[row, self._site.column(span.channel)]
        if pace * span.size > 0 and size < FAST * abs(pace) * self._site.spec.step_s / 86_400.0:
            return "on ground on its way"
        for name in self._neighbours(span.channel):
            if self._at_fault(name, row - 2, row + 2, _BAD):
                continue
            here = self._came[row - 2 : row + 2, self._site.column(name)]
            shows = SHARE * size > WITNESS * self._usual(name, row)
            if shows and np.isfinite(here).all():
                return ""
        return "no neighbour that would show it"

    def _drift(self, span: Span) -> str:
        site, a_day = self._site, 86_400 // self._site.spec.step_s
        days = max(1.0, (span.end_ms - span.start_ms) / DAY_MS)
        pace = abs(span.size) / days
        if self._slow(span.channel, span):
            return "another slow fault on it"
        near = [name for name in self._neighbours(span.channel) if not self._slow(name, span)]
        noise = {c.name: c.noise.sd for c in site.channels}
        if not any(pace > DRIFT_WITNESS * noise[name] for name in near):
            return "no sound neighbour that would show it"
        moved = site.truth.moved[:, site.column(span.channel)]
        ends = np.arange(span.first_row, span.last_row + 1, max(1, a_day))
        before = [np.maximum(ends - d * a_day, 0) for d in (SHORT_D, LONG_D)]
        short, long = ((moved[ends] - moved[b]) * a_day / np.maximum(ends - b, 1) for b in before)
        return "the ground moves" if np.abs(short - long).max() > RESTLESS * pace else ""

    def _neighbours(self, name: str) -> tuple[str, ...]:
        return self._site.channels[self._site.column(name)].neighbours

    def _slow(self, name: str, span: Span) -> bool:
        """Whether a channel has a slow fault, other than this, at or shortly before its time."""
        return any(
            s.start_ms <= span.end_ms and s.end_ms + AFTER_D * DAY_MS >= span.start_ms
            for s in self._of(name, _SLOW)
            if s is not span
        )

    def _at_fault(self, name: str, first: int, last: int, kinds: Fault) -> bool:
        return any(s.first_row <= last and s.last_row >= first for s in self._of(name, kinds))

    def _of(self, name: str, kinds: Fault) -> Iterator[Span]:
        return (s for s in self._faulted.spans if s.channel == name and s.kind & kinds)

    def _usual(self, name: str, row: int) -> float:
        """Give the usual first difference in the fortnight before a row, with faults or without."""
        rows, column = 14 * 86_400 // self._site.spec.step_s, self._site.column(name)
        before = slice(max(0, row - rows), row)
        return max(_robust(np.diff(v[before, column])) for v in (self._came, self._site.values))

    def _around(self, values: Floats, span: Span, days: int) -> Floats:
        rows = days * 86_400 // self._site.spec.step_s
        first, last = max(0, span.first_row - rows), span.last_row + rows
        return values[first:last, self._site.column(span.channel)]


def _robust(values: Floats) -> float:
    """Give the sd that a normal distribution of the same median size has."""
    known = values[np.isfinite(values)]
    return float(np.median(np.abs(known)) / 0.6745) if known.size else float("inf")
