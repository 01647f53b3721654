"""A TW1 node as pure state: it answers questions and makes frames of rows. No port, no clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.commands import RESEND, SYNC, Exchange, Key, Refusal
from firmware_bridge.framing import ACK_REQ, ERROR, RESPONSE, VERSION, Frame, FrameDecoder, encode
from firmware_bridge.layout import Layout
from firmware_bridge.messages import (
    DATA,
    DATA_BATCH,
    DESCRIBE,
    HELLO,
    STATS,
    Description,
    DType,
    Hello,
    Stats,
)
from firmware_bridge.sim_commands import Commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firmware_bridge.reading import Channel

KEPT = 512
"""Samples kept for RESEND."""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What a simulated node says of itself."""

    uid: bytes = b"\x00SIM\x00\x00\x00\x01"
    firmware: tuple[int, int, int] = (1, 0, 0)
    image_hash: bytes = bytes(8)
    battery_mv: int = 3600


def describe(
    channels: Sequence[Channel], dtype: DType = DType.I32, exp10: int = -3
) -> tuple[Description, ...]:
    """Describe channels that are all packed alike: by default to a thousandth, in i32."""
    count = len(channels)
    return tuple(Description(i, count, each, dtype, exp10) for i, each in enumerate(channels))


class SimulatedNode:
    """One node: its layout, its sample count, its boot, its memory of what it sent."""

    def __init__(
        self,
        descriptions: Sequence[Description],
        identity: NodeIdentity | None = None,
        *,
        stats_every: int = 0,
        batch: int = 1,
    ) -> None:
        """Take a layout (ValueError if it is none), and how many rows a STATS or a frame is due."""
        self.identity = identity or NodeIdentity()
        self.layout = Layout(descriptions)
        self.boot = 0
        self.sample_index = 0
        self.commands = Commands(
            {Key.PERIOD_MS: 1000, Key.SAMPLES_PER_FRAME: batch,
             Key.SAMPLES_PER_STATS: stats_every, Key.KEPT_SAMPLES: KEPT}
        )  # fmt: skip
        self._kept: OrderedDict[int, tuple[tuple[float, ...], int]] = OrderedDict()
        self._waiting: list[tuple[tuple[float, ...], int]] = []
        self._decoder = FrameDecoder()
        self._received = [0, 0]  # ok, damaged
        self._asked: set[int] = set()
        self._seq = 0
        self.resent = 0

    def reboot(self, descriptions: Sequence[Description] | None = None) -> bytes:
        """Start anew, with another layout if given; gives the HELLO it sends at boot.

        The sample count goes on, as a node keeps it in its flash; its time starts at zero, which
        the caller of `sample` sees to.
        """
        if descriptions is not None:
            self.layout = Layout(descriptions)
            self._asked.clear()
        self.boot = (self.boot + 1) % 256
        self._decoder.reset()
        self._kept.clear()
        self._waiting.clear()
        self.commands.restarted()
        self._seq = 0
        return self._hello(0, self._next_seq())

    @property
    def boot_id(self) -> int:
        """What HELLO says, and REBOOT must name."""
        return 0x5EED0000 + self.boot

    @property
    def described(self) -> bool:
        """Whether somebody has asked for every channel of this layout."""
        return len(self._asked) == len(self.layout.descriptions)

    def hello(self) -> bytes:
        """Give the HELLO that a node sends at its boot."""
        return self._hello(0, self._next_seq())

    def sample(self, row: Sequence[float], t_us: int) -> list[bytes]:
        """Take one row (NaN: not valid) at node time `t_us`; gives DATA, and STATS when due."""
        kept = (tuple(row), t_us)
        self._kept[self.sample_index % _WRAP] = kept
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self._waiting.append(kept)
        self.sample_index += 1
        frames = []
        settings = self.commands.settings
        if len(self._waiting) >= min(settings[Key.SAMPLES_PER_FRAME], self.layout.batch_size()):
            frames.append(self._send(self.sample_index - len(self._waiting), self._waiting, 0))
            self._waiting = []
        every = settings[Key.SAMPLES_PER_STATS]
        if every and self.sample_index % every == 0:
            frames.append(self._frame(0, STATS, self._next_seq(), self._stats().encode()))
        return frames

    def _send(self, index: int, rows: list[tuple[tuple[float, ...], int]], flags: int) -> bytes:
        values, t_us = rows[0]
        if len(rows) == 1:
            payload = self.layout.pack(index % _WRAP, t_us, values)
            return self._frame(flags, DATA, self._next_seq(), payload)
        dt_us = (rows[-1][1] - t_us) // (len(rows) - 1)
        payload = self.layout.pack_batch(index % _WRAP, t_us, dt_us, [row for row, _ in rows])
        return self._frame(flags, DATA_BATCH, self._next_seq(), payload)

    def receive(self, data: bytes, now_us: int = 0) -> bytes:
        """Take what the gateway wrote, at node time `now_us`; gives the answers."""
        answers = b""
        for item in self._decoder.receive(data):
            self._received[not isinstance(item, Frame)] += 1
            if isinstance(item, Frame):
                answers += self._answer(item, now_us)
                if self.commands.restarting:
                    answers += self.reboot()
        return answers

    def _answer(self, frame: Frame, now_us: int) -> bytes:
        if not frame.flags & ACK_REQ:
            return b""
        if frame.type == HELLO:
            return self._hello(RESPONSE, frame.seq)
        if frame.type == DESCRIBE and len(frame.payload) == 1:
            index = frame.payload[0]
            if index < len(self.layout.descriptions):
                self._asked.add(index)
                payload = self.layout.descriptions[index].encode()
                return self._frame(RESPONSE, DESCRIBE, frame.seq, payload)
        if frame.type == SYNC and len(frame.payload) == 8:
            t1_us = int.from_bytes(frame.payload, "little")
            payload = Exchange(t1_us, now_us, now_us).encode()
            return self._frame(RESPONSE, SYNC, frame.seq, payload)
        if frame.type == RESEND:
            return self._resend(frame)
        flags, payload = self.commands.answer(frame, self.boot_id)
        return self._frame(flags, frame.type, frame.seq, payload)

    def _resend(self, frame: Frame) -> bytes:
        span = self.commands.span(frame.payload, self._kept)
        if isinstance(span, Refusal):
            return self._frame(RESPONSE | ERROR, RESEND, frame.seq, bytes((span,)))
        sent = self._frame(RESPONSE, RESEND, frame.seq, span.encode())
        for k in range(span.count):
            index = (span.first + k) % _WRAP
            sent += self._send(index, [self._kept[index]], RESPONSE)
            self.resent += 1
        return sent

    def _hello(self, flags: int, seq: int) -> bytes:
        identity = self.identity
        hello = Hello(
            self.boot_id,
            identity.uid,
            identity.firmware,
            identity.image_hash,
            self.layout.schema,
            253,
            1,
        )
        return self._frame(flags, HELLO, seq, hello.encode())

    def _stats(self) -> Stats:
        ok, damaged = self._received
        return Stats(ok, damaged, 0, 0, 512, self.identity.battery_mv)

    def _frame(self, flags: int, kind: int, seq: int, payload: bytes) -> bytes:
        return encode(Frame(VERSION, flags, kind, seq, self.boot, payload))

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % (1 << 16)
        return self._seq
