"""What a line must never do to a driver: raise, hold memory, lose without a count, hang."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

import pytest
from hostile_peer import KINDS, NOW_MS, Items, Talk, hostile, readings, reasons
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drivers.gnss import PARTNER_MS, SILENCE_MS
from firmware_bridge.interview import RECHECK_MS
from firmware_bridge.reading import ROW_REASONS, Reading
from firmware_bridge.sim_faults import Faults, FaultyWire

YEARS_MS = 10 * 365 * 86_400_000
GROWTH_BYTES = 64 * 1024
"""More than this between the middle and the end of a hostile stream is a leak."""


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_row_then_a_pause_then_the_other_half(kind: str) -> None:
    talk = Talk(kind)
    data = talk.row(0)
    for cut in (1, 3, len(data) // 2, len(data) - 1):
        data = talk.row(cut)
        items = talk.driver.receive(data[:cut], NOW_MS)
        items += talk.driver.receive(b"", NOW_MS + SILENCE_MS - 1)
        items += talk.driver.receive(data[cut:], NOW_MS + SILENCE_MS - 1)
        assert len(readings(items)) == len(items) == 1, (cut, items)
    # Whatever the pause, no row is lost but the one it cut, and that one is told.
    data = talk.row(1000)
    items = talk.driver.receive(data[:5], NOW_MS + 1000)
    items += talk.driver.receive(b"", NOW_MS + 3_600_000)
    items += talk.driver.receive(data[5:] + talk.row(1001), NOW_MS + 3_600_000)
    assert 1 <= len(readings(items)) <= 2
    assert len(readings(items)) + sum(reasons(items).values()) >= 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_exactly_zero_is_a_value(kind: str) -> None:
    talk = Talk(kind)
    (reading,) = talk.driver.receive(talk.row(0), NOW_MS)
    assert isinstance(reading, Reading)
    assert reading.values[0] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_five_rows_in_one_millisecond_are_five(kind: str) -> None:
    talk = Talk(kind)
    items = talk.driver.receive(b"".join(talk.row(i) for i in range(5)), NOW_MS)
    assert len(readings(items)) == len(items) == 5
    if kind != "gnss":
        assert [reading.sequence for reading in readings(items)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_loss_delay_duplicates_and_flips_are_counted_and_attributed(kind: str, seed: int) -> None:
    talk, random = Talk(kind), Random(seed)
    faults = Faults(flip_rate=0.1, drop_rate=0.2, duplicate_rate=0.1, garbage_rate=0.1, seed=seed)
    wire = FaultyWire(faults)
    rows, now_ms = 400, NOW_MS
    items = talk.driver.receive(talk.row(0), now_ms)  # what is lost before the first shows nowhere
    for i in range(1, rows):
        now_ms += 1000 + random.choice((0, 0, 0, 700))
        data = wire.carry(talk.row(i))
        while data:  # in pieces, and some of them late
            size = random.choice((1, 2, 7, 60))
            items += talk.driver.receive(data[:size], now_ms)
            data = data[size:]
            now_ms += random.choice((0, 0, 0, 40))
        items += talk.answer(now_ms)
    items += talk.driver.receive(b"", now_ms + 60_000)
    items += talk.driver.receive(talk.row(rows), now_ms + 60_000)
    items += talk.answer(now_ms + 60_000) + talk.driver.receive(b"", now_ms + 600_000)
    lost = reasons(items)
    health = talk.driver.health()
    assert dict(lost) == dict(health.dropped)
    assert {item.source for item in items} == {health.source} == {"port-1"}
    assert len(readings(items)) > rows / 2
    # A row that arrived is a reading or told as dropped; one that did not is a gap or filled.
    undamaged = rows - wire.lost - wire.flipped
    assert len(readings(items)) >= undamaged - wire.garbage
    if kind == "tw1":
        assert len(readings(items)) + health.gaps == rows + 1
    arrived = len(readings(items)) + sum(n for r, n in lost.items() if r in ROW_REASONS)
    assert arrived >= rows - wire.lost - wire.garbage


@pytest.mark.parametrize("kind", KINDS)
def test_byte_at_a_time_over_a_bad_line_is_the_same_as_at_once(kind: str) -> None:
    wire = FaultyWire(Faults(0.1, 0.1, 0.1, 0.1, seed=4))
    whole, single = Talk(kind), Talk(kind)
    stream = b"".join(wire.carry(whole.row(i)) for i in range(60))
    at_once = whole.driver.receive(stream, NOW_MS)
    pieces = [item for b in stream for item in single.driver.receive(bytes((b,)), NOW_MS)]
    assert repr(at_once) == repr(pieces)
    assert whole.driver.health() == single.driver.health()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jump_ms", [-YEARS_MS, -3_600_000, 3_600_000, YEARS_MS])
def test_a_clock_that_jumps_stops_nothing(kind: str, jump_ms: int) -> None:
    for told in (False, True):  # with the gateway noticing it, and without
        talk = Talk(kind)
        items = [item for i in range(3) for item in talk.driver.receive(talk.row(i), NOW_MS + i)]
        if told:
            talk.driver.shift(jump_ms)
        for i in range(3, 9):
            now_ms = NOW_MS + jump_ms + 1000 * i
            items += talk.driver.receive(talk.row(i), now_ms)
            items += talk.answer(now_ms)
            due_ms = talk.driver.due_ms(now_ms)
            assert due_ms is None or due_ms - now_ms <= RECHECK_MS + 60_000
        assert len(readings(items)) >= 8
        assert all(0 <= item.time_ms < 1 << 62 for item in readings(items))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_bounded_over_a_long_hostile_stream(kind: str) -> None:
    talk, random = Talk(kind), Random(7)
    pieces = [hostile(kind, talk, random) for _ in range(300)]
    now_ms = NOW_MS

    def feed(times: int) -> None:
        nonlocal now_ms
        for _ in range(times):
            random.shuffle(pieces)
            for piece in pieces:
                now_ms += random.choice((0, 1, 300, 5000))
                talk.driver.receive(piece, now_ms)
                talk.driver.write_next(now_ms)
                talk.driver.due_ms(now_ms)
            talk.driver.opened(now_ms)

    feed(2)
    tracemalloc.start()
    try:
        gc.collect()
        feed(1)
        gc.collect()
        middle = tracemalloc.get_traced_memory()[0]
        feed(4)
        gc.collect()
        end = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert end - middle < GROWTH_BYTES
    # And it still works.
    talk.answer(now_ms)
    items: Items = []
    for i in range(10**6 + 1, 10**6 + 40):
        now_ms += 10_000
        items += talk.driver.receive(talk.row(i), now_ms) + talk.answer(now_ms)
    items += talk.driver.receive(b"", now_ms + PARTNER_MS)
    assert len(readings(items)) > 20


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.integers(1, 40))
def test_no_exception_leaves_a_driver(kind: str, seed: int, count: int) -> None:
    talk, random = Talk(kind), Random(seed)
    now_ms, items = NOW_MS, []
    for _ in range(count):
        now_ms += random.choice((0, 1, 900, -YEARS_MS, YEARS_MS))
        items += talk.driver.receive(hostile(kind, talk, random), now_ms)
        if random.random() < 0.2:
            talk.driver.shift(random.randint(-YEARS_MS, YEARS_MS))
        talk.driver.write_next(now_ms)
    assert dict(reasons(items)) == dict(talk.driver.health().dropped)
