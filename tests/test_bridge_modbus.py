"""The Modbus driver against a simulated line, in simulated time: steps, turns, losses."""

from __future__ import annotations

import math

import pytest
from modbus_line import T0_MS, Line, channel, device, inclinometer, slave, triggered

from firmware_bridge.modbus_frame import ORDERS
from firmware_bridge.modbus_plan import (
    Check,
    ModbusDevice,
    ModbusPlan,
    Read,
    Wait,
    Write,
)
from firmware_bridge.modbus_poll import BACKOFF_MS
from firmware_bridge.reading import Reading
from firmware_bridge.sim_modbus import SimulatedSlave, registers


def test_several_devices_each_at_its_own_period() -> None:
    plan = ModbusPlan((device(1), device(2, period_s=2.5), device(9, period_s=0.5)), gap_ms=5)
    line = Line(plan, slave(1, 11), slave(2, 22), slave(9, 99)).run(10_000)
    by_channel = {r.channels: r for r in line.readings}
    assert {name: r.values for name, r in by_channel.items()} == {
        ("tilt_1",): (11.0,),
        ("tilt_2",): (22.0,),
        ("tilt_9",): (99.0,),
    }
    assert [line.counts(f"device-{n}") for n in (1, 2, 9)] == [
        {"readings": 10},
        {"readings": 4},
        {"readings": 20},
    ]
    assert not line.dropped
    for reading in line.readings:
        assert reading.time_ms == reading.received_ms
        assert reading.sequence == -1
        assert reading.uncertainty_ms == pytest.approx(5, abs=1)


def test_the_gap_of_each_device_goes_before_its_request() -> None:
    plan = ModbusPlan((device(1, gap_ms=300), device(2), device(3)), gap_ms=10)
    line = Line(plan, slave(1), slave(2), slave(3)).run(3000)
    quiet_since = T0_MS
    for when_ms, request in line.asked:
        assert when_ms - quiet_since >= (300 if request[0] == 1 else 10)
        quiet_since = when_ms + 5
    assert len(line.asked) >= 8


@pytest.mark.parametrize("order", ORDERS)
def test_every_type_of_number_in_as_few_requests_as_can_be(order: str) -> None:
    values = {"h": -1234, "H": 54321, "i": -123_456_789, "I": 4_000_000_000, "f": -0.5, "d": 1e-300}
    types = ("int16", "uint16", "int32", "uint32", "float32", "float64")
    bank: dict[int, int] = {}
    channels = []
    at = 100
    for (format_, value), type_ in zip(values.items(), types, strict=True):
        words = registers(value, format_, order)
        bank |= {at + i: word for i, word in enumerate(words)}
        channels.append(channel(type_, at, type=type_, order=order, function=4))
        at += len(words)
    channels.append(channel("apart", 200, scale=0.5, offset=-3.0))
    channels.reverse()
    unit = SimulatedSlave(1, {200: 7}, bank, answer_s=0.005)
    line = Line(ModbusPlan((device(1, *channels),)), unit).run(900)
    (reading,) = line.readings
    assert reading.channels == tuple(each.name for each in channels)
    assert reading.values == (0.5, *reversed(values.values()))
    assert unit.asked == {4: 1, 3: 1}
    few = device(1, *channels, max_registers=4)
    again = Line(ModbusPlan((few,)), unit).run(900)
    assert again.readings[0].values == reading.values
    assert max(request[5] for _, request in again.asked) <= 4


def test_nothing_is_made_of_missing_values_and_zero_is_kept() -> None:
    words = registers(-9999.9, "f", "CDAB") + registers(math.nan, "f", "CDAB")
    words += registers(math.inf, "f", "CDAB") + registers(0.0, "f", "CDAB") + (0x8000, 0)
    channels = [
        channel(name, 2 * i, type="float32", order="CDAB", missing=(-9999.9,))
        for i, name in enumerate(("lost", "nan", "inf", "zero"))
    ]
    channels += [channel("word", 8, type="int16", missing=(-32768,)), channel("none", 9)]
    line = Line(ModbusPlan((device(1, *channels),)), slave(1, *words)).run(900)
    (reading,) = line.readings
    assert [math.isnan(value) for value in reading.values] == [True] * 3 + [False, True, False]
    assert reading.values[3] == reading.values[5] == 0.0
    assert dict(line.driver.health().values_rejected) == {"missing": 2, "nan": 1, "inf": 1}
    empty = Line(ModbusPlan((device(1, channel(missing=(0,))),)), slave(1, 0)).run(900)
    assert [item.reason for item in empty.items] == ["empty"]


