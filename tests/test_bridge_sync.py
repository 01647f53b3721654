"""Node time on the gateway's clock, by exchanges over lines that delay and clocks that drift."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.commands import SYNC, Exchange
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import FrameDecoder
from firmware_bridge.link import ClockMap
from firmware_bridge.reading import Channel, Quantity, Reading, Unit
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sync import BATCH, EVERY_MS, SILENT_MS, SyncClock

START_US = 1_700_000_000_000_000
CHANNELS = (Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000),)


class World:
    """True time, a node whose clock drifts, and a line that delays; times in us."""

    def __init__(self, drift: float = 0.0, delay_us: int = 5_000, seed: int = 1) -> None:
        self.now_us = START_US
        self.drift = drift
        self.delay_us = delay_us
        self.random = random.Random(seed)
        self.jump_us = 0

    def node_us(self, true_us: float) -> int:
        return round((true_us - START_US) * (1 + self.drift)) + self.jump_us + 1_000_000

    def exchange(self, clock: SyncClock) -> bool:
        t1 = self.now_us // 1000 * 1000
        out = self.random.randint(500, self.delay_us)
        back = self.random.randint(500, self.delay_us)
        t2 = self.node_us(self.now_us + out)
        t3 = self.node_us(self.now_us + out + 100)
        t4 = (self.now_us + out + 100 + back) // 1000 * 1000
        return clock.take(Exchange(t1, t2, t3), t4)

    def run(self, clock: SyncClock, seconds: int, every_s: int = 10) -> None:
        for _ in range(seconds // every_s):
            self.exchange(clock)
            self.now_us += every_s * 1_000_000

    def error_us(self, clock: SyncClock) -> float:
        return abs(clock.time_us(self.node_us(self.now_us)) - self.now_us)


@settings(max_examples=30, deadline=None)
@given(st.floats(-450e-6, 450e-6), st.integers(1_000, 200_000), st.integers(0, 99))
def test_the_error_stays_within_what_is_stated(drift: float, delay_us: int, seed: int) -> None:
    world, clock = World(drift, delay_us, seed), SyncClock()
    for _ in range(BATCH):
        world.exchange(clock)
        world.now_us += 250_000
    world.run(clock, 3600)
    # 80 s may pass between two points that count; half a round trip is the bound of each.
    assert world.error_us(clock) <= clock.uncertainty_us + 160e6 * abs(drift) + 1000


def test_drift_is_learned() -> None:
    world, clock = World(drift=100e-6, delay_us=4_000), SyncClock()
    world.run(clock, 2 * 3600)
    assert world.error_us(clock) < 3_000  # untaught, 80 s x 100 ppm alone would be 8 ms


def test_one_exchange_is_better_than_none() -> None:
    world, clock = World(), SyncClock()
    assert not clock.ready
    world.exchange(clock)
    assert clock.ready
    assert world.error_us(clock) <= clock.uncertainty_us


@pytest.mark.parametrize("jump_s", [-3600, -5, 5, 3600, 10**9])
def test_a_node_clock_that_jumps_is_noticed(jump_s: int) -> None:
    world, clock = World(), SyncClock()
    world.run(clock, 1200)
    world.jump_us = jump_s * 1_000_000
    world.exchange(clock)
    assert clock.jumps == 1
    assert world.error_us(clock) <= clock.uncertainty_us


def test_late_hostile_and_impossible_answers_are_of_no_use() -> None:
    clock = SyncClock()
    t1, huge = START_US, 2**64 - 1
    for exchange, t4 in [
        (Exchange(t1, 5, 5), t1 - 1),
        (Exchange(t1, 5, 5), t1 + 10**7),
        (Exchange(t1, 9, 5), t1 + 1000),
        (Exchange(t1, 0, huge), t1 + 1000),
        (Exchange(0, 5, 5), t1),
        (Exchange(huge, 5, 5), t1),
    ]:
        assert not clock.take(exchange, t4)
    assert not clock.ready


def test_our_own_clock_that_is_set_moves_the_map_at_once() -> None:
    world, clock = World(), SyncClock()
    world.run(clock, 1200)
    node_us = world.node_us(world.now_us)
    before = clock.time_us(node_us)
    clock.shift(60_000)
    assert clock.time_us(node_us) - before == 60_000_000


def test_a_sample_from_the_future_is_a_clock_that_jumped() -> None:
    world, clock = World(), ClockMap("sync")
    assert clock.sync is not None
    world.run(clock.sync, 1200)
    now_ms = world.now_us // 1000
    node_us = world.node_us(world.now_us)
    assert abs(clock.time_ms(node_us, now_ms) - now_ms) < 10
    assert clock.uncertainty_ms > 0
    assert clock.time_ms(node_us + 10**12, now_ms) <= now_ms + 1
    assert clock.uncertainty_ms == -1
    assert clock.sync.jumps == 1


def questions(driver: Tw1Driver, node: SimulatedNode | None, seconds: int) -> list[int]:
    """Let time pass; when SYNC was asked, in ms from the start."""
    asked = []
    for ms in range(0, seconds * 1000, 50):
        now_ms = START_US // 1000 + ms
        question = driver.write_next(now_ms)
        if not question:
            continue
        (frame,) = FrameDecoder().receive(question)
        if frame.type == SYNC:
            asked.append(ms)
            if node is None:
                continue
        answering = node or SimulatedNode(describe(CHANNELS))
        driver.receive(answering.receive(question, 50_000 + ms * 1000), now_ms + 20)
    return asked


def test_exchanges_are_dense_at_first_then_rare() -> None:
    node, driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("n")
    driver.opened(START_US // 1000)
    asked = questions(driver, node, 100)
    waits = [b - a for a, b in zip(asked, asked[1:], strict=False)]
    assert set(waits[: BATCH - 1]) == {250}
    assert set(waits[BATCH:]) == {EVERY_MS}
    (frame,) = node.sample((1.0,), 100_050_000)
    (reading,) = driver.receive(frame, START_US // 1000 + 100_020)
    assert isinstance(reading, Reading)
    assert 0 < reading.uncertainty_ms < 20
    assert abs(reading.time_ms - (START_US // 1000 + 100_000)) <= reading.uncertainty_ms


def test_a_node_that_does_not_answer_is_asked_rarely() -> None:
    driver = Tw1Driver("n")
    driver.opened(START_US // 1000)
    asked = questions(driver, None, 200)
    assert asked[-1] - asked[-2] == SILENT_MS
    assert len(asked) < 12
