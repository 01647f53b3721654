"""The SDI-12 driver against simulated sensors, in virtual time: what is asked, read and lost."""

from __future__ import annotations

import math

import pytest
from sdi12_bus import T0_MS, driver_of, nodes, ran, readings, reasons, rows, sensor

from firmware_bridge.reading import Dropped
from firmware_bridge.sim_sdi12 import SimulatedBus, SimulatedSensor


@pytest.mark.parametrize(
    "command", ["M", "MC", "M1", "MC9", "C", "CC", "C4", "CC3", "R0", "RC0", "R9"]
)
@pytest.mark.parametrize("single", [False, True])
def test_each_verb_gives_what_was_measured(command: str, single: bool) -> None:
    truth = rows(10, 8)
    probe = SimulatedSensor("0", truth, page_values=3)
    driver = driver_of(sensor(command=command, values=3 if command[0] == "R" else 8))
    items = ran(driver, SimulatedBus([probe]), 95_000, single=single)
    assert reasons(items) == ["reading"] * 10
    for row, reading in zip(truth, readings(items), strict=True):
        assert reading.values == row[: len(reading.values)]
        assert (reading.source, reading.sequence) == ("bus", -1)
        assert reading.time_ms == reading.received_ms
        assert 0 < reading.uncertainty_ms < 2000
    starts = [reading.time_ms - reading.uncertainty_ms for reading in readings(items)]
    assert starts == [T0_MS + 10_000 * i for i in range(10)]
    assert nodes(driver) == {"0": {"readings": 10}}
    assert driver.health().dropped == ()


def test_zero_is_a_value_and_what_is_missing_is_not() -> None:
    truth = [(0.0, -0.0), (-9999.0, 1.0), (-9999.0, 9999999.0)]
    driver = driver_of(sensor())
    items = ran(driver, SimulatedBus([SimulatedSensor("0", truth)]), 25_000)
    assert reasons(items) == ["reading", "reading", "empty"]
    zero, half = readings(items)
    assert zero.values == (0.0, 0.0)
    assert math.isnan(half.values[0])
    assert half.values[1] == 1.0
    assert driver.health().values_rejected == (("missing", 1),)
    assert nodes(driver)["0"] == {"readings": 2, "missing": 1, "empty": 1}


def test_a_service_request_ends_the_wait_and_its_loss_only_costs_time() -> None:
    for measure_ms, at_ms in ((300, 400), (30_000, 5_200)):
        probe = SimulatedSensor("0", rows(), wait_s=5, measure_ms=min(measure_ms, 4000))
        bus = SimulatedBus([probe])
        driver = driver_of(sensor(period_s=60.0))
        if measure_ms > 5000:  # it is silent when it is done
            probe.answers_as = "0"
            original = probe.command

            def quiet(*given, original=original, probe=probe):
                answer = original(*given)
                probe.request_ms = None
                return answer

            probe.command = quiet
        (reading,) = readings(ran(driver, bus, 30_000))
        assert at_ms - 100 < reading.time_ms - T0_MS < at_ms + 100


def test_concurrent_sensors_measure_at_once_and_others_are_asked_meanwhile() -> None:
    slow = [SimulatedSensor(a, rows(seed=i), wait_s=10) for i, a in enumerate("abc")]
    quick = SimulatedSensor("q", rows(seed=9))
    bus = SimulatedBus([*slow, quick])
    driver = driver_of(
        *(sensor(a, "CC", period_s=60.0) for a in "abc"), sensor("q", "RC0", period_s=1.0)
    )
    items = ran(driver, bus, 15_000)
    assert bus.heard[:4] == ["aCC!", "bCC!", "cCC!", "qRC0!"]
    by_node = nodes(driver)
    assert [by_node[a]["readings"] for a in "abc"] == [1, 1, 1]
    assert by_node["q"]["readings"] == 15
    for probe in slow:
        (reading,) = [r for r in readings(items) if r.channels[0][0] == probe.address]
        assert reading.values == probe.measured[0]
        assert probe.aborted == 0
        assert 10_000 <= reading.time_ms - T0_MS < 11_000


def test_nobody_else_is_asked_while_an_m_has_the_bus() -> None:
    bus = SimulatedBus(
        [SimulatedSensor("0", rows(), wait_s=3, measure_ms=2900), SimulatedSensor("1", rows())]
    )
    driver = driver_of(sensor("0", "MC"), sensor("1", "RC0", period_s=0.5))
    ran(driver, bus, 9_000)
    assert bus.heard[bus.heard.index("0MC!") + 1] == "0D0!"
    assert nodes(driver)["1"]["skipped"] == driver.health().gaps > 0