def test_trigger_wait_read_check() -> None:
    plan = ModbusPlan((triggered(), device(2, period_s=0.2)), gap_ms=5)
    unit = inclinometer()
    line = Line(plan, unit, slave(2)).run(8000)
    assert [r.values[0] for r in line.readings if r.channels == ("tilt",)] == [0.25, 0.5, 0.75, 1.0]
    assert unit.asked == {6: 4, 3: 8}
    assert not line.dropped
    first = next(r for r in line.readings if r.channels == ("tilt",))
    assert 500 < first.uncertainty_ms < 600  # since the trigger
    # The other was asked while this one measured.
    assert line.counts("device-2")["readings"] == 40


def test_a_measurement_with_an_error_is_no_reading() -> None:
    unit = inclinometer(error=4)
    line = Line(ModbusPlan((triggered(),)), unit).run(3900)
    assert [(item.reason, item.detail) for item in line.dropped] == [
        ("exception", "ipi (address 1): register 281 is 4, not 0")
    ] * 2
    assert not line.readings
    assert line.counts("ipi") == {"exception": 2}
    masked = (Write(0x118, (1,)), Wait(500), Read(), Check(0x119, mask=0xFFFB))
    lax = ModbusDevice(1, "ipi", triggered().channels, 2.0, masked)
    assert len(Line(ModbusPlan((lax,)), unit).run(3900).readings) == 2


def test_a_measurement_that_is_read_too_early_is_found_by_its_check() -> None:
    line = Line(ModbusPlan((triggered(),)), inclinometer(measure_s=0.9)).run(1900)
    assert [item.reason for item in line.items] == ["exception"]


def test_several_registers_are_written_with_function_16() -> None:
    steps = (Write(1, (7, 65535), 16), Read())
    unit = slave(1, 5, 0, 0)
    line = Line(ModbusPlan((device(1, channel(register=2), steps=steps),)), unit).run(900)
    assert line.readings[0].values == (65535.0,)
    assert unit.holding == {0: 5, 1: 7, 2: 65535}


def test_nothing_is_asked_before_the_warm_up_is_over_and_others_need_not_wait() -> None:
    plan = ModbusPlan((device(1, warm_up_ms=5000), device(2)))
    line = Line(plan, slave(1, warm_up_s=4.9, powered_s=T0_MS / 1000), slave(2)).run(8000)
    assert min(when for when, request in line.asked if request[0] == 1) == T0_MS + 5000
    assert line.counts("device-1") == {"readings": 3}
    assert line.counts("device-2") == {"readings": 8}
    early = Line(ModbusPlan((device(1),)), slave(1, warm_up_s=4.9)).run(8000)
    assert early.counts("device-1") == {"exception": 5, "readings": 3}
    assert "device failure (exception 4)" in early.dropped[0].detail


def test_a_refusal_is_not_asked_again_but_busy_is() -> None:
    refusing = slave(1)
    line = Line(ModbusPlan((device(1, channel(register=5)),)), refusing).run(900)
    assert [item.reason for item in line.items] == ["exception"]
    assert line.items[0].detail == (
        "device-1 (address 1): illegal data address (exception 2) to function 3, read register 5"
    )
    assert refusing.asked == {3: 1}
    busy = slave(1, busy=2)
    line = Line(ModbusPlan((device(1, period_s=5),)), busy).run(4000)
    assert [type(item) for item in line.items] == [Reading]
    assert line.counts("device-1") == {"readings": 1, "retries": 2}


def test_a_dead_device_has_its_losses_and_the_others_have_their_turn() -> None:
    plan = ModbusPlan((device(1, timeout_ms=900), device(2), device(3, period_s=0.5)), gap_ms=5)
    gone = slave(1, dead=True)
    line = Line(plan, gone, slave(2), slave(3)).run(600_000)
    assert {item.reason for item in line.dropped} == {"timeout"}
    assert all("device-1 (address 1)" in item.detail for item in line.dropped)
    assert line.counts("device-2")["readings"] >= 590
    assert line.counts("device-3")["readings"] >= 1170
    lost = line.counts("device-1")
    assert lost["timeout"] == len(line.dropped) <= 12
    assert lost["timeout"] + lost["skipped"] >= 300  # the last wait is not over
    gone.dead = False
    line.run(BACKOFF_MS + 10_000)
    assert line.counts("device-1")["readings"] >= 10  # and is back at its own period
    assert line.counts("device-1").keys() == {"timeout", "skipped", "readings", "retries"}
    total = sum(lost for _, lost in line.driver.health().dropped)
    assert total == len(line.dropped)
    assert line.driver.health().gaps == sum(
        line.counts(f"device-{n}").get("skipped", 0) for n in (1, 2, 3)
    )
