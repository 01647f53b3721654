"""Rows that wait for others, where no others come: they are judged all the same, in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting_parts import (
    DUE_MS,
    END,
    HOUR_MS,
    LATENESS_H,
    LOST,
    ONE_PORT,
    RECEIVED_MS,
    ROWS,
    TWO_PORTS,
    carried_away,
    reading,
    restarted,
    tilt,
    told,
)  # fmt: skip

from edge.config import Config
from edge.pipeline import Pipeline
from edge.replay import replay
from firmware_bridge.capture import Ordered
from firmware_bridge.reading import Reading


def test_the_last_rows_before_a_sensor_is_gone_raise_the_level() -> None:
    """Once they have waited for the lost one as long as any may."""
    pipeline, before = carried_away(ONE_PORT)
    assert before == []
    assert pipeline.tick(DUE_MS) == []
    found = pipeline.tick(DUE_MS + 1)
    assert told(found) == [("level", 3, DUE_MS)]
    assert pipeline.stations["slope"].alarm.level == 3


def test_the_last_steps_of_a_slope_that_fell_silent_raise_the_level() -> None:
    """They are open for what else may come of the same hours, as long as that may be late."""
    pipeline, before = carried_away(TWO_PORTS)
    assert before == []
    over_ms = RECEIVED_MS + (LOST + 5 + 1 + LATENESS_H) * HOUR_MS
    assert pipeline.tick(over_ms) == []
    found = pipeline.tick(over_ms + 1)
    assert told(found) == [("level", 3, over_ms)]
    silent_ms = RECEIVED_MS + (END - 1 + 20) * HOUR_MS
    (first, last) = pipeline.tick(silent_ms + 1)
    assert [first.silent, last.silent] == [("tilt",), ("crack", "tilt")]
    assert [first.no_data, last.no_data] == [False, True]
    assert last.received_ms == silent_ms  # when its last good row came; the one after is no value


@pytest.mark.parametrize("no_data_h", [4, 20])
def test_a_sensor_that_is_gone_is_not_told_as_there_again(no_data_h: int) -> None:
    """Neither where its last rows go on by the clock, nor where another port's rows push them."""
    station = replace(TWO_PORTS.stations[0], no_data_after_ms=no_data_h * HOUR_MS)
    short = replace(TWO_PORTS, stations=(station,))
    for others in (), [tilt(END - 1 + i) for i in range(40)]:
        pipeline, found = carried_away(short)
        for each in others:
            found += pipeline.receive(each).changes
        found += pipeline.tick(RECEIVED_MS + (END + 40) * HOUR_MS)
        gone_ms = RECEIVED_MS + END * HOUR_MS
        silent = [c.silent for c in found if c.kind == "silence" and c.received_ms > gone_ms]
        told_first = next((i for i, names in enumerate(silent) if "crack" in names), 0)
        assert all("crack" in names for names in silent[told_first:])
        assert "crack" in pipeline.stations["slope"].alarm.silent
        assert ("level", 3) in [(change.kind, change.level) for change in found]


def test_a_sensor_that_is_back_is_told_by_its_own_rows() -> None:
    pipeline, found = carried_away(TWO_PORTS)
    found += pipeline.tick(RECEIVED_MS + (END + 60) * HOUR_MS)
    assert "crack" in [c.silent for c in found if c.kind == "silence"][-1]
    back = [c for i in range(30) for c in pipeline.receive(reading(END + 61 + i, 15.0)).changes]
    assert ("silence", ()) in [(c.kind, tuple(set(c.silent) & {"crack"})) for c in back]


@pytest.mark.parametrize("no_data_h", [7, 20])
def test_a_sensor_on_a_lossy_link_is_not_told_as_silent(no_data_h: int) -> None:
    """Rows that wait for lost ones are heard when they come, however long they wait."""
    for each in TWO_PORTS, ONE_PORT:
        station = replace(each.stations[0], no_data_after_ms=no_data_h * HOUR_MS)
        assert lossy(replace(each, stations=(station,))) == []


