"""Rows that wait, over a restart: with other settings, other channels, a damaged state."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from waiting_parts import (
    DUE_MS,
    END,
    HOUR_MS,
    LATENESS_H,
    ONE_PORT,
    RECEIVED_MS,
    T0_MS,
    TWO_PORTS,
    carried_away,
    reading,
    restarted,
)  # fmt: skip

from edge.pipeline import Pipeline


def test_what_is_wrong_with_it_is_told_with_the_next_reading_over_a_restart() -> None:
    pipeline, _ = carried_away(ONE_PORT)
    now_ms = DUE_MS + 1  # all of them went on: what comes later is not waited for
    pipeline.tick(now_ms)
    again = restarted(ONE_PORT, pipeline, now_ms)
    for one in pipeline, again:
        first = one.receive(reading(END + 40, 15.0)).rows[0].flags
        assert (T0_MS + END * HOUR_MS, "crack") in [(each.time_ms, each.channel) for each in first]
        second = one.receive(reading(END + 41, 15.0)).rows[0].flags
        assert (T0_MS + END * HOUR_MS, "crack") not in [(e.time_ms, e.channel) for e in second]


def test_what_waited_goes_on_where_nothing_waits_any_more() -> None:
    """The site sets lateness_s to 0, and starts again."""
    pipeline, _ = carried_away(ONE_PORT)
    now_ms = RECEIVED_MS + END * HOUR_MS
    station = replace(ONE_PORT.stations[0], lateness_ms=0)
    again = restarted(replace(ONE_PORT, stations=(station,)), pipeline, now_ms)
    assert [c.level for c in again.tick(now_ms + 1) if c.kind == "level"] == [3]


def test_of_other_channels_nothing_that_waited_goes_on() -> None:
    """The site has added one, and starts again."""
    pipeline, _ = carried_away(TWO_PORTS)
    now_ms = RECEIVED_MS + END * HOUR_MS
    (station,) = TWO_PORTS.stations
    more = replace(station.channels[1], name="tilt_2")
    other = replace(TWO_PORTS, stations=(replace(station, channels=(*station.channels, more)),))
    again = restarted(other, pipeline, now_ms, quality={}, order_of=["crack", "tilt"])
    assert [c.level for c in again.tick(now_ms + 60 * HOUR_MS) if c.kind == "level"] == []


@pytest.mark.parametrize(
    "row", [[T0_MS, [1.0], []], [T0_MS, [1.0, 2.0], [[7, 1]]], [10**300, [1.0, 2.0], []]]
)
def test_a_damaged_row_is_told_and_does_not_end_the_gateway(row: list) -> None:
    pipeline, _ = carried_away(TWO_PORTS)
    now_ms = RECEIVED_MS + END * HOUR_MS
    order = pipeline.snapshot()["stations"]["slope"]["order"]
    order["node"] |= {"waiting": [row], "waited_ms": [0]}
    again = restarted(TWO_PORTS, pipeline, now_ms, order=order)
    again.tick(now_ms + 60 * HOUR_MS)


def test_a_shorter_lateness_lets_nothing_happen_before_the_restart() -> None:
    pipeline, _ = carried_away(ONE_PORT)
    now_ms = RECEIVED_MS + END * HOUR_MS
    station = replace(ONE_PORT.stations[0], lateness_ms=HOUR_MS)
    again = restarted(replace(ONE_PORT, stations=(station,)), pipeline, now_ms)
    found = again.tick(now_ms + HOUR_MS)
    assert [c.received_ms for c in found if c.kind == "level"] == [now_ms]


def test_what_waited_outlives_a_damaged_quality_state() -> None:
    pipeline, _ = carried_away(ONE_PORT)
    now_ms = RECEIVED_MS + END * HOUR_MS
    again = restarted(ONE_PORT, pipeline, now_ms, quality={"no": "such"})
    found = again.tick(now_ms + LATENESS_H * HOUR_MS + 1)
    assert [c.level for c in found if c.kind == "level"] == [3]


def test_a_damaged_list_of_what_waits_costs_that_alone() -> None:
    pipeline, _ = carried_away(ONE_PORT)
    now_ms = RECEIVED_MS + END * HOUR_MS
    again = restarted(ONE_PORT, pipeline, now_ms, order={"node": {"last_ms": "?"}})
    found = again.tick(now_ms + LATENESS_H * HOUR_MS + 1)
    assert [c.level for c in found if c.kind == "level"] == []
    assert (
        again.stations["slope"].quality.snapshot() == pipeline.stations["slope"].quality.snapshot()
    )


def test_a_damaged_age_costs_nothing_and_ends() -> None:
    pipeline, _ = carried_away(TWO_PORTS)
    now_ms = RECEIVED_MS + END * HOUR_MS
    state = json.loads(json.dumps(pipeline.snapshot()))
    for damage in (10**19, -1, "x"):
        state["stations"]["slope"]["arrived_ago_ms"] = damage
        again = Pipeline(TWO_PORTS, {"slope": "none"})
        again.restore(state, now_ms)
        assert [c.level for c in again.tick(now_ms + 60 * HOUR_MS) if c.kind == "level"] == [3]


def test_in_another_order_open_steps_are_not_taken_for_those_of_others() -> None:
    pipeline, _ = carried_away(TWO_PORTS)
    pipeline.tick(DUE_MS + 1)
    now_ms = DUE_MS + 1
    (station,) = TWO_PORTS.stations
    swapped = replace(TWO_PORTS, stations=(replace(station, channels=station.channels[::-1]),))
    state = json.loads(json.dumps(pipeline.snapshot(), allow_nan=False))
    assert state["stations"]["slope"]["rules"]["grid"]["cells"]
    again = Pipeline(swapped, {"slope": "none"})
    notes = again.restore(state, now_ms)
    assert [
        note for note in notes if note.endswith("open steps were of other channels, and are lost")
    ]
    grid = again.stations["slope"].snapshot(now_ms)["rules"]["grid"]
    assert grid["cells"] == {}


def test_in_another_order_nothing_is_told_as_lost_where_nothing_waited() -> None:
    pipeline = Pipeline(TWO_PORTS, {"slope": "none"})
    for hour in range(5):
        pipeline.receive(reading(hour, 1.0))
    state = json.loads(json.dumps(pipeline.snapshot(), allow_nan=False))
    (station,) = TWO_PORTS.stations
    swapped = replace(TWO_PORTS, stations=(replace(station, channels=station.channels[::-1]),))
    notes = Pipeline(swapped, {"slope": "none"}).restore(state, RECEIVED_MS + 5 * HOUR_MS)
    assert [note for note in notes if "waited" in note] == []
