"""A GNSS rover over a real pty: short reads, a lost fix, damage on the line."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable

import pytest
from gnss_rows import ENU, ROVER, Items, format_of, readings

from firmware_bridge.drivers.gnss import SILENCE_MS, GnssDriver
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Driver
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_gnss import RoverPty, RoverRow


def gathered(port: Port, driver: Driver, enough: Callable[[Items], bool]) -> Items:
    """Run a small gateway loop until there is enough, at most 30 s."""
    items: Items = []
    end_s = time.monotonic() + 30
    while not enough(items) and time.monotonic() < end_s:
        now_ms = time.time_ns() // 1_000_000
        event = port.poll(now_ms)
        if event is not None and event.state is PortState.OPENED:
            driver.opened(now_ms)
        fileno = port.fileno()
        if fileno is None:
            time.sleep(0.02)
        elif select.select([fileno], [], [], 0.02)[0]:
            items += driver.receive(port.read(), time.time_ns() // 1_000_000)
    return items


def test_a_rover_over_a_pty_in_short_reads_with_its_fix_lost_for_a_while() -> None:
    begin_ms = time.time_ns() // 1_000_000 - 30_000
    rows = [
        RoverRow(begin_ms + 200 * i, 3.0 * i, 0.0, -1.0 * i, 0 if 40 <= i < 50 else 4)
        for i in range(100)
    ]
    driver = GnssDriver("rover", format_of("relposned", (*ENU, "fix_quality")))
    with RoverPty(ROVER, rows, interval_s=0.01) as rover:
        port = Port(rover.device)
        items = gathered(port, driver, lambda items: len(items) >= 100)
        port.close()
    got = readings(items)
    assert len(got) == len(items) == 100
    assert [r.time_ms for r in got] == [row.utc_ms for row in rows]
    for row, reading in zip(rows, got, strict=True):
        if row.quality:
            truth = (row.east_mm, row.north_mm, row.up_mm, 4.0)
            assert reading.values == pytest.approx(truth, abs=0.051)
        else:
            assert all(map(math.isnan, reading.values[:3]))
    assert driver.health().values_rejected == (("invalid", 30),)


def test_damaged_messages_over_a_pty_are_the_only_ones_lost() -> None:
    begin_ms = time.time_ns() // 1_000_000 - 30_000
    rows = [RoverRow(begin_ms + 200 * i, 3.0 * i, 0.0, -1.0 * i) for i in range(150)]
    driver = GnssDriver("rover", format_of("relposned"))
    faults = Faults(flip_rate=0.05, garbage_rate=0.02, seed=4)
    with RoverPty(ROVER, rows, interval_s=0.01, faults=faults) as rover:
        port = Port(rover.device)
        items = gathered(port, driver, lambda _: rover.rows_sent == len(rows))
        settle_s = time.monotonic() + 0.2
        items += gathered(port, driver, lambda _: time.monotonic() > settle_s)
        items += driver.receive(b"", time.time_ns() // 1_000_000 + SILENCE_MS)
        port.close()
        damage = rover.wire
    truth = {row.utc_ms: row for row in rows}
    got = readings(items)
    for reading in got:
        row = truth[reading.time_ms]
        assert reading.values == pytest.approx((row.east_mm, row.north_mm, row.up_mm), abs=0.051)
    sent = 9 * len(rows)
    assert damage.flipped > 30
    # A flip in the line end of a sentence does it no harm: 4 of 65 here can be of that kind.
    assert 0 <= driver.health().frames_ok - (sent - damage.flipped) <= 4
    assert len(got) > 130
    lost = sum(count for _, count in driver.health().dropped)
    assert damage.flipped <= lost <= damage.flipped + damage.garbage
