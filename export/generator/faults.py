"""Faults put into the rows of a site, each labelled exactly where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.generator.fault import ROW_FAULTS, Fault, Faulted, Ints, Labels, Planned, Span
from export.generator.fault_plan import draw_plan
from export.generator.sensors import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.generator.site import Site
    from export.generator.voight import Floats

_ORDER = (
    Fault.TEMPERATURE, Fault.DRIFT, Fault.STEP, Fault.OFFSET, Fault.NOISE, Fault.SPIKE, Fault.SWAP,
    Fault.FREEZE, Fault.RANGE, Fault.MISSING, Fault.DUPLICATE,
    Fault.CLOCK, Fault.GAP, Fault.LATE, Fault.OUT_OF_ORDER, Fault.DOUBLED,
)  # fmt: skip
"""As they come about: the ground, the sensor, the logger, its clock, the link."""
_REPLACING = Fault.FREEZE | Fault.RANGE | Fault.MISSING | Fault.DUPLICATE
"""Nothing is left of the value, nor of what else was wrong with it."""
_LONGEST_LATENCY_MS = 20_000
_BACKLOG_MS = 100
"""Between two rows of a heap."""
_REFERENCE_C = 10.0


def inject(site: Site, plan: Sequence[Planned] | Mapping[Fault, float], seed: int) -> Faulted:
    """Put faults into a site; where ``plan`` is events a station-year, they are drawn.

    Without faults each row arrives within seconds of its time. Raises TalusError for a fault that
    names no channel or lies outside of the rows.
    """
    if isinstance(plan, Mapping):
        plan = draw_plan(site, plan, seed)
    rows = _Rows(site, np.random.default_rng([seed, 8]))
    for planned in sorted(plan, key=lambda p: (_ORDER.index(p.kind), p.row)):
        rows.put(planned)
    return rows.arrived()


class _Rows:
    """The rows of a site while faults are put in."""

    def __init__(self, site: Site, random: np.random.Generator) -> None:
        self._site, self._random = site, random
        self._values: Floats = site.values.copy()
        self._labels: Labels = np.zeros(site.values.shape, np.uint32)
        self._time_ms: Ints = site.time_ms.copy()
        n = len(site.time_ms)
        most = min(_LONGEST_LATENCY_MS, 200 * site.spec.step_s)
        latency = random.integers(most // 10, most, n, dtype=np.int64)
        self._received_ms = np.maximum.accumulate(site.time_ms + latency)
        self._lost = np.zeros(n, np.bool_)
        self._doubled = np.zeros(n, np.bool_)
        self._spans: list[Span] = []

    def put(self, planned: Planned) -> None:
        """Put one in."""
        n, names = len(self._time_ms), self._site.names
        last = planned.row + planned.rows - 1
        if not 0 <= planned.row < n or planned.rows < 1:
            raise TalusError(
                f"{planned.kind.text}: rows {planned.row} .. {last} are not in 0 .. {n}"
            )
        if planned.kind & ROW_FAULTS:
            self._put_row(planned, min(last, n - 1))
            return
        for name in [planned.channel] + [planned.other] * (planned.kind is Fault.SWAP):
            if name not in names:
                raise TalusError(f"{planned.kind.text}: there is no channel {name!r}")
        self._put_value(planned, slice(planned.row, min(last, n - 1) + 1))

    def _put_value(self, planned: Planned, span: slice) -> None:
        """Change the values of a channel."""
        kind, size = planned.kind, planned.size
        column = self._site.column(planned.channel)
        values, n = self._values[:, column], span.stop - span.start
        if kind is Fault.SWAP:
            other = self._site.column(planned.other)
            for table in (self._values, self._labels):  # a sensor takes what ails it along
                table[span, [column, other]] = table[span, [other, column]]
            self._label(planned, span, other)
        elif kind is Fault.FREEZE:
            before = values[max(0, span.start - 1) : span.start + 1]
            values[span] = before[0]
        elif kind in {Fault.RANGE, Fault.MISSING}:
            values[span] = size if kind is Fault.RANGE else np.nan
        else:
            if kind is Fault.TEMPERATURE:
                grown = np.minimum(1.0, np.arange(1, len(values) - span.start + 1) / n)
                span = slice(span.start, len(values))
                added = size * grown * (self._site.truth.sensor_c[span] - _REFERENCE_C)
            elif kind is Fault.DRIFT:
                added = size * np.arange(1, n + 1) / n
                values[span.stop :] += size
            elif kind is Fault.NOISE:
                added = size * self._random.standard_normal(n)
            else:  # SPIKE, STEP, OFFSET
                added = np.full(n, size)
            values[span] += added
            step = self._site.channels[column].noise.resolution
            values[span.start :] = rounded(values[span.start :], step)
        self._label(planned, span, column)

    def _put_row(self, planned: Planned, last: int) -> None:
        """Change whole rows: their values, times, or way to us."""
        kind, row, n = planned.kind, planned.row, len(self._time_ms)
        span = slice(row, last + 1)
        if kind is Fault.DUPLICATE:
            back = round(planned.size)
            if not 0 < back <= row:
                raise TalusError(f"duplicate: row {row} has no row {back} before it")
            self._values[span] = self._values[row - back : last + 1 - back].copy()
        elif kind is Fault.CLOCK:
            self._time_ms[span] += round(planned.size)
        elif kind is Fault.GAP:
            self._lost[span] = True
            self._labels[last + 1 : last + 2] |= np.uint32(Fault.GAP)
            self._spans.append(self._span(planned, span, ""))
            return
        elif kind is Fault.DOUBLED:
            self._doubled[span] = True
            self._spans.append(self._span(planned, span, ""))
            return
        elif kind is Fault.LATE:
            heap = self._received_ms[min(last + 1, n - 1)]
            self._received_ms[span] = heap + _BACKLOG_MS * np.arange(1, last - row + 2)
        else:
            span = slice(row, row + 1)
            self._received_ms[row] = self._received_ms[min(last + 1, n - 1)] + _BACKLOG_MS
        self._label(planned, span, slice(None))

    def _label(self, planned: Planned, span: slice, column: int | slice) -> None:
        if planned.kind & _REPLACING:
            self._labels[span, column] = 0
        self._labels[span, column] |= np.uint32(planned.kind)
        name = "" if isinstance(column, slice) else self._site.names[column]
        self._spans.append(self._span(planned, span, name))

    def _span(self, planned: Planned, span: slice, name: str) -> Span:
        first, last, time_ms = span.start, span.stop - 1, self._site.time_ms
        start, end = int(time_ms[first]), int(time_ms[last])
        return Span(planned.kind, name, first, last, start, end, planned.size)

    def arrived(self) -> Faulted:
        """Return the rows as they come in."""
        there = np.flatnonzero(~self._lost)
        again = np.flatnonzero(self._doubled & ~self._lost)
        row = np.concatenate((there, again)).astype(np.int64)
        received = np.concatenate((self._received_ms[there], self._received_ms[again] + 1))
        labels = self._labels[row]
        labels[len(there) :] |= np.uint32(Fault.DOUBLED)
        order = np.argsort(received, kind="stable")
        row = row[order]
        spans = tuple(sorted(self._spans, key=lambda s: (s.first_row, int(s.kind), s.channel)))
        names, values = self._site.names, self._values[row]
        return Faulted(
            names, self._time_ms[row], received[order], values, row, labels[order], spans
        )
