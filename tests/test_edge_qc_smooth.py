"""Quality control of what rises and falls by itself, and of rows that are another's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qc_rows import HOUR_MS, START_MS, flags, noise, one, run, several

from edge.flags import Flag
from edge.qc import QualityControl
from edge.qc_plan import QcChannel

AT = 500


def daily(n: int = 700, sd: float = 0.1, seed: int = 3) -> np.ndarray:
    """Return an air temperature: a wave of a day, and noise far below its hourly changes."""
    wave = 8.0 * np.sin(2.0 * np.pi * np.arange(n) / 24.0)
    return np.round(wave + np.random.default_rng(seed).normal(0.0, sd, n), 2)


def air() -> QualityControl:
    return QualityControl([QcChannel("air", "temperature", "degC")], {})


def told(values: np.ndarray, flag: Flag) -> list[int]:
    found = flags(air(), [[v] for v in values.tolist()])
    return sorted({(f.time_ms - START_MS) // HOUR_MS for f in found if flag & f.flags})


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("at", range(AT, AT + 24, 5))
@pytest.mark.parametrize("size", [-5.0, 5.0])
def test_a_small_spike_is_told_at_any_time_of_the_day(rows: int, at: int, size: float) -> None:
    values = daily()
    values[at : at + rows] += size
    assert told(values, Flag.SPIKE) == list(range(at, at + rows))


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("size", [-5.0, 5.0, 40.0])
def test_what_had_passed_of_a_spike_is_taken_out_again_and_once(size: float, restart: bool) -> None:
    values = daily()
    values[AT] += size
    control, out = air(), []
    for i, value in enumerate(values.tolist()):
        if restart and i == AT + 2:
            kept = json.loads(json.dumps(control.snapshot(), allow_nan=False))
            control = air()
            control.restore(kept)
        control.jumps.undone.tell = lambda _, readings: out.extend(readings)
        given, _ = control.apply(START_MS + i * HOUR_MS, [value])
        if i == AT:
            passed = given[0] == given[0]
    assert [at_ms for at_ms, _ in out] == ([START_MS + AT * HOUR_MS] if passed else [])
    assert passed or size == 40.0
    assert all(by == pytest.approx(size, abs=0.8) for _, by in out)


def test_what_stays_or_only_turns_is_no_spike() -> None:
    values = daily()
    values[AT:] += 5.0
    assert told(values, Flag.SPIKE) == []
    kink = daily()
    kink[AT:] += 2.0 * np.arange(200)
    assert told(kink, Flag.SPIKE) == []


def test_noise_below_the_daily_wave_is_withheld_until_it_is_over() -> None:
    values = daily()
    values[AT : AT + 48] += np.random.default_rng(5).normal(0.0, 2.5, 48)
    rows = told(values, Flag.NOISE)
    assert AT <= rows[0] <= AT + 10
    assert AT + 40 <= rows[-1] <= AT + 54
    assert len(rows) > 25


def test_stick_and_slip_of_a_crack_is_no_noise() -> None:
    values = noise(700, 1)[:, 0]
    for at in range(AT, AT + 60, 3):
        values[at:] += 0.2
    found = flags(one(), [[v] for v in values.tolist()])
    assert not any(f.flags & Flag.NOISE for f in found)


def running(n: int = 700) -> np.ndarray:
    """Return a crack that opens in waves of rain: faster and slower, and never back."""
    pace = 0.12 * (1.0 + np.sin(2.0 * np.pi * np.arange(n) / 72.0))
    return noise(n, 1, 0.02)[:, 0] + np.cumsum(pace)


def test_noise_on_a_crack_that_runs_is_withheld() -> None:
    values = running()
    values[AT : AT + 48] += np.random.default_rng(5).normal(0.0, 0.25, 48)
    found = flags(one(), [[v] for v in np.round(values, 2).tolist()])
    rows = [(f.time_ms - START_MS) // HOUR_MS for f in found if f.flags & Flag.NOISE]
    assert AT <= rows[0] <= AT + 24
    assert rows[-1] <= AT + 60


def test_jerks_of_a_crack_that_runs_are_no_noise() -> None:
    values = running()
    for at in range(AT, AT + 60, 2):
        values[at:] += 0.5
    found = flags(one(), [[v] for v in np.round(values, 2).tolist()])
    assert not any(f.flags & Flag.NOISE for f in found)


def test_a_spike_just_below_what_is_held_back_leaves_no_step() -> None:
    control, rows = several(3), noise(400, 3)
    run(control, rows[:300].tolist())
    off = 0.97 * control.learned()["c1"]["hold_limit"]
    rows[300, 1] = rows[299, 1] - off
    rows[301, 1] = rows[299, 1] + 0.08 * off  # further back than it went off, and beyond the limit
    found = flags(control, rows[300:].tolist(), 300)
    assert [(f.time_ms - START_MS) // HOUR_MS for f in found if f.flags & Flag.SPIKE] == [300]
    assert not any(f.flags & (Flag.STEP | Flag.HELD) for f in found)
    assert control.learned()["c1"]["offset"] == 0.0


def test_a_jump_back_to_where_the_trend_has_come_meanwhile_is_a_spike() -> None:
    control, rows = several(2), noise(400, 2, 0.02)
    rows += 0.06 * np.arange(400)[:, None]
    rows[300:302, 0] -= 0.5
    found = flags(control, np.round(rows, 2).tolist())
    spikes = {(f.channel, (f.time_ms - START_MS) // HOUR_MS) for f in found if f.flags & Flag.SPIKE}
    assert spikes == {("c0", 300), ("c0", 301)}
    assert control.notes == []


def test_a_silent_neighbour_says_nothing_of_a_jump_and_another_does() -> None:
    control, rows = several(3), noise(400, 3)
    rows[280:300, 2] = np.nan
    rows[300:, 2] += 1.0  # it moved at some time in the twenty hours
    rows[300:, 1] += 4.0
    run(control, rows.tolist())
    assert control.learned()["c1"]["offset"] == pytest.approx(4.0, abs=0.1)


def test_a_row_that_came_late_is_known_when_it_comes_once_more() -> None:
    control, rows = several(6), noise(500, 6, 0.3).tolist()
    run(control, [*rows[:300]])
    control.apply(START_MS + 302 * HOUR_MS, rows[302])
    for i in (300, 301):
        control.apply(START_MS + i * HOUR_MS, rows[i])
    run(control, rows[303:450], 303)
    found = flags(control, [rows[300]], 450)
    assert [f.flags for f in found if not f.channel] == [Flag.DUPLICATE]


@pytest.mark.parametrize("off", [4, 2])
def test_a_row_of_another_time_that_never_came_is_told_once_most_channels_are_back(
    off: int,
) -> None:
    control, rows = several(4), noise(400, 4)
    rows[300, :off] -= 7.0
    found = flags(control, rows.tolist())
    copied = {
        (f.time_ms - START_MS) // HOUR_MS
        for f in found
        if not f.channel and f.flags & Flag.DUPLICATE
    }
    assert copied == ({300} if off == 4 else set())


@pytest.mark.parametrize("stop", [AT + 1, AT + 2, AT + 3, AT + 5])
def test_a_restart_in_the_midst_of_a_bend_changes_nothing(stop: int) -> None:
    values = daily()
    values[AT : AT + 2] += 5.0
    values[AT + 60 : AT + 90] += np.random.default_rng(5).normal(0.0, 2.5, 30)
    rows = [[v] for v in values.tolist()]
    whole = flags(air(), rows)
    first, second = air(), air()
    found = flags(first, rows[:stop])
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    assert found + flags(second, rows[stop:], stop) == whole
