"""The Modbus driver on a bad line: damage, late answers, echo, babble, a port that vanishes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_line import T0_MS, Items, Line, channel, device, inclinometer, slave, triggered

from firmware_bridge.drivers.modbus import MAX_QUIET_MS, ModbusDriver
from firmware_bridge.modbus_plan import (
    ModbusDevice,
    ModbusPlan,
)
from firmware_bridge.reading import Dropped
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_modbus import SimulatedSlave


def two_blocks(**more) -> ModbusDevice:
    """Two blocks of one shape: nothing in an answer tells which of them it is."""
    pair = (channel("low", 10), channel("high", 20))
    return device(1, *pair, timeout_ms=200, period_s=3.0, **more)


def counting(slave_: SimulatedSlave, line: Line, for_ms: int) -> None:
    """Let the registers count up, a second a step, the high ones from 1000."""
    for _ in range(for_ms // 1000):
        slave_.holding[10] += 1
        slave_.holding[20] += 1
        line.run(1000)


def block_slave() -> SimulatedSlave:
    return SimulatedSlave(1, {10: 0, 20: 1000}, answer_s=0.01)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1, 1000]), st.booleans())
def test_a_bad_line_gives_true_readings_and_every_loss_has_its_device(
    seed: int, piece: int, echo: bool
) -> None:
    faults = Faults(0.05, 0.2, 0.1, 0.1, seed=seed)
    unit = block_slave()
    plan = ModbusPlan((two_blocks(), device(2)), gap_ms=10, echo=echo)
    line = Line(plan, unit, slave(2, 4242), piece=piece, faults=faults, echo=echo)
    counting(unit, line, 90_000)
    for reading in line.readings:
        if reading.channels == ("tilt_2",):
            assert reading.values == (4242.0,)
        else:
            low, high = reading.values
            assert 1 <= low <= 90
            assert 0 <= high - low - 1000 <= 1  # a second may have begun between them
    counts = line.counts("device-1")
    assert counts["readings"] + counts.get("timeout", 0) + counts.get("crc", 0) >= 25
    assert counts["readings"] >= 20
    health = line.driver.health()
    assert sum(count for _, count in health.dropped) == len(line.dropped)
    by_device = sum(
        count
        for _, counts in health.nodes
        for what, count in counts
        if what in {"timeout", "crc", "exception"}
    )
    assert by_device == len(line.dropped)
    assert dict(health.ignored).get("echo", 0) == (len(line.asked) if echo else 0)


@pytest.mark.parametrize("seed", range(5))
def test_answers_that_come_late_are_not_taken_for_those_of_the_next_request(seed: int) -> None:
    unit = block_slave()
    # Late by one and a half times the timeout: the next request is out by then.
    line = Line(
        ModbusPlan((two_blocks(),), gap_ms=10),
        unit,
        late_rate=0.3,
        late_s=0.3,
        faults=Faults(seed=seed),
    )
    counting(unit, line, 120_000)
    assert line.bus.late > 10
    assert len(line.readings) > 30
    for reading in line.readings:
        low, high = reading.values
        assert 0 <= high - low - 1000 <= 1


def test_two_devices_at_one_address_are_damage_and_never_a_reading() -> None:
    line = Line(ModbusPlan((device(1, retries=1),)), slave(1, 0x1234), slave(1, 0x4321)).run(20_000)
    assert not line.readings
    assert {item.reason for item in line.dropped} == {"crc"}
    assert dict(line.driver.health().ignored)["noise"] >= 7 * len(line.dropped)


def test_an_echo_is_removed_and_counted() -> None:
    plan = ModbusPlan((triggered(),), echo=True)
    line = Line(plan, inclinometer(), echo=True, piece=1).run(1900)
    assert line.readings[0].values == (0.25,)
    assert dict(line.driver.health().ignored) == {"echo": 3}
    dead = Line(plan, inclinometer(dead=True), echo=True).run(1900)
    assert [item.reason for item in dead.items] == ["timeout"]  # its own voice is no answer


@pytest.mark.parametrize("babble", [b"\x00", b"\x01\x03\x02", b"\xff" * 40, b"\x01" * 7])
def test_a_line_that_babbles_keeps_nobody_past_the_deadline(babble: bytes) -> None:
    plan = ModbusPlan((device(1, retries=0), device(2, retries=0)))
    line = Line(plan, slave(1), slave(2, dead=True), babble=babble).run(30_000)
    assert all(reading.values == (1.0,) for reading in line.readings)
    assert line.counts("device-1")["readings"] >= 10
    out = [when for when, request in line.asked if request[0] == 2]
    lost = [item.received_ms for item in line.dropped if "device-2" in item.detail]
    assert len(lost) >= 3
    for asked_ms, given_up_ms in zip(out, lost, strict=False):
        assert given_up_ms - asked_ms <= 100 + 5  # the timeout, and one look
    for before, after in zip(line.asked, line.asked[1:], strict=False):
        assert after[0] - before[0] <= 1000 + 100 + MAX_QUIET_MS + 10


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20), st.integers(10, 500))
def test_any_babble_returns_by_its_deadline(pieces: list[bytes], timeout_ms: int) -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1, timeout_ms=timeout_ms, retries=0),)))
    driver.opened(T0_MS)
    now_ms = T0_MS + 50
    assert driver.write_next(now_ms)
    deadline_ms = now_ms + timeout_ms
    assert driver.due_ms(now_ms) == deadline_ms
    items: Items = []
    while not items:
        assert now_ms <= deadline_ms
        items += driver.receive(pieces[now_ms % len(pieces)], now_ms)
        now_ms += 1
    (item,) = items
    if isinstance(item, Dropped) and item.reason != "exception":
        assert item.received_ms == deadline_ms
    assert driver.write_next(now_ms) == b""


def test_a_line_that_is_never_silent_is_spoken_on_all_the_same() -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1),)))
    driver.opened(T0_MS)
    now_ms = T0_MS
    while not driver.write_next(now_ms):
        driver.receive(b"\x55", now_ms)
        now_ms += 5
    assert MAX_QUIET_MS <= now_ms - T0_MS <= MAX_QUIET_MS + 10


def test_a_port_that_vanishes_within_an_answer() -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1), device(2))))
    driver.opened(T0_MS)
    assert driver.write_next(T0_MS + 40)
    driver.receive(b"\x01\x03", T0_MS + 45)
    driver.opened(T0_MS + 60)
    (item,) = driver.receive(b"", T0_MS + 60)
    assert isinstance(item, Dropped)
    assert (item.reason, item.size) == ("truncated", 2)
    assert driver.write_next(T0_MS + 99) == b""
    assert driver.write_next(T0_MS + 100)[0] == 1  # anew, after the gap
    driver.opened(T0_MS + 200)
    (item,) = driver.receive(b"", T0_MS + 200)
    assert isinstance(item, Dropped)
    assert item.reason == "timeout"
    assert dict(driver.health().dropped) == {"truncated": 1, "timeout": 1}
