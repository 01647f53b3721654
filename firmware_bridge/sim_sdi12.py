"""Simulated SDI-12 sensors behind a transparent adapter, on a pty where wanted.

It answers with code of its own, CRC included, so that a mistake in reading does not cancel out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_instruments import Instrument

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_COMMAND = re.compile(rb"([0-9A-Za-z?])(I|M|C|R|D|)(C?)([0-9]?)!")
_PAGE_CHARACTERS = {"M": 35, "C": 75, "R": 75}
_MAX_HELD = 64
_TICK_MS = 5
_LARGEST_PIECE = 12


def crc_characters(data: bytes) -> bytes:
    """Give the CRC as a shift register of the polynomial 0x8005 makes it, bit by bit."""
    register = 0
    for byte in data:
        for bit in range(8):  # the least significant first, as on the line
            feedback = (register >> 15 ^ byte >> bit) & 1
            register = register << 1 & 0xFFFF ^ 0x8005 * feedback
    crc = int(f"{register:016b}"[::-1], 2)
    return bytes(64 + part for part in (crc // 4096, crc // 64 % 64, crc % 64))


def value_text(value: float) -> str:
    """Give a value as a sensor sends it: a sign, and at most seven digits."""
    whole = f"{value:+.0f}"
    if value == int(value):
        return whole
    return f"{value:+.{min(4, 7 - len(whole.lstrip('+-')))}f}"


class SimulatedSensor:
    """One sensor: it takes the next of its rows for each measurement, the last one again and again.

    ``wait_s`` is what it says, ``measure_ms`` what it takes. It aborts when it is addressed
    meanwhile, and answers D with its bare address while it has nothing.
    """

    def __init__(
        self,
        address: str,
        rows: Iterable[Sequence[float]],
        *,
        wait_s: int = 1,
        measure_ms: int = 60,
        answers_as: str = "",
        page_values: int = 99,
    ) -> None:
        self.address = address
        self.alive = True
        self.measured: list[tuple[float, ...]] = []
        """Rows it has begun to measure."""
        self.aborted = 0
        self.request_ms: int | None = None
        """When it calls that an M is done."""
        self._rows = iter(rows)
        self._wait_s = wait_s
        self._measure_ms = measure_ms if wait_s else 0
        self._own = (answers_as or address).encode()
        self._page_values = page_values
        self._ready_ms: int | None = None
        self._pages: list[bytes] = []
        self._guarded = False

    def command(self, verb: str, guarded: bool, number: int, now_ms: int) -> bytes:
        """Give the answer, without its line end."""
        if self._ready_ms is not None and now_ms < self._ready_ms:
            self.aborted += 1
            self._pages = []
        self._ready_ms = self.request_ms = None
        if verb in ("M", "C"):
            row = self._measure(verb, guarded)
            self._ready_ms = now_ms + self._measure_ms
            if verb == "M" and self._wait_s:
                self.request_ms = self._ready_ms
            count = f"{len(row):02d}" if verb == "C" else str(min(9, len(row)))
            return self._own + f"{self._wait_s:03d}{count}".encode()
        if verb == "R":
            self._measure("R", guarded)
            number = 0
        if verb == "I":
            return self._own + b"14TALUS   SIM1201.0"
        if verb == "":
            return self._own
        page = self._pages[number] if number < len(self._pages) else b""
        answer = self._own + page
        return answer + crc_characters(answer) if page and self._guarded else answer

    def _measure(self, verb: str, guarded: bool) -> tuple[float, ...]:
        row = next(self._rows, None)
        if row is not None or not self.measured:
            self.measured.append(tuple(row or ()))
        self._guarded = guarded
        self._pages = [b""]
        used = 0
        for text in map(value_text, self.measured[-1]):
            if len(self._pages[-1]) + len(text) > _PAGE_CHARACTERS[verb] or (
                used == self._page_values
            ):
                self._pages.append(b"")
                used = 0
            self._pages[-1] += text.encode()
            used += 1
        return self.measured[-1]


@dataclass(frozen=True, slots=True)
class BusFaults:
    """What goes wrong on the bus beside `Faults`. Rates are probabilities, 0..1."""

    deaf_rate: float = 0.0
    """A sensor does not hear a command."""
    late_rate: float = 0.0
    """An answer is late, by up to ``late_ms``."""
    copy_rate: float = 0.0
    """An answer comes a second time, up to ``late_ms`` later."""
    late_ms: int = 0


class SimulatedBus:
    """Sensors on one line. Those of one address answer at once: the line carries what collides.

    `hear` what is sent to the adapter, and `say` what comes out of it until now.
    """

    def __init__(
        self,
        sensors: Sequence[SimulatedSensor],
        *,
        echo: bool = False,
        latency_ms: int = 15,
        faults: Faults | None = None,
        bus_faults: BusFaults | None = None,
    ) -> None:
        self.sensors = sensors
        self.wire = FaultyWire(faults or Faults())
        self.heard: list[str] = []
        """Commands, as they came."""
        self._echo = echo
        self._latency_ms = latency_ms
        self._bus_faults = bus_faults or BusFaults()
        self._random = Random(self.wire.faults.seed + 1)
        self._held = b""
        self._coming: list[tuple[int, int, bytes]] = []
        self._sent = 0

    def hear(self, data: bytes, now_ms: int) -> None:
        """Take what the gateway writes."""
        *commands, self._held = (self._held + data).split(b"!")
        self._held = self._held[-_MAX_HELD:]
        for text in commands:
            if self._echo:
                self._send(text + b"!", now_ms)
            command = _COMMAND.search(text + b"!")
            if command is not None:
                self.heard.append(command[0].decode())
                self._obey(command, now_ms)

    def _obey(self, command: re.Match[bytes], now_ms: int) -> None:
        address, verb = command[1].decode(), command[2].decode()
        answer = b""
        for sensor in self.sensors:
            if not sensor.alive or address not in ("?", sensor.address):
                continue
            if self._random.random() < self._bus_faults.deaf_rate:
                continue
            number = int(command[4] or b"0")
            own = sensor.command(verb, bool(command[3]), number, now_ms)
            answer = collided(answer, own + b"\r\n") if answer else own + b"\r\n"
        if answer:
            self._answer(answer, now_ms + self._latency_ms)

    def _answer(self, answer: bytes, at_ms: int) -> None:
        faults, random = self._bus_faults, self._random
        late_ms = random.randint(0, faults.late_ms) if random.random() < faults.late_rate else 0
        self._send(self.wire.carry(answer), at_ms + late_ms)
        if random.random() < faults.copy_rate:
            self._send(answer, at_ms + random.randint(0, faults.late_ms))

    def _send(self, data: bytes, at_ms: int) -> None:
        self._sent += 1
        self._coming.append((at_ms, self._sent, data))

    def next_ms(self) -> int | None:
        """Say when there is something to say."""
        requests = [s.request_ms for s in self.sensors if s.request_ms is not None]
        return min([*requests, *(at_ms for at_ms, _, _ in self._coming)], default=None)

    def say(self, now_ms: int) -> bytes:
        """Give what has come out of the adapter until now."""
        for sensor in self.sensors:
            if sensor.request_ms is not None and sensor.request_ms <= now_ms:
                if sensor.alive:
                    self._answer(sensor.address.encode() + b"\r\n", sensor.request_ms)
                sensor.request_ms = None
        said = sorted(each for each in self._coming if each[0] <= now_ms)
        self._coming = [each for each in self._coming if each[0] > now_ms]
        return b"".join(data for _, _, data in said)


def collided(one: bytes, other: bytes) -> bytes:
    """Give what two answers at once become: the line is high if one is, and high is a 0."""
    both = bytes(a & b for a, b in zip(one, other, strict=False))
    return both + max(one, other, key=len)[len(both) :]


class Sdi12Pty(Instrument):
    """A `SimulatedBus` on a pty. Answers come in pieces of any size."""

    def __init__(self, bus: SimulatedBus, *, link: Path | str | None = None) -> None:
        super().__init__(link, _TICK_MS / 1000, hold=True)
        self.bus = bus
        self._now_ms = 0  # stands still while there is something to read
        self._random = Random(bus.wire.faults.seed)

    def run(self) -> None:
        """Answer until stopped; in this thread."""
        while not self._stop.is_set():
            if not self._listened():
                self._stop.wait(_TICK_MS / 1000)
                continue
            data = self.pty.read(_TICK_MS / 1000)
            if data:
                self.bus.hear(data, self._now_ms)
            else:
                self._now_ms += _TICK_MS
            said = self.bus.say(self._now_ms)
            while said:
                size = self._random.randint(1, _LARGEST_PIECE)
                self._send(said[:size])
                said = said[size:]
                self._stop.wait(0.0005)
