"""The SDI-12 driver on a bad bus: foreign, doubled, late and halved answers, babble."""

from __future__ import annotations

import math

import pytest
from sdi12_bus import T0_MS, driver_of, nodes, ran, readings, reasons, rows, sensor

from firmware_bridge.drivers.sdi12 import (
    MAX_HELD,
    MAX_QUIET_MS,
)
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_sdi12 import BusFaults, SimulatedBus, SimulatedSensor, value_text


def test_a_sensor_that_answers_as_another_is_never_read() -> None:
    bus = SimulatedBus(
        [SimulatedSensor("0", rows(seed=1), answers_as="1"), SimulatedSensor("1", rows(seed=2))]
    )
    driver = driver_of(sensor("0"), sensor("1"))
    items = ran(driver, bus, 60_000)
    truth = set(bus.sensors[1].measured)
    assert {reading.channels[0] for reading in readings(items)} == {"1_0"}
    assert all(reading.values in truth for reading in readings(items))
    by_node = nodes(driver)
    assert by_node["0"]["timeout"] == 6
    assert by_node["0"]["foreign"] >= 6
    assert by_node["1"]["readings"] == 6


def test_two_sensors_of_one_address_give_no_false_reading() -> None:
    false = 0
    for seed in range(60):
        one = SimulatedSensor("0", rows(seed=seed), measure_ms=50)
        other = SimulatedSensor("0", rows(seed=1000 + seed), measure_ms=50)
        driver = driver_of(sensor(period_s=5.0))
        items = ran(driver, SimulatedBus([one, other]), 50_000)
        false += len(readings(items))
        assert nodes(driver)["0"]["crc"] >= 9
        assert nodes(driver)["0"]["damaged"] >= 9
    assert false == 0


def test_a_babbling_line_costs_readings_and_no_deadline() -> None:
    for noise in (b"\x55\xaa", b"0\r\n", b"0+1.0\r\n", b"x" * 200, b"9+9\n00012\r\n"):
        bus = SimulatedBus([SimulatedSensor("0", rows())])
        driver = driver_of(sensor(retries=1, period_s=5.0))
        items = ran(driver, bus, 20_000, noise=noise)
        assert len(bus.heard) >= 4, noise
        truth = set(bus.sensors[0].measured)
        assert all(reading.values in truth for reading in readings(items))
        ends = nodes(driver)["0"]
        settled = sum(ends.get(k, 0) for k in ("readings", "timeout", "crc", "format", "exception"))
        assert settled >= 2, (noise, ends)
        assert len(driver._held) <= MAX_HELD


def test_a_lasting_noise_keeps_us_from_asking_for_a_bounded_time() -> None:
    driver = driver_of(sensor())
    driver.opened(T0_MS)
    now_ms = T0_MS
    while not (sent := driver.write_next(now_ms)):
        driver.receive(b"\x7f", now_ms)
        now_ms += 5
    assert sent == b"0MC!"
    assert now_ms - T0_MS <= MAX_QUIET_MS + 5


def test_half_an_answer_then_the_other_half_is_one_or_none() -> None:
    driver = driver_of(sensor(command="RC0", values=1))
    driver.opened(T0_MS)
    assert driver.write_next(T0_MS) == b"0RC0!"
    assert driver.receive(b"0+3.", T0_MS + 10) == []
    (reading,) = readings(driver.receive(b"14OqZ\r\n", T0_MS + 400))
    assert reading.values == (3.14,)
    driver = driver_of(sensor(command="RC0", values=1))
    driver.opened(T0_MS)
    driver.write_next(T0_MS)
    driver.receive(b"0+3.", T0_MS + 10)
    assert reasons(driver.receive(b"", T0_MS + 500)) == ["message"]
    assert driver.write_next(T0_MS + 500) == b"0RC0!"
    assert reasons(driver.receive(b"14OqZ\r\n", T0_MS + 510)) == ["message"]
    (reading,) = driver.receive(b"0+3.14OqZ\r\n", T0_MS + 520)
    assert reading.values == (3.14,)


def test_a_measurement_that_is_aborted_is_begun_again_and_at_last_given_up() -> None:
    driver = driver_of(sensor(retries=1))
    driver.opened(T0_MS)
    now_ms, sent, items = T0_MS, [], []
    answers = {b"0MC!": b"00012\r\n", b"0D0!": b"0\r\n"}
    while now_ms < T0_MS + 9_000:
        command = driver.write_next(now_ms)
        if command:
            sent.append(command)
            items += driver.receive(answers[command], now_ms + 15)
        now_ms += 25
        items += driver.receive(b"", now_ms)
    assert sent == [b"0MC!", b"0D0!", b"0D0!"] * 2
    assert reasons(items) == ["exception"]
    assert nodes(driver)["0"]["aborted"] == 2


