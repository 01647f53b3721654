"""The Modbus driver in any time: clocks that are set, captures, any bytes in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_line import T0_MS, Items, Line, channel, device, inclinometer, slave, triggered

from firmware_bridge.drivers.modbus import ModbusDriver
from firmware_bridge.modbus_frame import Request
from firmware_bridge.modbus_plan import (
    ModbusDevice,
    ModbusPlan,
)
from firmware_bridge.modbus_poll import BACKOFF_MS
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_modbus import checksum


@pytest.mark.parametrize("step_ms", [-(10**9), -40_000, 40_000, 10**9])
def test_setting_our_own_clock_changes_nothing(step_ms: int) -> None:
    plan = ModbusPlan((triggered(), device(2, period_s=0.7, warm_up_ms=300)))
    still = Line(plan, inclinometer(), slave(2)).run(9000)
    moved = Line(plan, inclinometer(), slave(2))
    for _ in range(9):
        moved.run(1000)
        moved.driver.shift(step_ms)
        moved.now_ms += step_ms
        moved._coming = [(when + step_ms, data) for when, data in moved._coming]
        for each in moved.bus.slaves:
            if each._ready_s is not None:
                each._ready_s += step_ms / 1000
    assert [r.values for r in moved.readings] == [r.values for r in still.readings]
    assert len(still.readings) == 5 + 13
    assert moved.driver.health() == still.driver.health()


def test_without_being_told_a_clock_set_back_keeps_nobody_waiting() -> None:
    line = Line(ModbusPlan((device(1),)), slave(1)).run(3000)
    line.now_ms -= 10**9
    line.run(3000)
    assert len(line.readings) >= 5


def replayed(line: Line, plan: ModbusPlan) -> tuple[ModbusDriver, Items]:
    """Give what a capture of the line gives again (as `edge.replay` does it)."""
    driver = ModbusDriver("bus", plan)
    driver.opened(T0_MS)
    items: Items = []
    for now_ms, data in line.recorded:
        items += driver.receive(data or b"", now_ms)
        if data is None:
            driver.write_next(now_ms)
    return driver, items


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([b"", b"\x01\x03"]), st.sampled_from([1, 1000]))
def test_a_capture_gives_the_readings_of_the_live_run(seed: int, babble: bytes, piece: int) -> None:
    plan = ModbusPlan((triggered(), device(2, period_s=0.7, warm_up_ms=300), device(3)), gap_ms=7)
    line = Line(
        plan,
        inclinometer(),
        slave(2, busy=1),
        slave(3, dead=True),
        piece=piece,
        babble=babble,
        look_ms=7,
        faults=Faults(0.05, 0.1, 0.05, 0.05, seed=seed),
        late_rate=0.1,
        late_s=0.15,
    ).run(25_000)
    line.run(1000)
    driver, items = replayed(line, plan)
    assert items == line.items
    assert driver.health() == line.driver.health()
    assert any(isinstance(item, Reading) for item in items)
    assert any(isinstance(item, Dropped) for item in items)


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            Request(1, 3, 0, 1).encode(),
            b"\x01\x03\x02\x00\x07" + checksum(b"\x01\x03\x02\x00\x07"),
            b"\x01\x83\x02" + checksum(b"\x01\x83\x02"),
        ]
    ),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(PIECES, st.integers(-(10**13), 10**13)), max_size=25))
def test_any_bytes_at_any_time_never_raise(parts: list[tuple[bytes, int]]) -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1), triggered_at(7)), echo=True))
    for data, now_ms in parts:
        driver.receive(data, now_ms)
        due_ms = driver.due_ms(now_ms)
        assert due_ms is None or due_ms <= now_ms + BACKOFF_MS + 10_000
        driver.write_next(now_ms)
        driver.receive(b"", now_ms)
        driver.shift(now_ms)
        driver.health()
        if len(data) % 3 == 0:
            driver.opened(now_ms)


def triggered_at(address: int) -> ModbusDevice:
    return ModbusDevice(address, "ipi", (channel("x"),), 2.0, triggered().steps)


@settings(deadline=None, max_examples=60)
@given(st.lists(PIECES, max_size=12))
def test_whole_or_one_by_one(parts: list[bytes]) -> None:
    whole, single = (ModbusDriver("bus", ModbusPlan((device(1),))) for _ in range(2))
    data = b"".join(parts)
    for driver in (whole, single):
        driver.opened(T0_MS)
        assert driver.write_next(T0_MS + 40)
    items = whole.receive(data, T0_MS + 50)
    pieces = [item for byte in data for item in single.receive(bytes((byte,)), T0_MS + 50)]
    assert items == pieces
    assert whole.receive(b"", T0_MS + 150) == single.receive(b"", T0_MS + 150)
    assert whole.due_ms(T0_MS + 151) == single.due_ms(T0_MS + 151)
    assert dict(whole.health().dropped) == dict(single.health().dropped)