def lossy(config: Config) -> list[tuple[str, ...]]:
    """What falls silent in two months of which one row in five is lost, six in a row at most."""
    random = np.random.default_rng(1)
    pipeline, found = Pipeline(config, {"slope": "none"}), []
    for hour in range(60 * 24):
        if random.random() < 0.8:
            found += pipeline.receive(reading(hour, 1.0 + random.normal(0.0, 0.1))).changes
        noise = random.normal(0.0, 0.1)  # one that never changes is frozen, and is not heard
        found += pipeline.receive(replace(tilt(hour + 0.01), values=(noise,))).changes
    return [c.silent for c in found]


@settings(max_examples=60)
@given(
    looks_min=st.lists(st.integers(0, 60 * 30), max_size=12),
    restarts=st.sets(st.integers(0, 11), max_size=3),
    shift_ms=st.sampled_from([0, 0, 7 * HOUR_MS, -7 * HOUR_MS]),
    tilts=st.lists(st.integers(END, END + 50), unique=True, max_size=4),
)
def test_how_often_one_looks_a_restart_and_a_clock_that_is_set_change_nothing(
    looks_min: list[int], restarts: set[int], shift_ms: int, tilts: list[int]
) -> None:
    """The same changes at the same times, whoever asks, and whatever else comes in between."""
    end_ms = RECEIVED_MS + (END + 60) * HOUR_MS
    others = [tilt(hour + 0.01) for hour in sorted(tilts)]
    wanted, expected = carried_away(TWO_PORTS)
    for each in others:
        expected += wanted.receive(each).changes
    expected += wanted.tick(end_ms)
    assert ("level", 3) in [(c.kind, c.level) for c in expected]

    pipeline, found = carried_away(TWO_PORTS)
    pipeline.shift(shift_ms)
    looks = [RECEIVED_MS + END * HOUR_MS + minute * 60_000 for minute in sorted(looks_min)]
    for i, at in enumerate(sorted([*looks, *others], key=_arrival)):
        if isinstance(at, int):
            found += pipeline.tick(at + shift_ms)
        else:
            found += pipeline.receive(replace(at, received_ms=at.received_ms + shift_ms)).changes
        if i in restarts:
            pipeline = restarted(TWO_PORTS, pipeline, _arrival(at) + shift_ms)
    found += pipeline.tick(end_ms + shift_ms)
    assert told(found) == [(kind, level, at + shift_ms) for kind, level, at in told(expected)]


def _arrival(at: int | Reading) -> int:
    return at if isinstance(at, int) else at.received_ms


def test_to_decide_anew_a_replay_goes_on_until_the_alarm() -> None:
    pipeline, live = carried_away(TWO_PORTS)
    end_ms = RECEIVED_MS + (END + 60) * HOUR_MS
    live += pipeline.tick(end_ms)
    for until_ms, expected in ((0, []), (end_ms, told(live))):
        again = replay(TWO_PORTS, {"slope": "none"}, ROWS, until_ms)
        assert told([c for _, outcome in again if outcome for c in outcome.changes]) == expected


def test_rows_too_late_do_not_put_off_what_is_due() -> None:
    """Another port sends what it kept from long ago."""
    ports = [replace(p, time=replace(p.time, lateness_ms=100 * HOUR_MS)) for p in TWO_PORTS.ports]
    pipeline, found = carried_away(replace(TWO_PORTS, ports=tuple(ports)))
    for hour in range(END, END + 40):
        late = replace(tilt(0.3 * (hour - END) + 0.5), received_ms=RECEIVED_MS + hour * HOUR_MS)
        outcome = pipeline.receive(late)
        assert not outcome.reason
        found += outcome.changes
    (raised,) = [c.received_ms for c in found if c.kind == "level"]
    assert raised == RECEIVED_MS + (LOST + 5 + 1 + LATENESS_H) * HOUR_MS


def test_an_order_that_is_refused_takes_no_alarm_with_it() -> None:
    refused = Ordered(DUE_MS + 1, "no order at all")
    again = replay(ONE_PORT, {"slope": "none"}, [*ROWS, refused])
    assert told([c for _, outcome in again if outcome for c in outcome.changes]) == [
        ("level", 3, DUE_MS)
    ]
