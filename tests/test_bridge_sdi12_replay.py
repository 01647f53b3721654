"""The SDI-12 driver in any time: replays, any bytes in any pieces."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdi12_bus import T0_MS, Items, driver_of, readings, replayed, rows, sensor

from firmware_bridge.drivers.sdi12 import (
    MAX_HELD,
)
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_sdi12 import BusFaults, SimulatedBus, SimulatedSensor


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
