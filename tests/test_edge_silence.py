"""What reports but is of no use is silent; the same alarms, live or replayed."""

from __future__ import annotations

import os
import selectors
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import Config, load_config
from edge.intake import Intake, make_driver
from edge.layouts import MAX_LAYOUTS
from edge.message import change_values
from edge.pipeline import Pipeline
from edge.replay import recorded, replay
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.capture import CaptureWriter
from firmware_bridge.line_format import LineFormat
from firmware_bridge.reading import Channel, Quantity, Reading, Unit
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sim_pty import Pty

BUNDLE = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
START_MS = 1_704_067_200_000
STEP_MS = 600_000
SLOPE = generate(9.9, seed=7, failure_day=10.0)
ROWS = list(zip(SLOPE.time_ms.tolist(), SLOPE.values.tolist(), strict=True))
TILTS = ("tilt_x", "tilt_y")


def config() -> Config:
    return load_config(demo_bundle().parent / "gateway.toml")


def on_two_ports() -> Config:
    one = config()
    station = one.stations[0]
    channels = tuple(
        replace(channel, port="tilts") if channel.name in TILTS else channel
        for channel in station.channels
    )
    ports = (one.ports[0], replace(one.ports[0], name="tilts"))
    return replace(one, ports=ports, stations=(replace(station, channels=channels),))


def fresh(of: Config) -> Pipeline:
    return Pipeline(of, {station.name: BUNDLE for station in of.stations})


def reading(i: int, *, away_ms: int = 0, columns: tuple[str, ...] = CHANNELS) -> Reading:
    time_ms, row = ROWS[i]
    values = tuple(row[CHANNELS.index(name)] for name in columns)
    return Reading("node", time_ms, i, columns, values, START_MS + i * STEP_MS + away_ms)


@pytest.mark.parametrize("off_ms", [-86_400_000, -7_200_000, 7_200_000, 86_400_000])
def test_a_port_whose_readings_come_too_late_for_the_models_is_silent(off_ms: int) -> None:
    pipeline = fresh(on_two_ports())
    others = tuple(name for name in CHANNELS if name not in TILTS)
    for i in range(200):
        pipeline.receive(reading(i, columns=others))
        one = reading(i, columns=TILTS)
        pipeline.receive(replace_source(one, one.time_ms + off_ms))
    silent = pipeline.stations["slope"].alarm.silent
    assert set(TILTS if off_ms < 0 else others) <= set(silent)


def replace_source(one: Reading, time_ms: int) -> Reading:
    return Reading("tilts", time_ms, one.sequence, one.channels, one.values, one.received_ms)


def test_the_wait_for_the_first_score_begins_with_the_first_reading() -> None:
    """A replay does not know when the gateway was started."""
    live, replayed = fresh(config()), fresh(config())
    found = live.tick(START_MS - 5_000_000)
    expected = []
    for i in range(300):
        found += live.tick(START_MS + i * STEP_MS - 1)
        found += live.receive(reading(i)).changes
        expected += replayed.receive(reading(i)).changes
    assert expected[0].reason.startswith(
        "NO-DATA: not heard yet, 7200 s after the start: score forecast"
    )
    assert found == expected


def test_readings_without_one_believable_value_do_not_put_silence_off() -> None:
    pipeline = fresh(config())
    found = []
    for i in range(20):
        one = reading(i)
        wrong = tuple(-1e15 for _ in one.values)
        found += pipeline.receive(
            Reading("node", one.time_ms, i, CHANNELS, wrong, one.received_ms)
        ).changes
    assert [change.no_data for change in found] == [True]


def test_stations_fall_silent_in_the_order_of_time_however_late_one_looks() -> None:
    one = config()
    station = one.stations[0]
    slow = replace(station, name="a-slow", no_data_after_ms=2 * station.no_data_after_ms)
    pipeline = fresh(replace(one, stations=(slow, station)))
    for i in range(100):
        pipeline.receive(reading(i))
    changes = pipeline.tick(START_MS + 1000 * STEP_MS)
    assert [(c.station, c.no_data) for c in changes] == [("slope", True), ("a-slow", True)]


def test_silence_carries_no_forecast_of_the_reading_that_ended_it() -> None:
    pipeline = fresh(config())
    for i in range(200):
        pipeline.receive(reading(i))
    outcome = pipeline.receive(reading(200, away_ms=10_000_000))
    assert outcome.changes[0].no_data
    assert len(outcome.scored[-1].forecasts)
    assert change_values(outcome.changes[0], "g")["forecasts"] == []


