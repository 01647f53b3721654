"""A Modbus driver and a simulated line, joined in simulated time."""

from __future__ import annotations

import math

from firmware_bridge.drivers.modbus import ModbusDriver
from firmware_bridge.modbus_plan import (
    Check,
    ModbusChannel,
    ModbusDevice,
    ModbusPlan,
    Read,
    Wait,
    Write,
)
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_modbus import SimulatedBus, SimulatedSlave, registers

T0_MS = 1_760_000_000_000
Items = list[Reading | Dropped]


class Line:
    """A driver and a line in simulated time; bytes arrive in pieces of a size."""

    def __init__(
        self,
        plan: ModbusPlan,
        *slaves: SimulatedSlave,
        piece: int = 1000,
        babble: bytes = b"",
        look_ms: int = 1,
        **more,
    ) -> None:
        self.driver = ModbusDriver("bus", plan)
        self.bus = SimulatedBus(list(slaves), **more)
        self.now_ms = T0_MS
        self.items: Items = []
        self.asked: list[tuple[int, bytes]] = []
        self.recorded: list[tuple[int, bytes | None]] = []
        """Bytes when they came; None for a look that gave something, as a capture has it."""
        self._coming: list[tuple[int, bytes]] = []
        self._piece = piece
        self._babble = babble
        self._look_ms = look_ms  # the loop is busy with other things
        self.driver.opened(self.now_ms)

    def run(self, for_ms: int) -> Line:
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            items = self.driver.receive(b"", self.now_ms)
            self.items += items
            request = self.driver.write_next(self.now_ms)
            if items or request:
                self.recorded.append((self.now_ms, None))
            if request:
                self.asked.append((self.now_ms, request))
                for when_s, data in self.bus.receive(request, self.now_ms / 1000):
                    self._coming.append((math.ceil(when_s * 1000), data))
            self._coming.sort(key=lambda each: each[0])
            due_ms = self.driver.due_ms(self.now_ms)
            assert due_ms is not None
            next_ms = min([due_ms, end_ms, *(when for when, _ in self._coming)])
            if self._babble:
                next_ms = min(next_ms, self.now_ms + 5)
            self.now_ms = max(self.now_ms + (not request), next_ms)
            self.now_ms += (T0_MS - self.now_ms) % self._look_ms
            arrived = b"".join(data for when, data in self._coming if when <= self.now_ms)
            self._coming = [each for each in self._coming if each[0] > self.now_ms]
            arrived = self._babble + arrived
            for at in range(0, len(arrived), self._piece):
                self.recorded.append((self.now_ms, arrived[at : at + self._piece]))
                self.items += self.driver.receive(arrived[at : at + self._piece], self.now_ms)
        return self

    @property
    def readings(self) -> list[Reading]:
        return [item for item in self.items if isinstance(item, Reading)]

    @property
    def dropped(self) -> list[Dropped]:
        return [item for item in self.items if isinstance(item, Dropped)]

    def counts(self, device: str) -> dict[str, int]:
        return dict(dict(self.driver.health().nodes)[device])


def channel(name: str = "tilt", register: int = 0, **more) -> ModbusChannel:
    return ModbusChannel(name, register, **more)


def device(address: int = 1, *channels: ModbusChannel, **more) -> ModbusDevice:
    more = {"period_s": 1.0, "timeout_ms": 100} | more
    named = channels or (channel(f"tilt_{address}"),)
    return ModbusDevice(address, f"device-{address}", named, **more)


def slave(address: int = 1, *words: int, **more) -> SimulatedSlave:
    more = {"answer_s": 0.005} | more
    return SimulatedSlave(address, dict(enumerate(words or (address,))), **more)


def triggered(**more) -> ModbusDevice:
    steps = (Write(0x118, (1,)), Wait(500), Read(), Check(0x119))
    tilt = channel("tilt", 0x100, type="float32", order="CDAB")
    return ModbusDevice(1, "ipi", (tilt,), 2.0, steps, timeout_ms=100, **more)


def inclinometer(measure_s: float = 0.4, error: int = 0, **more) -> SimulatedSlave:
    def measured(number: int) -> dict[int, int]:
        low, high = registers(number / 4, "f", "CDAB")
        return {0x100: low, 0x101: high, 0x119: error}

    bank = {0x100: 0, 0x101: 0, 0x118: 0, 0x119: 0xFFFF}
    more = {"answer_s": 0.005} | more
    return SimulatedSlave(1, bank, trigger=0x118, measure_s=measure_s, measures=measured, **more)
