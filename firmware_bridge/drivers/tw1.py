"""The TW1 driver: a node that describes itself, numbers its samples and checks its frames."""

from __future__ import annotations

import math
from collections import Counter, deque

from firmware_bridge.framing import ACK_REQ, ERROR, RESERVED, BadFrame, Frame, FrameDecoder, encode
from firmware_bridge.interview import Interview
from firmware_bridge.layout import schema_of_data
from firmware_bridge.link import Arrival, ClockMap, SampleLedger
from firmware_bridge.messages import (
    DATA,
    DATA_BATCH,
    DESCRIBE,
    HELLO,
    STATS,
    Description,
    Hello,
    Malformed,
    Stats,
    decode_description,
    decode_hello,
    decode_stats,
)
from firmware_bridge.reading import Channel, Dropped, LinkHealth, Reading

_FRAME_COST = 10
"""Bytes between the delimiters beside the payload: header, CRC-32 and one of COBS."""
HELD = 64
"""Samples kept while the node is asked what they hold."""
_INDEX_AT = slice(2, 6)
"""Where a DATA payload has its sample index, whatever its layout."""
_DAMAGE = {
    "cobs": "the byte stuffing does not add up",
    "crc": "the checksum does not match",
    "short": "shorter than any frame",
    "overflow": "no delimiter where the longest frame would have ended",
    "version": "a version of TW1 that is not spoken here",
    "partial": "the rest of a frame that began before the port was opened",
}


