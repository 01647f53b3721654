"""From DATA payloads to readings: layout, ledger, clock, and the filling of gaps."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

from firmware_bridge.filling import Filling
from firmware_bridge.framing import FRAME_COST
from firmware_bridge.layout import schema_of_data
from firmware_bridge.link import Arrival, ClockMap, SampleLedger
from firmware_bridge.messages import DATA_BATCH, Malformed
from firmware_bridge.reading import Dropped, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_bridge.interview import Interview
    from firmware_bridge.layout import Layout, Sample

    Drop = Callable[[str, str, int, int], Dropped]
    Items = list[Reading | Dropped]

HELD = 64
"""Samples kept while the node is asked what they hold."""
_INDEX_AT = slice(2, 6)
"""Where a payload has its (first) sample index, whatever its layout."""


class Samples:
    """The samples of one node; ``drop`` counts a `Dropped` and gives it."""

    def __init__(self, source: str, interview: Interview, clock: ClockMap, drop: Drop) -> None:
        self._source = source
        self._interview = interview
        self._drop = drop
        self._held: deque[tuple[int, bytes, int]] = deque()
        self.clock = clock
        self.ledger = SampleLedger()
        self.filling = Filling()
        self.fillable = True
        """Whether the node is thought to know RESEND."""
        self.rejected: Counter[str] = Counter()

    def take(self, kind: int, payload: bytes, now_ms: int) -> Items:
        """Take the payload of a DATA or DATA_BATCH."""
        layout = self._interview.layout
        schema = schema_of_data(payload)
        if layout is None or schema != layout.schema:
            refused = self._hold(kind, payload, schema, now_ms)
            return [] if refused is None else [refused]
        if kind == DATA_BATCH:
            return self._take_batch(layout, payload, now_ms)
        sample = layout.unpack(payload)
        if isinstance(sample, Malformed):
            return [self._drop("format", sample.detail, now_ms, len(payload) + FRAME_COST)]
        return self._take(sample, layout, now_ms, len(payload) + FRAME_COST)

    def _take_batch(self, layout: Layout, payload: bytes, now_ms: int) -> Items:
        samples = layout.unpack_batch(payload)
        if isinstance(samples, Malformed):
            return [self._drop("format", samples.detail, now_ms, len(payload) + FRAME_COST)]
        # The last was sent as it was taken; the others waited for it, and say nothing of the way.
        self.clock.time_ms(samples[-1].t_us, now_ms)
        size = (len(payload) + FRAME_COST) // len(samples)
        return [item for each in samples for item in self._take(each, layout, now_ms, size)]

    def _take(self, sample: Sample, layout: Layout, now_ms: int, size: int) -> Items:
        index, filling = sample.sample_index, self.filling
        arrival = self.ledger.arrived(index)
        if arrival is Arrival.DUPLICATE:
            self._interview.doubt()  # or the node started anew, and its HELLO was lost
            detail = f"sample {index} came before"
            return [self._drop("duplicate", detail, now_ms, size)]
        item = self._reading(sample, layout, now_ms, size)
        if self.ledger.skipped and self.fillable:
            filling.begin(index, self.ledger.skipped + 1, now_ms)
        if not filling.waiting or not filling.take(index, item):
            return [item]
        return filling.release(now_ms)

    def _reading(self, sample: Sample, layout: Layout, now_ms: int, size: int) -> Reading | Dropped:
        for _, reason in sample.rejected:
            self.rejected[reason] += 1
        clock = self.clock
        time_ms = clock.time_ms(sample.t_us, now_ms)
        if sample.rejected and all(map(math.isnan, sample.values)):
            detail = f"sample {sample.sample_index} has no valid value"
            return self._drop("empty", detail, now_ms, size)
        return Reading(self._source, time_ms, sample.sample_index, layout.names, sample.values,
                       now_ms, clock.uncertainty_ms)  # fmt: skip

    def _hold(self, kind: int, payload: bytes, schema: int | None, now_ms: int) -> Dropped | None:
        """Keep a sample of a layout that is being asked for; the oldest gives way to the newest."""
        if schema is None:
            detail = f"DATA of {len(payload)} bytes"
            return self._drop("format", detail, now_ms, len(payload) + FRAME_COST)
        if not self._interview.expects(schema):
            self._interview.doubt()
        self._held.append((kind, payload, now_ms))
        return self._refuse_schema(*self._held.popleft()[1:]) if len(self._held) > HELD else None

    def release(self, before: Layout | None) -> Items:
        """Read what was held, if a layout other than ``before`` has become known."""
        layout = self._interview.layout
        if not self._held or layout is None or layout is before:
            return []
        held, self._held = self._held, deque()
        found: Items = []
        for kind, payload, now_ms in held:
            if schema_of_data(payload) == layout.schema:
                found += self.take(kind, payload, now_ms)
            else:
                found.append(self._refuse_schema(payload, now_ms))
        return found

    def _refuse_schema(self, payload: bytes, now_ms: int) -> Dropped:
        if len(payload) >= _INDEX_AT.stop:  # it did arrive: not a gap
            self.ledger.arrived(int.from_bytes(payload[_INDEX_AT], "little"))
        schema = schema_of_data(payload) or 0
        detail = f"layout {schema:04x} is not known"
        return self._drop("schema", detail, now_ms, len(payload) + FRAME_COST)

    def shift(self, step_ms: int) -> None:
        """Note that our own clock was set by so much."""
        self.clock.shift(step_ms)
        self.filling.shift(step_ms)
        self._held = deque((kind, payload, at + step_ms) for kind, payload, at in self._held)