def test_a_late_page_is_not_taken_for_the_next_one() -> None:
    driver = driver_of(sensor(command="M", values=4))
    driver.opened(T0_MS)
    assert driver.write_next(T0_MS) == b"0M!"
    driver.receive(b"00004\r\n", T0_MS + 10)
    assert driver.write_next(T0_MS + 50) == b"0D0!"
    driver.receive(b"0+1+2\r\n", T0_MS + 60)
    assert driver.write_next(T0_MS + 100) == b"0D1!"
    driver.receive(b"0+1+2\r\n", T0_MS + 110)  # D0 once more
    again_ms = T0_MS + 1110
    assert driver.due_ms(T0_MS + 120) == again_ms
    driver.receive(b"0+3+4\r\n", T0_MS + 120)  # the true one: too late, it is asked for again
    assert driver.write_next(again_ms) == b"0D1!"
    (reading,) = readings(driver.receive(b"0+3+4\r\n", again_ms + 10))
    assert reading.values == (1, 2, 3, 4)
    # And pages that are alike are believed when they come twice.
    twin = SimulatedSensor("0", [(5.0,) * 4], page_values=2)
    (reading, *_) = readings(ran(driver_of(sensor(values=4)), SimulatedBus([twin]), 9_000))
    assert reading.values == (5.0,) * 4


def test_a_command_put_twice_may_be_answered_twice() -> None:
    driver = driver_of(sensor(command="M", values=4))
    driver.opened(T0_MS)
    driver.write_next(T0_MS)
    driver.receive(b"", T0_MS + 500)
    assert driver.write_next(T0_MS + 500) == b"0M!"
    driver.receive(b"00024\r\n", T0_MS + 520)
    assert driver.due_ms(T0_MS + 520) == T0_MS + 520 + 2100
    driver.receive(b"00024\r\n", T0_MS + 900)  # it measures anew, and says so once
    driver.receive(b"00024\r\n", T0_MS + 950)
    assert driver.due_ms(T0_MS + 1000) == T0_MS + 900 + 2100
    now_ms = T0_MS + 3000
    assert driver.write_next(now_ms) == b"0D0!"
    driver.receive(b"", now_ms + 500)
    assert driver.write_next(now_ms + 500) == b"0D0!"
    driver.receive(b"0+1+2\r\n", now_ms + 510)
    assert driver.due_ms(now_ms + 520) == now_ms + 1510  # the other may come yet
    driver.receive(b"0+1+2\r\n", now_ms + 1400)
    assert driver.write_next(now_ms + 1510) == b"0D1!"
    (reading,) = readings(driver.receive(b"0+3+4\r\n", now_ms + 1520))
    assert reading.values == (1, 2, 3, 4)
    assert nodes(driver)["0"] == {"readings": 1, "retries": 2, "stale": 2}


@pytest.mark.parametrize("late_ms", [0, 1, 399])
def test_an_answer_is_given_up_at_its_time_however_late_we_look(late_ms: int) -> None:
    driver = driver_of(sensor(retries=0), sensor("1", "CC"))
    driver.opened(T0_MS)
    driver.write_next(T0_MS)
    stale, lost = driver.receive(b"00012\r\n?!\r\n", T0_MS + 500 + late_ms)[::-1]
    assert (lost.reason, lost.received_ms, stale.reason) == ("timeout", T0_MS + 500, "message")
    assert nodes(driver)["0"] == {"timeout": 1, "stale": 1}


def test_faults_lose_readings_but_never_make_one() -> None:
    total = lost = 0
    for seed in range(25):
        sensors = [
            SimulatedSensor("0", rows(values=6, seed=seed), page_values=2),
            SimulatedSensor("1", rows(seed=seed + 1), wait_s=2),
            SimulatedSensor("2", rows(seed=seed + 2)),
        ]
        bus = SimulatedBus(
            sensors,
            echo=seed % 2 == 1,
            faults=Faults(0.05, 0.2, 0.05, 0.05, seed=seed),
            bus_faults=BusFaults(0.05, 0.2, 0.1, 700),
        )
        plan = (sensor("0", values=6), sensor("1", "CC"), sensor("2", "RC0"))
        driver = driver_of(*plan)
        items = ran(driver, bus, 400_000)
        for each in sensors:
            own = [r for r in readings(items) if r.channels[0][0] == each.address]
            truth = each.measured
            for reading in own:
                known = [i for i, v in enumerate(reading.values) if not math.isnan(v)]
                assert any(
                    all(reading.values[i] == float(value_text(row[i])) for i in known)
                    for row in truth
                ), (seed, reading)
            total += len(own)
        by_node = nodes(driver)
        for address in "012":
            counts = by_node[address]
            ends = ("readings", "timeout", "crc", "format", "exception", "empty", "skipped")
            settled = sum(counts.get(end, 0) for end in ends)
            assert settled in (39, 40, 41), (seed, address, counts)
            lost += settled - counts["readings"]
    assert total > 2700, (total, lost)
