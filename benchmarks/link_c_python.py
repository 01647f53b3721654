"""TW1 as Python reads and writes it, in the words of tests/vectors/tw1.json; see `link_c`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from firmware_bridge import commands, messages
from firmware_bridge.framing import BadFrame, Frame, FrameDecoder
from firmware_bridge.layout import Layout, Sample, schema_of_data
from firmware_bridge.messages import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _event(item: Frame | BadFrame) -> list[Any]:
    if isinstance(item, BadFrame):
        return [item.reason, item.size]
    return ["frame", item.flags, item.type, item.seq, item.boot, item.payload.hex()]


def _pieces(data: bytes, cuts: list[int], reset_at: int) -> Iterator[tuple[bool, bytes]]:
    """Give the pieces of a stream, and whether the receiver is reset before each."""
    ends = list(range(1, len(data))) if cuts == [-1] else cuts
    edges = sorted({0, *ends, len(data), *({reset_at} if reset_at >= 0 else ())})
    for at in edges:
        end = next((edge for edge in edges if edge > at), at)
        yield at == reset_at, data[at:end]


def python_stream(data: bytes, cuts: list[int], reset_at: int) -> list[Any]:
    """Receive a stream; gives [bytes forgotten, events] as the C program does, turned round."""
    decoder, events, forgotten = FrameDecoder(), [], 0
    for reset, piece in _pieces(data, cuts, reset_at):
        if reset:
            forgotten = decoder.reset()
        events += [_event(item) for item in decoder.receive(piece)]
    return [events, forgotten]


def _hello(m: messages.Hello) -> list[Any]:
    return [m.boot_id, m.uid.hex(), list(m.firmware), m.image_hash.hex(), m.schema, m.max_raw,
            m.reset_cause]  # fmt: skip


def _bound(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _description(m: messages.Description) -> list[Any]:
    c = m.channel
    return [m.index, m.count, int(c.quantity), int(c.unit), int(m.dtype), m.exp10, c.period_ms,
            _bound(c.low), _bound(c.high), c.name]  # fmt: skip


def _stats(m: messages.Stats) -> list[Any]:
    return [m.received_ok, m.received_crc, m.received_format, m.received_overflow, m.free_stack,
            m.battery_mv]  # fmt: skip


_READ: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], list[Any]]]] = {
    "hello": (messages.decode_hello, _hello),
    "describe": (messages.decode_description, _description),
    "stats": (messages.decode_stats, _stats),
    "sync_request": (commands.decode_sync_request, lambda t1: [t1]),
    "sync": (commands.decode_sync, lambda m: [m.t1_us, m.t2_us, m.t3_us]),
    "get_set": (commands.decode_setting, lambda m: [int(m.written), m.key, m.value]),
    "reboot": (lambda data: commands.boot_of_request(data, 4), lambda boot: [boot]),
    "resend": (commands.decode_span, lambda m: [m.first, m.last]),
}


def python_message(kind: str, data: bytes) -> tuple[list[Any] | None, bytes]:
    """Read a message; gives its fields and what Python writes of them."""
    if kind == "enter_update":
        boot = commands.boot_of_request(data, 5)
        if isinstance(boot, Malformed):
            return None, b""
        return [boot, data[4]], commands.update_request(boot, data[4])
    read, fields = _READ[kind]
    message = read(data)
    if isinstance(message, Malformed):
        return None, b""
    if kind == "sync_request":
        return fields(message), commands.sync_request(message)
    if kind == "reboot":
        return fields(message), commands.reboot_request(message)
    return fields(message), message.encode()


def python_samples(layout: Layout, kind: str, data: bytes) -> list[Any] | None:
    """Read DATA or DATA_BATCH; gives [schema, [index, t_us, values, reasons] of each sample]."""
    found = layout.unpack_batch(data) if kind == "batch" else layout.unpack(data)
    if isinstance(found, Malformed):
        return None
    samples = [found] if isinstance(found, Sample) else found
    return [schema_of_data(data), [
        [s.sample_index, s.t_us, [None if math.isnan(v) else v for v in s.values],
         [list(each) for each in s.rejected]] for s in samples]]  # fmt: skip
