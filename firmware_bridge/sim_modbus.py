"""A simulated Modbus RTU line with several instruments, on a pty where wanted.

CRC, frames and numbers are made by code of its own, so that a mistake in the driver does not
cancel out. It has no clock: whoever runs it says what time it is.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_instruments import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_READ_S = 0.005
_LARGEST_PIECE = 5
_MAX_REQUEST = 256
_LETTERS = "ABCDEFGH"


def checksum(data: bytes) -> bytes:
    """Give the CRC as two bytes, by long division of the bits in the order they are sent."""
    register = 0xFFFF
    for byte in data:
        for bit in range(8):
            carry = (register >> 15 & 1) ^ (byte >> bit & 1)
            register = (register << 1 & 0xFFFF) ^ (0x8005 if carry else 0)
    mirrored = int(f"{register:016b}"[::-1], 2)
    return bytes((mirrored % 256, mirrored // 256))


def registers(value: float, format_: str, order: str) -> tuple[int, ...]:
    """Give the registers of a number; ``format_`` as in struct, ``order`` such as "CDAB".

    ABCD spelt out for eight bytes is ABCDEFGH, CDAB is GHEFCDAB, BADC is BADCFEHG.
    """
    number = struct.pack(">" + format_, value if format_ in "fd" else int(value))
    letters = _LETTERS[: len(number)]
    pairs = [letters[i : i + 2] for i in range(0, len(letters), 2)]
    if order in ("CDAB", "DCBA"):
        pairs.reverse()
    if order in ("BADC", "DCBA"):
        pairs = [pair[::-1] for pair in pairs]
    sent = [number[_LETTERS.index(letter)] for letter in "".join(pairs)]
    return tuple(256 * high + low for high, low in zip(sent[::2], sent[1::2], strict=True))


@dataclass(slots=True)
class SimulatedSlave:
    """One instrument: its registers, and what it does when one is written.

    With a ``trigger`` register what is measured (``measures``) is in its registers only
    ``measure_s`` after a value other than 0 was written there. Before ``warm_up_s`` from when it
    was powered it refuses (exception 4).
    """

    address: int
    holding: dict[int, int] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    trigger: int | None = None
    measure_s: float = 0.0
    measures: Callable[[int], Mapping[int, int]] | None = None
    """Gives the registers of the n-th measurement, from 1."""
    warm_up_s: float = 0.0
    answer_s: float = 0.0
    """How long it takes to answer."""
    dead: bool = False
    busy: int = 0
    """So many requests are refused with "busy" (6)."""
    powered_s: float | None = None
    measured: int = 0
    asked: Counter[int] = field(default_factory=Counter)
    """Requests to it, by function."""
    _ready_s: float | None = None

    def answer(self, request: bytes, now_s: float) -> bytes:
        """Give the answer to a request (without its CRC); b"" of none."""
        if self.powered_s is None:
            self.powered_s = now_s
        if self.dead:
            return b""
        function = request[1]
        self.asked[function] += 1
        warming = self.warm_up_s > 0 and now_s < self.powered_s + self.warm_up_s
        if warming or self.busy:
            self.busy -= not warming
            return self._refuse(function, 4 if warming else 6)
        self._finish(now_s)
        first, second = (request[2] << 8 | request[3]), (request[4] << 8 | request[5])
        if function in (3, 4):
            return self._read(function, first, second)
        if function not in (6, 16):
            return self._refuse(function, 1)
        values = [second]
        if function == 16:
            values = [request[i] << 8 | request[i + 1] for i in range(7, len(request), 2)]
            if len(values) != second or request[6] != 2 * second:
                return self._refuse(function, 3)
        return self._write(function, first, values, request[:6], now_s)

    def _refuse(self, function: int, code: int) -> bytes:
        return bytes((self.address, function + 128, code))

    def _read(self, function: int, first: int, count: int) -> bytes:
        if not 1 <= count <= 125:
            return self._refuse(function, 3)
        bank = self.holding if function == 3 else self.inputs
        words = [bank.get(first + i) for i in range(count)]
        if None in words:
            return self._refuse(function, 2)
        data = b"".join(bytes(divmod(word, 256)) for word in words if word is not None)
        return bytes((self.address, function, len(data))) + data

    def _write(
        self, function: int, first: int, values: list[int], echo: bytes, now_s: float
    ) -> bytes:
        places = range(first, first + len(values))
        if any(place not in self.holding for place in places):
            return self._refuse(function, 2)
        self.holding.update(zip(places, values, strict=True))
        if self.trigger is not None and self.trigger in places and self.holding[self.trigger]:
            self._ready_s = now_s + self.measure_s
        return echo

    def _finish(self, now_s: float) -> None:
        if self._ready_s is None or now_s < self._ready_s:
            return
        self._ready_s = None
        self.measured += 1
        if self.measures is not None:
            self.holding.update(self.measures(self.measured))


class SimulatedBus:
    """The line: which bytes come back of those written to it, and after how long."""

    def __init__(
        self,
        slaves: list[SimulatedSlave],
        *,
        echo: bool = False,
        faults: Faults | None = None,
        late_rate: float = 0.0,
        late_s: float = 0.0,
    ) -> None:
        self.slaves = slaves
        self.wire = FaultyWire(faults or Faults())
        self.late = 0
        """Answers that came ``late_s`` later than they should."""
        self._echo = echo
        self._late_rate = late_rate
        self._late_s = late_s
        self._random = Random(self.wire.faults.seed + 1)
        self._held = b""

    def receive(self, data: bytes, now_s: float) -> list[tuple[float, bytes]]:
        """Take bytes that were written; gives (when, bytes) of what comes back."""
        back = [(now_s, data)] if self._echo and data else []
        self._held += data
        while (request := self._cut()) is not None:
            answering = [slave for slave in self.slaves if slave.address == request[0]]
            answers = []
            for slave in answering:
                answer = slave.answer(request, now_s)
                if answer:
                    answers.append((slave.answer_s, answer + checksum(answer)))
            if answers:
                back.append(self._carried(answers, now_s))
        return back

    def _carried(self, answers: list[tuple[float, bytes]], now_s: float) -> tuple[float, bytes]:
        """Let the answers go over the line; of several at once a bit is low where any one is."""
        longest = max(len(answer) for _, answer in answers)
        mixed = bytearray(b"\xff" * longest)
        for _, answer in answers:
            for i, byte in enumerate(answer):
                mixed[i] &= byte
        wait_s = max(wait_s for wait_s, _ in answers)
        if self._random.random() < self._late_rate:
            self.late += 1
            wait_s += self._late_s
        return now_s + wait_s, self.wire.carry(bytes(mixed))

    def _cut(self) -> bytes | None:
        """Take the next whole request off what is held, its CRC left out."""
        while len(self._held) >= 8:
            size = 8
            if self._held[1] == 16:
                size = 9 + self._held[6]
            if len(self._held) < size:
                return None
            frame = self._held[:size]
            if checksum(frame[:-2]) == frame[-2:]:
                self._held = self._held[size:]
                return frame[:-2]
            self._held = self._held[1:][-_MAX_REQUEST:]
        return None


class BusPty(Instrument):
    """A `SimulatedBus` on a pty. Answers come in pieces that do not end where they do."""

    def __init__(
        self,
        bus: SimulatedBus,
        clock_s: Callable[[], float],
        *,
        link: Path | str | None = None,
        babble: bytes = b"",
    ) -> None:
        super().__init__(link, 0.0, hold=False)
        self.bus = bus
        self._clock_s = clock_s
        self._babble = babble
        self._random = Random(bus.wire.faults.seed)

    def run(self) -> None:
        """Answer until stopped; in this thread."""
        for slave in self.bus.slaves:
            slave.powered_s = self._clock_s()
        waiting: list[tuple[float, bytes]] = []
        while not self._stop.is_set():
            if not self.pty.listening():
                self._stop.wait(_READ_S)
                continue
            if self._babble:
                self._send(self._babble)
            written = self.pty.read(_READ_S)
            now_s = self._clock_s()
            waiting += self.bus.receive(written, now_s)
            due = sorted(each for each in waiting if each[0] <= now_s)
            waiting = [each for each in waiting if each[0] > now_s]
            for _, data in due:
                self._send_in_pieces(data)
                self.rows_sent += 1

    def _send_in_pieces(self, data: bytes) -> None:
        while data and not self._stop.is_set():
            size = self._random.randint(1, _LARGEST_PIECE)
            self._send(data[:size])
            data = data[size:]
            self._stop.wait(0.0005)