def test_a_dead_sensor_gets_four_tries_once_and_starves_nobody() -> None:
    dead, live = SimulatedSensor("0", rows()), SimulatedSensor("1", rows())
    dead.alive = False
    bus = SimulatedBus([dead, live])
    driver = driver_of(sensor("0", period_s=2.0), sensor("1", "RC0", period_s=0.7))
    items = ran(driver, bus, 70_000)
    assert bus.heard.count("0MC!") == 4 + 34
    by_node = nodes(driver)
    assert by_node["0"]["retries"] == 3
    assert by_node["0"]["timeout"] == 35
    assert "skipped" not in by_node["1"]
    assert by_node["1"] == {"readings": 100}
    lost = [item for item in items if isinstance(item, Dropped)]
    assert {item.reason for item in lost} == {"timeout"}
    assert "s0 (address 0): no answer to 0MC! put 4 times" in lost[0].detail
    assert "put 1 times" in lost[-1].detail


def test_one_that_comes_back_is_read_again_with_all_its_retries() -> None:
    probe = SimulatedSensor("0", rows())
    probe.alive = False
    bus = SimulatedBus([probe])
    driver = driver_of(sensor(period_s=5.0))
    ran(driver, bus, 19_000)
    probe.alive = True
    items = ran(driver, bus, 19_000)
    assert reasons(items) == ["reading"] * 4


def test_local_echo_is_taken_off() -> None:
    for framing in ({}, {"prefix": b"\x1bB", "suffix": b"\r\n"}):
        bus = SimulatedBus([SimulatedSensor("0", rows())], echo=True)
        driver = driver_of(sensor(), **framing)
        assert reasons(ran(driver, bus, 25_000)) == ["reading"] * 3
        assert driver.health().ignored == (("echo", 6),)


def test_a_wait_longer_than_allowed_is_not_believed() -> None:
    bus = SimulatedBus([SimulatedSensor("0", rows(), wait_s=900), SimulatedSensor("1", rows())])
    driver = driver_of(sensor("0"), sensor("1", "RC0"))
    items = ran(driver, bus, 9_000)
    assert nodes(driver)["0"]["format"] == 1
    assert nodes(driver)["1"]["readings"] == 1
    assert any("it needs 900 s" in item.detail for item in items if isinstance(item, Dropped))


def test_what_can_be_read_of_a_row_is_read() -> None:
    bus = SimulatedBus([SimulatedSensor("0", rows())])
    driver = driver_of(sensor(values=3))  # it has two
    items = ran(driver, bus, 9_000)
    (reading,) = readings(items)
    assert reading.values[:2] == bus.sensors[0].measured[0]
    assert math.isnan(reading.values[2])
    assert nodes(driver)["0"]["incomplete"] == 1
    assert driver.health().values_rejected == (("missing", 1),)


def test_a_port_that_vanishes_loses_what_was_measured_and_begins_anew() -> None:
    driver = driver_of(sensor("0"), sensor("1", "CC"))
    driver.opened(T0_MS)
    assert driver.write_next(T0_MS) == b"0MC!"
    driver.receive(b"00052\r\n0", T0_MS + 20)
    driver.opened(T0_MS + 1000)
    assert driver.due_ms(T0_MS + 1000) == T0_MS + 1000
    assert reasons(driver.receive(b"", T0_MS + 1000)) == ["message", "truncated"]
    assert driver.write_next(T0_MS + 1000) == b"1CC!"  # whoever has waited longest
    assert nodes(driver) == {"0": {"truncated": 1, "damaged": 1}, "1": {}}


def test_an_opened_port_is_asked_at_once_whatever_was_waited_for() -> None:
    driver = driver_of(sensor(command="RC0", values=1, period_s=3600.0))
    driver.opened(T0_MS)
    driver.write_next(T0_MS)
    driver.receive(b"0+3.14OqZ\r\n", T0_MS + 20)
    assert driver.due_ms(T0_MS + 100) == T0_MS + 3_600_000
    driver.opened(T0_MS + 100)
    assert driver.write_next(T0_MS + 100) == b"0RC0!"
    assert driver.receive(b"", T0_MS + 101) == []


def test_our_clock_being_set_moves_every_wait_along() -> None:
    for told in (True, False):
        driver = driver_of(sensor(command="CC", period_s=60.0))
        driver.opened(T0_MS)
        driver.write_next(T0_MS)
        driver.receive(b"001002\r\n", T0_MS + 10)
        step_ms = -(10**9)
        if told:
            driver.shift(step_ms)
            assert driver.due_ms(T0_MS + step_ms + 10) == T0_MS + step_ms + 10 + 10_100
        else:
            assert driver.due_ms(T0_MS + step_ms) == T0_MS + step_ms
