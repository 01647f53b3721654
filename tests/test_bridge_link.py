"""Gaps, duplicates, reboots; and node time on the gateway's clock."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.link import (
    CLOCK_STEP_MS,
    REMEMBERED_SAMPLES,
    WINDOW_FRAMES,
    Arrival,
    ClockMap,
    SampleLedger,
)

NEW, LATE, DUPLICATE = Arrival.NEW, Arrival.LATE, Arrival.DUPLICATE


def arrivals(ledger: SampleLedger, *indices: int) -> list[Arrival]:
    return [ledger.arrived(index) for index in indices]


def test_gaps_are_counted_and_late_samples_close_them() -> None:
    ledger = SampleLedger()
    assert arrivals(ledger, 10, 11, 15) == [NEW, NEW, NEW]
    assert ledger.gaps == 3
    assert arrivals(ledger, 13, 13, 12, 14) == [LATE, DUPLICATE, LATE, LATE]
    assert (ledger.gaps, ledger.duplicates) == (0, 1)


def test_what_came_before_the_first_sample_is_no_gap() -> None:
    ledger = SampleLedger()
    assert arrivals(ledger, 1000, 999, 1000) == [NEW, DUPLICATE, DUPLICATE]
    assert ledger.gaps == 0


def test_the_index_may_wrap() -> None:
    ledger = SampleLedger()
    assert arrivals(ledger, 2**32 - 1, 0, 2) == [NEW, NEW, NEW]
    assert ledger.gaps == 1


def test_a_wild_index_costs_no_memory() -> None:
    ledger = SampleLedger()
    arrivals(ledger, 0, 2**31 - 1)
    assert ledger.gaps == 2**31 - 2
    assert arrivals(ledger, 2**31, 2**31 - 5 - REMEMBERED_SAMPLES) == [NEW, DUPLICATE]


def test_a_reboot_restarts_the_count_or_goes_on() -> None:
    ledger = SampleLedger()
    assert not ledger.note_boot(1)
    arrivals(ledger, 100, 101)
    assert ledger.note_boot(2)
    assert not ledger.note_boot_id(77)  # the HELLO of the same boot
    assert arrivals(ledger, 0, 1) == [NEW, NEW]
    assert (ledger.gaps, ledger.reboots) == (0, 1)
    assert ledger.note_boot(3)
    assert arrivals(ledger, 5, 6) == [NEW, NEW]
    assert (ledger.gaps, ledger.reboots) == (3, 2)


def test_a_boot_id_tells_of_a_reboot_that_the_counter_hides() -> None:
    ledger = SampleLedger()
    ledger.note_boot(0)
    assert not ledger.note_boot_id(1)
    arrivals(ledger, 50)
    assert not ledger.note_boot(0)
    assert ledger.note_boot_id(2)
    assert arrivals(ledger, 50) == [NEW]


@given(st.lists(st.integers(0, 60), max_size=80))
def test_any_order_accounts_for_every_sample(indices: list[int]) -> None:
    ledger = SampleLedger()
    ledger.arrived(0)
    kinds = arrivals(ledger, *indices)
    seen = {0, *indices}
    assert ledger.gaps == max(seen) + 1 - len(seen)
    assert kinds.count(DUPLICATE) == ledger.duplicates == len(indices) + 1 - len(seen)


def test_the_quickest_arrival_sets_the_clock() -> None:
    clock = ClockMap()
    delays = [30, 5, 80, 5000, 40, 7]
    times = [clock.time_ms(i * 1_000_000, 1_000_000 + i * 1000 + d) for i, d in enumerate(delays)]
    assert times == [1_000_030, 1_001_005, 1_002_005, 1_003_005, 1_004_005, 1_005_005]


def test_a_quick_arrival_is_forgotten_after_the_window() -> None:
    clock = ClockMap()
    clock.time_ms(0, 0)
    times = [clock.time_ms(i * 1_000_000, i * 1000 + 50) for i in range(1, WINDOW_FRAMES + 1)]
    assert times[-2] == (WINDOW_FRAMES - 1) * 1000
    assert times[-1] == WINDOW_FRAMES * 1000 + 50


@given(st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(0, 3000)), max_size=200))
def test_time_never_falls_while_node_time_rises(steps: list[tuple[int, int]]) -> None:
    clock = ClockMap()
    t_us = now_ms = 0
    times = []
    for step_us, step_ms in steps:
        t_us += step_us
        now_ms += step_ms
        times.append(clock.time_ms(t_us, now_ms))
        assert times[-1] <= now_ms
    assert times == sorted(times)


def test_a_gateway_clock_set_back_by_years_does_not_stop_time() -> None:
    clock = ClockMap()
    year_2100_ms = 4_102_444_800_000
    clock.time_ms(0, year_2100_ms)
    assert clock.time_ms(1_000_000, year_2100_ms - CLOCK_STEP_MS) == year_2100_ms
    assert clock.time_ms(2_000_000, 1_700_000_000_000) == 1_700_000_000_000


def test_a_late_sample_keeps_its_own_time() -> None:
    clock = ClockMap()
    clock.time_ms(0, 1000)
    clock.time_ms(10_000_000, 11_000)
    assert clock.time_ms(4_000_000, 11_500) == 5000
    assert clock.time_ms(11_000_000, 12_000) == 12_000


def test_a_new_boot_maps_anew_and_never_back() -> None:
    clock = ClockMap()
    clock.time_ms(3_600_000_000, 10_000)
    clock.restarted()
    assert clock.time_ms(0, 9_990) == 10_000
    assert clock.time_ms(5_000_000, 15_100) == 14_990


def test_node_time_is_followed_from_the_first_frame() -> None:
    clock = ClockMap("node")
    hour_us = 3_600_000_000
    times = [clock.time_ms(5 + i * hour_us, 1_000_000 + i) for i in range(3)]
    assert times == [1_000_000 + i * 3_600_000 for i in range(3)]


def test_a_node_ahead_of_time_goes_on_one_step_after_a_reboot() -> None:
    clock = ClockMap("node", epoch_ms=50_000)
    before = [clock.time_ms(i * 1_000_000, 1_700_000_000_000 + i) for i in range(3)]
    assert before == [50_000, 51_000, 52_000]
    clock.restarted()
    after = [clock.time_ms(i * 1_000_000, 1_700_000_000_003 + i) for i in range(3)]
    assert after == [53_000, 54_000, 55_000]


def test_a_node_in_time_goes_on_at_its_arrival_after_a_reboot() -> None:
    clock = ClockMap("node")
    list(itertools.starmap(clock.time_ms, [(0, 1000), (1_000_000, 2000)]))
    clock.restarted()
    assert clock.time_ms(0, 9000) == 9000


@pytest.mark.parametrize("arguments", [("sun",), ("arrival", 5)])
def test_clocks_that_do_not_exist_are_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="clock"):
        ClockMap(*arguments)


@pytest.mark.parametrize("step_ms", [5_000, 3 * 86_400_000])
def test_node_times_follow_our_clock_at_once_when_it_is_set_forward(step_ms: int) -> None:
    clock = ClockMap()
    for i in range(WINDOW_FRAMES):
        assert clock.time_ms(i * 1_000_000, 1_000 * i) == 1_000 * i
    clock.shift(step_ms)
    late = WINDOW_FRAMES * 1_000
    assert clock.time_ms(late * 1_000, late + step_ms + 40) == late + step_ms  # jitter is known


def test_what_follows_the_node_does_not_follow_our_clock() -> None:
    clock = ClockMap("node")
    assert clock.time_ms(0, 1_000) == 1_000
    clock.shift(86_400_000)
    assert clock.time_ms(1_000_000, 86_402_000) == 2_000
