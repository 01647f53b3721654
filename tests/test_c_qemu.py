"""The example node of firmware_bridge/c, in QEMU, against the gateway's own port and driver."""

from __future__ import annotations

import select
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from c_qemu import Line, Qemu, build

import firmware_bridge
from firmware_bridge.commands import REBOOT, RESEND, Key
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import RESPONSE, Frame
from firmware_bridge.messages import DATA
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Dropped, Quantity, Reading, Unit
from firmware_bridge.sim_faults import Faults, FaultyWire

EXAMPLE = Path(firmware_bridge.__file__).parent / "c" / "examples" / "mps2"
MISSING = [name for name in ("arm-none-eabi-gcc", "make", "qemu-system-arm")
           if shutil.which(name) is None]  # fmt: skip
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"NOT TESTED: the C node in QEMU, for want of {', '.join(MISSING)} "
    "(apt install gcc-arm-none-eabi make qemu-system-arm)",
)
PATIENCE_S = 60.0
QUICK_MS = 20


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(EXAMPLE, tmp_path_factory.mktemp("mps2"))


class Gateway:
    """The loop of a gateway with one port."""

    def __init__(self, device: str) -> None:
        self.driver = Tw1Driver("mps2", clock="sync")
        self.port = Port(device)
        self.readings: list[Reading] = []
        self.dropped: list[Dropped] = []

    def run(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < end, f"{self.driver.health()}"
            now_ms = time.time_ns() // 1_000_000
            event = self.port.poll(now_ms)
            if event is not None and event.state is PortState.OPENED:
                self.driver.opened(now_ms)
            self.port.write(self.driver.write_next(now_ms))
            fileno = self.port.fileno()
            assert fileno is not None
            if select.select([fileno], [], [], 0.01)[0]:
                data = self.port.read()
                for item in self.driver.receive(data, time.time_ns() // 1_000_000):
                    (self.readings if isinstance(item, Reading) else self.dropped).append(item)

    def answer(self, ticket: int | None) -> bytes:
        """Wait for the answer of a command that is to be carried out."""
        assert ticket is not None
        found: list[bytes] = []

        def answered() -> bool:
            for each in self.driver.answers():
                if each.ticket == ticket:
                    assert (each.refused, each.code) == ("", 0)
                    found.append(each.payload)
            return bool(found)

        self.run(answered)
        return found[0]

    def meet(self) -> None:
        self.run(lambda: self.driver.layout)

    def more(self, count: int) -> None:
        """Wait for so many more readings."""
        wanted = len(self.readings) + count
        self.run(lambda: len(self.readings) >= wanted)

    def hurry(self) -> None:
        self.answer(self.driver.set(Key.PERIOD_MS, QUICK_MS))

    def assert_contiguous(self) -> None:
        indices = [reading.sequence for reading in self.readings]
        assert indices == list(range(indices[0], indices[0] + len(indices)))


def test_the_node_says_who_it_is_and_measures(elf: Path) -> None:
    with Qemu(elf) as qemu:
        gateway = Gateway(qemu.device)
        gateway.meet()
        hello, layout = gateway.driver.hello, gateway.driver.layout
        assert hello is not None
        assert layout is not None
        assert hello.firmware == (1, 0, 0)
        assert hello.max_raw == 253
        assert [(c.name, c.quantity, c.unit) for c in layout] == [
            ("displacement", Quantity.DISPLACEMENT, Unit.MM),
            ("tilt", Quantity.TILT, Unit.MRAD),
            ("pore_pressure", Quantity.PORE_PRESSURE, Unit.KPA),
        ]
        for size in (0, 1, 100, 244):
            payload = bytes(i % 256 for i in range(size))
            assert gateway.answer(gateway.driver.ping(payload)) == payload
        gateway.hurry()
        gateway.answer(gateway.driver.set(Key.SAMPLES_PER_STATS, 10))
        gateway.more(50)
        gateway.assert_contiguous()
        for reading in gateway.readings[5:]:
            millimetres, mrad, kpa = reading.values
            assert abs(millimetres - 0.005 * reading.sequence) <= 0.0201
            assert abs(mrad - millimetres / 10) < 0.011
            assert kpa == 20 + 0.125 * (reading.sequence % 64)
        gateway.port.close()


def test_times_are_mapped_to_ours(elf: Path) -> None:
    with Qemu(elf) as qemu:
        gateway = Gateway(qemu.device)
        gateway.meet()
        gateway.hurry()
        gateway.run(lambda: 0 <= gateway.driver.health().uncertainty_ms < 250)
        gateway.more(200)
        health = gateway.driver.health()
        assert 0 < health.uncertainty_ms < 250
        assert health.clock_jumps == 0
        late_ms = [each.received_ms - each.time_ms for each in gateway.readings[-100:]]
        assert min(late_ms) >= -250
        assert sorted(late_ms)[50] <= 500
        assert all(each.uncertainty_ms > 0 for each in gateway.readings[-100:])
        gateway.port.close()


def test_every_sample_arrives_in_order_though_both_ways_are_bad(elf: Path) -> None:
    with Qemu(elf) as qemu, Line(qemu.device) as line:
        gateway = Gateway(line.device)
        gateway.meet()
        gateway.hurry()
        bad = FaultyWire(Faults(flip_rate=0.02, drop_rate=0.02, garbage_rate=0.3, seed=1))
        noisy = FaultyWire(Faults(garbage_rate=0.3, seed=3))
        worse = FaultyWire(Faults(flip_rate=0.1, garbage_rate=0.8, duplicate_rate=0.2, seed=2))
        # What is sent again meets garbage only: lost a second time, it would be a gap.
        line.to_gateway.fate = lambda wire, frame: (noisy if frame.flags & RESPONSE else bad).carry(
            wire
        )
        line.to_node.fate = lambda wire, frame: worse.carry(wire)
        gateway.readings.clear()
        gateway.more(400)
        assert gateway.answer(gateway.driver.ping(b"still there")) == b"still there"
        assert bad.garbage > 50
        assert bad.lost > 1
        assert worse.garbage > 2
        gateway.assert_contiguous()
        line.to_gateway.fate = lambda wire, frame: wire
        gateway.more(20)
        assert gateway.driver.health().gaps == 0
        gateway.port.close()


def test_a_lost_stretch_is_asked_for_again(elf: Path) -> None:
    with Qemu(elf) as qemu, Line(qemu.device) as line:
        gateway = Gateway(line.device)
        gateway.meet()
        gateway.hurry()
        gateway.more(5)
        lost: list[Frame] = []

        def lose(wire: bytes, frame: Frame) -> bytes:
            if frame.type == DATA and not frame.flags & RESPONSE and len(lost) < 30:
                lost.append(frame)
                return b""
            return wire

        line.to_gateway.fate = lose
        gateway.more(60)
        assert len(lost) == 30
        gateway.assert_contiguous()
        assert gateway.driver.health().gaps == 0
        again = [f for f in line.to_gateway.seen if f.type == DATA and f.flags & RESPONSE]
        assert [f.payload for f in lost] == [f.payload for f in again]
        assert any(frame.type == RESEND for frame in line.to_node.seen)
        gateway.port.close()


def test_it_restarts_once_though_asked_twice_and_the_answer_is_lost(elf: Path) -> None:
    with Qemu(elf) as qemu, Line(qemu.device) as line:
        gateway = Gateway(line.device)
        gateway.meet()
        gateway.hurry()
        gateway.more(5)
        lost: list[Frame] = []

        def lose_the_first(wire: bytes, frame: Frame) -> bytes:
            if frame.type == REBOOT and not lost:
                lost.append(frame)
                return b""
            return wire

        line.to_gateway.fate = lose_the_first
        line.to_node.fate = lambda wire, frame: wire * (1 + (frame.type == REBOOT))
        before = gateway.driver.hello
        assert gateway.answer(gateway.driver.reboot()) == b""
        assert len(lost) == 1
        gateway.run(lambda: gateway.driver.hello != before)
        gateway.hurry()
        gateway.more(100)
        assert {frame.boot for frame in line.to_gateway.seen} == {0, 1}
        assert gateway.driver.health().reboots == 1
        gateway.assert_contiguous()  # the node kept its count over the restart
        gateway.port.close()
