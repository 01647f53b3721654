"""The SDI-12 driver against simulated sensors, in virtual time: what is asked, read and lost."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drivers.sdi12 import (
    MAX_HELD,
    MAX_QUIET_MS,
    Sdi12Driver,
    Sdi12Plan,
    Sdi12Sensor,
)
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_sdi12 import BusFaults, SimulatedBus, SimulatedSensor, value_text

T0_MS = 1_700_000_000_000
Items = list[Reading | Dropped]


def sensor(address: str = "0", command: str = "MC", values: int = 2, **other) -> Sdi12Sensor:
    channels = tuple((f"{address}_{i}", i) for i in range(values))
    arguments = {"period_s": 10.0, "timeout_ms": 500, **other}
    return Sdi12Sensor(address, f"s{address}", command, channels, **arguments)


def driver_of(*sensors: Sdi12Sensor, **other) -> Sdi12Driver:
    return Sdi12Driver("bus", Sdi12Plan(sensors, **other))


def rows(count: int = 500, values: int = 2, seed: int = 0) -> list[tuple[float, ...]]:
    random = Random(seed)
    return [tuple(round(random.uniform(-99, 99), 2) for _ in range(values)) for _ in range(count)]


def ran(
    driver: Sdi12Driver,
    bus: SimulatedBus,
    span_ms: int,
    *,
    single: bool = False,
    noise: bytes = b"",
) -> Items:
    """Let both speak for so long; ``noise`` comes every 10 ms."""
    now_ms, end_ms, items = T0_MS, T0_MS + span_ms, []
    driver.opened(now_ms)
    while now_ms < end_ms:
        said = bus.say(now_ms) + noise
        parts = [said[i : i + 1] for i in range(len(said))] if single else [said]
        for part in [*parts, b""]:
            items += driver.receive(part, now_ms)
        bus.hear(driver.write_next(now_ms), now_ms)
        due_ms, next_ms = driver.due_ms(now_ms), bus.next_ms()
        assert due_ms is not None
        assert due_ms <= now_ms + 1_000_000
        wake_ms = min(each for each in (due_ms, next_ms, end_ms) if each is not None)
        now_ms = max(now_ms + 1, min(wake_ms, now_ms + 10) if noise else wake_ms)
    return items


def replayed(driver: Sdi12Driver, events: list[tuple[int, bytes | None]]) -> Items:
    """Do what a replay of a capture does: only what arrived or was done is known to it."""
    items: Items = []
    driver.opened(T0_MS)
    for now_ms, data in events:
        items += driver.receive(data or b"", now_ms)
        if data is None:
            driver.write_next(now_ms)
    return items


def readings(items: Items) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def reasons(items: Items) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "reading" for item in items]


def nodes(driver: Sdi12Driver) -> dict[str, dict[str, int]]:
    return {address: dict(counts) for address, counts in driver.health().nodes}


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


@pytest.mark.parametrize("seed", range(6))
def test_a_replay_of_what_arrived_and_was_done_gives_the_same(seed: int) -> None:
    random = Random(seed)
    bus = SimulatedBus(
        [SimulatedSensor(a, rows(values=4, seed=i), page_values=2) for i, a in enumerate("012")],
        faults=Faults(0.1, 0.3, 0.1, 0.1, seed=seed),
        bus_faults=BusFaults(0.1, 0.3, 0.2, 900),
    )
    plan = (sensor("0", "MC", 4), sensor("1", "CC", 4), sensor("2", "RC0", 4, period_s=1.0))
    live, again = driver_of(*plan), driver_of(*plan)
    events: list[tuple[int, bytes | None]] = []
    items: Items = []
    live.opened(T0_MS)
    for now_ms in range(T0_MS, T0_MS + 120_000, 7):
        data = bus.say(now_ms)
        if (now_ms - T0_MS) % 10_000 < 2_500:  # somebody babbles for a while
            data += random.randbytes(random.randint(0, 3))
        if data:
            events.append((now_ms, data))
            items += live.receive(data, now_ms)
        for _ in range(random.randint(0, 2)):  # it looks as often as it likes
            found = live.receive(b"", now_ms)
            question = live.write_next(now_ms)
            bus.hear(question, now_ms)
            items += found
            if found or question:
                events.append((now_ms, None))
    assert readings(items)
    assert repr(replayed(again, events)) == repr(items)
    assert again.health() == live.health()


PIECES = st.one_of(
    st.binary(max_size=50),
    st.sampled_from(
        [b"0\r\n", b"00012\r\n", b"0+3.14OqZ\r\n", b"000102\r\n", b"0+1-2\r\n", b"1\r\n", b"0M!"]
    ),
)
COMMANDS = st.sampled_from(["M", "MC", "C", "CC", "R0", "RC0"])


@settings(deadline=None)
@given(st.lists(st.tuples(PIECES, st.integers(0, 1500)), max_size=25), COMMANDS)
def test_any_bytes_whole_or_one_by_one(parts: list[tuple[bytes, int]], command: str) -> None:
    whole, single = (driver_of(sensor(command=command), sensor("1", "CC")) for _ in range(2))
    now_ms = T0_MS
    for driver in (whole, single):
        driver.opened(now_ms)
    for data, step_ms in parts:
        now_ms += step_ms
        items = whole.receive(data, now_ms)
        items += whole.receive(b"", now_ms)
        pieces = [item for each in data for item in single.receive(bytes((each,)), now_ms)]
        pieces += single.receive(b"", now_ms)
        assert repr(items) == repr(pieces)
        assert whole.due_ms(now_ms) == single.due_ms(now_ms)
        assert whole.write_next(now_ms) == single.write_next(now_ms)
    assert whole.health() == single.health()


@settings(deadline=None)
@given(
    st.lists(st.tuples(PIECES, st.integers(-(10**13), 10**13)), max_size=25),
    COMMANDS,
    st.booleans(),
)
def test_any_bytes_at_any_time_never_raise(
    parts: list[tuple[bytes, int]], command: str, told: bool
) -> None:
    driver = driver_of(sensor(command=command), sensor("1"))
    longest_ms = 120_000 + 10_000 + 1100
    for data, now_ms in parts:
        driver.receive(data, now_ms)
        driver.write_next(now_ms)
        driver.receive(b"", now_ms)
        if told:
            driver.shift(now_ms)
            driver.opened(now_ms)
        due_ms = driver.due_ms(now_ms)
        assert due_ms is not None
        assert due_ms <= now_ms + longest_ms
        assert len(driver._held) <= MAX_HELD