def test_a_node_that_always_has_another_layout_does_not_fill_the_memory() -> None:
    pipeline = fresh(config())
    for i in range(3 * MAX_LAYOUTS):
        one = reading(i)
        columns, values = (*CHANNELS, f"extra_{i}"), (*one.values, 1.0)
        more = Reading("node", one.time_ms, i, columns, values, one.received_ms)
        assert pipeline.receive(more).rows[0].values == list(one.values)
    assert len(pipeline.stations["slope"]._layouts._known) <= MAX_LAYOUTS


def test_half_a_line_before_a_port_was_opened_anew_is_not_joined_in_a_replay(
    tmp_path: Path,
) -> None:
    lines = LineFormat(",", (("crack_1", 1),), 2, time_column=0, time_format="epoch_ms")
    one = config()
    of = replace(one, ports=(replace(one.ports[0], protocol="lines", lines=lines),))
    with CaptureWriter(tmp_path / "c") as capture:
        capture.write(START_MS, "node", b"")
        capture.write(START_MS, "node", b"1704067200000,1.5\n17040678")
        capture.write(START_MS + 1, "node", b"")
        capture.write(START_MS + 2, "node", b"1704068400000,1.7\n")
    found = list(recorded(of, [str(tmp_path / "c")]))
    assert [i.values if isinstance(i, Reading) else i.reason for i in found] == [
        (1.5,), "truncated", (1.7,),
    ]  # fmt: skip


def test_a_port_that_vanishes_while_written_to_leaves_its_number_to_the_next() -> None:
    """Two ports in one turn: one goes as it is asked, the other opens and gets its descriptor."""
    gone, comes = Pty(), Pty()
    with selectors.DefaultSelector() as selector:
        port = config().ports[0]
        first = Intake(replace(port, name="a", device=gone.path), selector)
        second = Intake(replace(port, name="b", device=comes.path), selector)
        assert "opened" in first.poll(0)
        number = first.port.fileno()
        gone.close()
        spare = os.open(os.devnull, os.O_RDONLY)  # takes the number of the pty's other side
        first.tick(1_000)
        assert not first.port.is_open
        assert "opened" in second.poll(1_000)
        assert second.port.fileno() == number
        assert "vanished" in first.poll(1_001)
        for each in (first, second):
            each.close()
        os.close(spare)
    comes.close()


@pytest.mark.parametrize("step_ms", [3 * 86_400_000, 60_000, -3 * 86_400_000])
@pytest.mark.parametrize("silent_ms", [0, 3 * 3_600_000])
def test_a_clock_that_is_set_mid_way_is_replayed_as_it_was(
    tmp_path: Path, step_ms: int, silent_ms: int
) -> None:
    of = config()
    pipeline, driver = fresh(of), make_driver(of.ports[0])
    limit = float("inf")
    node = SimulatedNode(
        describe([Channel(n, Quantity.OTHER, Unit.RAW, -limit, limit, STEP_MS) for n in CHANNELS])
    )
    found = []
    with CaptureWriter(tmp_path / "c") as capture:

        def arrive(data: bytes, now_ms: int) -> None:
            capture.write(now_ms, "node", data)
            for item in driver.receive(data, now_ms):
                assert isinstance(item, Reading)
                assert item.time_ms == now_ms
                found.extend(pipeline.receive(item).changes)

        driver.opened(START_MS)
        capture.write(START_MS, "node", b"")
        while question := driver.write_next(START_MS):
            arrive(node.receive(question), START_MS)
        for i in range(400):
            now_ms = START_MS + i * STEP_MS + (silent_ms + step_ms) * (i >= 200)
            if i == 200:
                found += pipeline.tick(now_ms - step_ms)
                pipeline.shift(step_ms)
                driver.shift(step_ms)
                capture.clock_set(now_ms, step_ms)
            t_us = (i * STEP_MS + silent_ms * (i >= 200)) * 1_000
            arrive(b"".join(node.sample(ROWS[i][1], t_us)), now_ms)
    if step_ms == 60_000:  # after days the models begin anew, which is NO-DATA of its own
        assert any(c.no_data for c in found[2:]) == bool(silent_ms)
    again = replay(of, {"slope": BUNDLE}, recorded(of, [str(tmp_path / "c")]))
    assert [c for _, outcome in again if outcome for c in outcome.changes] == found