class Tw1Driver:
    """One TW1 node on one port; see `reading.Driver`.

    `clock` is "arrival" for real nodes, "node" for simulators that run faster than time; see
    `link.ClockMap`, also for `epoch_ms`.
    """

    def __init__(self, source: str, clock: str = "arrival", epoch_ms: int | None = None) -> None:
        self.source = source
        self._decoder = FrameDecoder()
        self._interview = Interview()
        self._ledger = SampleLedger()
        self._clock = ClockMap(clock, epoch_ms)
        self._stats: Stats | None = None
        self._frames_ok = 0
        self._dropped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._held: deque[tuple[bytes, int]] = deque()
        self._cut_short = 0  # bytes of the half frame held when the port was opened anew

    @property
    def layout(self) -> tuple[Channel, ...] | None:
        """The channels as the node describes them; None until it has."""
        layout = self._interview.layout
        return None if layout is None else layout.channels

    def opened(self, now_ms: int) -> None:
        """Forget the half frame and ask anew who is there; what is known stays until then."""
        self._cut_short = self._decoder.reset() or self._cut_short
        self._interview.begin()

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set: node times are mapped to the new one at once."""
        self._clock.shift(step_ms)
        self._held = deque((payload, at_ms + step_ms) for payload, at_ms in self._held)

    def write_next(self, now_ms: int) -> bytes:
        """Give the next question for the node; b"" if there is none."""
        question = self._interview.next_question(now_ms)
        return b"" if question is None else encode(question)

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all; never raises."""
        found: list[Reading | Dropped] = []
        if self._cut_short:
            found.append(self._drop("truncated", "the port vanished", now_ms, self._cut_short))
            self._cut_short = 0
        for item in self._decoder.receive(data):
            if isinstance(item, BadFrame):
                found.append(self._drop(item.reason, _DAMAGE[item.reason], now_ms, item.size))
                continue
            self._frames_ok += 1
            before = self._interview.layout
            taken = self._take(item, now_ms)
            if taken is not None:
                found.append(taken)
            if self._held and self._interview.layout not in (None, before):
                found += self._release()
        return found

    def _take(self, frame: Frame, now_ms: int) -> Reading | Dropped | None:
        flags = frame.flags
        if flags:
            if flags & ACK_REQ and len(frame.payload) <= 1:
                self._ignored["echo"] += 1  # our own question: RS-485 adapters repeat it
                return None
            if flags & ERROR:
                self._ignored["error"] += 1
                return None
            if flags & RESERVED:
                self._ignored["flag"] += 1
        if frame.type == DATA:
            self._note_boot(frame.boot)
            return self._take_data(frame.payload, now_ms)
        return self._take_other(frame, now_ms)

    def _take_data(self, payload: bytes, now_ms: int) -> Reading | Dropped | None:
        layout = self._interview.layout
        schema = schema_of_data(payload)
        if layout is None or schema != layout.schema:
            return self._hold(payload, schema, now_ms)
        sample = layout.unpack(payload)
        if isinstance(sample, Malformed):
            return self._drop("format", sample.detail, now_ms, len(payload) + _FRAME_COST)
        if self._ledger.arrived(sample.sample_index) is Arrival.DUPLICATE:
            self._interview.doubt()  # or the node started anew, and its HELLO was lost
            detail = f"sample {sample.sample_index} came before"
            return self._drop("duplicate", detail, now_ms, len(payload) + _FRAME_COST)
        for _, reason in sample.rejected:
            self._rejected[reason] += 1
        time_ms = self._clock.time_ms(sample.t_us, now_ms)
        if sample.rejected and all(map(math.isnan, sample.values)):
            detail = f"sample {sample.sample_index} has no valid value"
            return self._drop("empty", detail, now_ms, len(payload) + _FRAME_COST)
        return Reading(
            self.source, time_ms, sample.sample_index, layout.names, sample.values, now_ms
        )

    def _hold(self, payload: bytes, schema: int | None, now_ms: int) -> Dropped | None:
        """Keep a sample of a layout that is being asked for; the oldest gives way to the newest."""
        if schema is None:
            detail = f"DATA of {len(payload)} bytes"
            return self._drop("format", detail, now_ms, len(payload) + _FRAME_COST)
        if not self._interview.expects(schema):
            self._interview.doubt()
        self._held.append((payload, now_ms))
        return self._refuse_schema(*self._held.popleft()) if len(self._held) > HELD else None

    def _release(self) -> list[Reading | Dropped]:
        """Read what was held: a layout has just become known."""
        held, self._held = self._held, deque()
        layout = self._interview.layout
        found = []
        for payload, now_ms in held:
            known = layout is not None and schema_of_data(payload) == layout.schema
            item = (self._take_data if known else self._refuse_schema)(payload, now_ms)
            if item is not None:
                found.append(item)
        return found

    def _refuse_schema(self, payload: bytes, now_ms: int) -> Dropped:
        if len(payload) >= _INDEX_AT.stop:  # it did arrive: not a gap
            self._ledger.arrived(int.from_bytes(payload[_INDEX_AT], "little"))
        schema = schema_of_data(payload) or 0
        detail = f"layout {schema:04x} is not known"
        return self._drop("schema", detail, now_ms, len(payload) + _FRAME_COST)

    def _take_other(self, frame: Frame, now_ms: int) -> Dropped | None:
        message: Hello | Description | Stats | Malformed | None = None
        if frame.type == HELLO:
            message = decode_hello(frame.payload)
        elif frame.type == DESCRIBE:
            message = decode_description(frame.payload)
        elif frame.type == STATS:
            message = decode_stats(frame.payload)
        elif frame.type == DATA_BATCH:
            detail = "DATA_BATCH is not read here: set the node to single samples"
            return self._drop("unsupported", detail, now_ms, len(frame.payload) + _FRAME_COST)
        else:
            self._ignored["type"] += 1
            return None
        if not isinstance(message, Malformed):
            self._note_boot(frame.boot)
            message = self._take_message(message, now_ms)
        if message is None:
            return None
        return self._drop("message", message.detail, now_ms, len(frame.payload) + _FRAME_COST)

    def _take_message(self, message: Hello | Description | Stats, now_ms: int) -> Malformed | None:
        if isinstance(message, Description):
            return self._interview.take_description(message, now_ms)
        if isinstance(message, Stats):
            self._stats = message
            return None
        if self._ledger.note_boot_id(message.boot_id):
            self._clock.restarted()
        self._interview.take_hello(message, now_ms)
        return None

    def _note_boot(self, boot: int) -> None:
        if self._ledger.note_boot(boot):
            self._clock.restarted()
            self._interview.begin()

    def _drop(self, reason: str, detail: str, now_ms: int, size: int) -> Dropped:
        self._dropped[reason] += 1
        return Dropped(self.source, reason, detail, now_ms, size)

    def health(self) -> LinkHealth:
        """Give the counters so far."""
        hello, stats = self._interview.hello, self._stats
        return LinkHealth(
            source=self.source,
            frames_ok=self._frames_ok,
            dropped=tuple(sorted(self._dropped.items())),
            values_rejected=tuple(sorted(self._rejected.items())),
            gaps=self._ledger.gaps,
            duplicates=self._ledger.duplicates,
            reboots=self._ledger.reboots,
            battery_mv=stats.battery_mv if stats is not None and stats.battery_mv else None,
            node_uid=None if hello is None else hello.uid.hex(),
            firmware=None if hello is None else ".".join(map(str, hello.firmware)),
            ignored=tuple(sorted(self._ignored.items())),
        )
