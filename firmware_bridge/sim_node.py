"""A TW1 node as pure state: it answers questions and makes frames of rows. No port, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_bridge.framing import ERROR, RESPONSE, VERSION, Frame, FrameDecoder, encode
from firmware_bridge.layout import Layout
from firmware_bridge.messages import (
    DATA,
    DESCRIBE,
    HELLO,
    STATS,
    Description,
    DType,
    Hello,
    Stats,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firmware_bridge.reading import Channel


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
    """One node: its layout, its sample count, its boot."""

    def __init__(
        self,
        descriptions: Sequence[Description],
        identity: NodeIdentity | None = None,
        *,
        stats_every: int = 0,
    ) -> None:
        """Take a layout (ValueError if it is none) and send STATS every so many rows, 0 never."""
        self.identity = identity or NodeIdentity()
        self.layout = Layout(descriptions)
        self.boot = 0
        self.sample_index = 0
        self._stats_every = stats_every
        self._decoder = FrameDecoder()
        self._received = [0, 0]  # ok, damaged
        self._asked: set[int] = set()
        self._seq = 0

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
        self._seq = 0
        return self._hello(0, self._next_seq())

    @property
    def described(self) -> bool:
        """Whether somebody has asked for every channel of this layout."""
        return len(self._asked) == len(self.layout.descriptions)

    def hello(self) -> bytes:
        """Give the HELLO that a node sends at its boot."""
        return self._hello(0, self._next_seq())

    def sample(self, row: Sequence[float], t_us: int) -> list[bytes]:
        """Take one row (NaN: not valid) at node time `t_us`; gives DATA, and STATS when due."""
        payload = self.layout.pack(self.sample_index % (1 << 32), t_us, row)
        self.sample_index += 1
        frames = [self._frame(0, DATA, self._next_seq(), payload)]
        if self._stats_every and self.sample_index % self._stats_every == 0:
            frames.append(self._frame(0, STATS, self._next_seq(), self._stats().encode()))
        return frames

    def receive(self, data: bytes) -> bytes:
        """Take what the gateway wrote; gives the answers."""
        answers = b""
        for item in self._decoder.receive(data):
            self._received[not isinstance(item, Frame)] += 1
            if isinstance(item, Frame):
                answers += self._answer(item)
        return answers

    def _answer(self, frame: Frame) -> bytes:
        if frame.type == HELLO:
            return self._hello(RESPONSE, frame.seq)
        if frame.type == DESCRIBE and len(frame.payload) == 1:
            index = frame.payload[0]
            if index < len(self.layout.descriptions):
                self._asked.add(index)
                payload = self.layout.descriptions[index].encode()
                return self._frame(RESPONSE, DESCRIBE, frame.seq, payload)
        return self._frame(RESPONSE | ERROR, frame.type, frame.seq, b"")

    def _hello(self, flags: int, seq: int) -> bytes:
        identity = self.identity
        boot_id = 0x5EED0000 + self.boot
        hello = Hello(
            boot_id,
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
