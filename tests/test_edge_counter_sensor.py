"""A running counter: what was counted between readings, over resets, wraps, damage and restarts."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmware_bridge
from edge.calibration import Board, ChannelPlan, Linear
from edge.calibrator import Calibrator
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_channels import ChannelConfig, parse_channel
from edge.parse_ports import parse_port
from edge.tips import Counter
from firmware_bridge.drivers.sdi12 import Sdi12Driver, Sdi12Plan
from firmware_bridge.reading import Reading
from firmware_bridge.sim_sdi12 import SimulatedBus, SimulatedSensor

T0_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
NAN = math.nan


def gauge(counter: Counter, board: Board | None = None) -> Calibrator:
    plan = ChannelPlan("rain", "tips", (counter, Linear(0.5)), NAN, NAN)
    board = Board(HOUR_MS) if board is None else board
    return Calibrator("slope", (plan,), ("tips",), board, frozenset())


def counted(counts: list[float], counter: Counter, *, step_ms: int = 60_000) -> list[float]:
    calibrator = gauge(counter)
    return [calibrator.apply((x,), T0_MS + i * step_ms)[0] for i, x in enumerate(counts)]


def same(found: list[float], wanted: list[float]) -> bool:
    return repr(found) == repr([float(v) for v in wanted])  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("counts", "halves"),
    [
        ([100, 100, 104, 104], [NAN, 0, 2, 0]),
        ([0, 0, 2], [NAN, 0, 1]),
        ([100, 104, 3, 5], [NAN, 2, NAN, 2.5]),  # reset: 5 tips since, 3 of them told late
        ([100, 0, 0, 1], [NAN, NAN, 0, 0.5]),
        ([100, 4196, 101, 103], [NAN, NAN, 0.5, 1]),  # one damaged count
        ([100, 3, 101, 103], [NAN, NAN, 0.5, 1]),
        ([65530, 65534, 2, 4], [NAN, 2, NAN, 3]),  # wrapped: 65534 -> 4 is 6 tips
        ([100, 70000, 70002, 70004], [NAN, NAN, 1, 1]),  # another counter
        ([9000, 5000, 5004, 5005], [NAN, NAN, 2, 0.5]),
        ([100, NAN, 106, 107], [NAN, NAN, 3, 0.5]),  # a lost reading loses no rain
        ([100, -1, 106], [NAN, NAN, 3]),
        ([100, 4000, 9000, 101], [NAN, NAN, NAN, 0.5]),
    ],
)
def test_what_was_counted(counts: list[float], halves: list[float]) -> None:
    assert same(counted(counts, Counter(1000, 65536)), halves)


def test_without_a_wrap_a_fall_is_a_reset() -> None:
    assert same(counted([65530, 2, 4], Counter(1000)), [NAN, NAN, 2])


def test_a_reading_that_comes_late_is_counted_already() -> None:
    calibrator = gauge(Counter())
    values = [
        calibrator.apply((float(x),), T0_MS + at)[0]
        for x, at in ((100, 0), (106, 60_000), (103, 30_000), (107, 90_000))
    ]
    assert same(values, [NAN, 3, NAN, 0.5])
    # But a time line that was set back goes on at once.
    assert calibrator.apply((108.0,), T0_MS - 10 * HOUR_MS)[0] == 0.5


def test_what_is_held_back_is_counted_as_rejected() -> None:
    calibrator = gauge(Counter(100))
    for i, x in enumerate((0.0, 500.0, 2.0)):
        calibrator.apply((x,), T0_MS + i)
    assert calibrator.rejected == {
        ("rain", "no_reference"): 1,  # the first
        ("rain", "range"): 1,
    }


STEPS = st.lists(st.integers(0, 400), max_size=40)


@given(STEPS, st.integers(0, 65_535), st.sets(st.integers(0, 40)))
def test_all_rain_is_counted_whatever_is_lost_and_however_often_it_wraps(
    steps: list[int], start: int, lost: set[int]
) -> None:
    counts, total = [float(start)], 0
    for step in steps:
        total += step
        counts.append(float((start + total) % 65_536))
    sent = [x for i, x in enumerate(counts) if i not in lost - {0}][:1]
    sent += [x for i, x in enumerate(counts) if i and (i not in lost or i % 2)]
    sent += [counts[-1]] * 2  # what was held back at the last
    found = counted(sent, Counter(1000, 65_536))
    assert 2 * sum(v for v in found if not math.isnan(v)) == total


@given(STEPS, st.integers(0, 40))
def test_a_restart_changes_nothing(steps: list[int], at: int) -> None:
    counts = [float(sum(steps[:i]) % 900) for i in range(len(steps) + 1)]
    board = Board(HOUR_MS)
    calibrator = gauge(Counter(200), board)
    found = []
    for i, x in enumerate(counts):
        if i == at:
            state = json.loads(json.dumps(board.snapshot(), allow_nan=False))
            board = Board(HOUR_MS)
            board.restore(state)
            calibrator = gauge(Counter(200), board)
        found.append(calibrator.apply((x,), T0_MS + 60_000 * i)[0])
    assert same(found, counted(counts, Counter(200)))


def channel(**change: object) -> ChannelConfig:
    found = Mistakes("gateway.toml")
    data = {"name": "rain", "port": "rain", "unit": "mm", **change}
    parsed = parse_channel(Table(data, "station[0].channel[0]", found))
    found.raise_if_any()
    return parsed


def test_the_stage_is_read_from_a_configuration() -> None:
    stages = channel(
        calibration=[{"kind": "counter", "max_step": 50, "wraps_at": 256}, {"kind": "linear"}]
    ).plan.stages
    assert stages == (Counter(50.0, 256), Linear())
    assert channel(calibration=[{"kind": "counter"}]).plan.stages == (Counter(),)


@pytest.mark.parametrize(
    ("stages", "mistake"),
    [
        ([{"kind": "counter", "max_step": 0}], "calibration[0].max_step: 0 is outside"),
        ([{"kind": "counter", "wraps_at": 2000}], "calibration[0].wraps_at: 2000 must be more"),
        ([{"kind": "counter", "wraps": 256}], "calibration[0].wraps: unknown key"),
        ([{"kind": "counter"}, {"kind": "counter"}], "channel[0].calibration: one counter at most"),
    ],
)
def test_a_mistake_is_named_by_its_path(stages: list[dict], mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        channel(calibration=stages)
    assert mistake in str(caught.value)


def test_the_tipping_bucket_profile_gives_the_rain_that_fell() -> None:
    path = Path(firmware_bridge.__file__).parent / "profiles" / "tipping_bucket.toml"
    text = path.read_text()
    begin = text.index("# [[station.channel]]")
    text = text[:begin] + text[begin:].replace("# ", "", 1).replace("\n# ", "\n")
    data = tomllib.loads(text)
    found = Mistakes("tipping_bucket.toml")
    port = parse_port(Table(data["port"][0], "port[0]", found))
    rain = parse_channel(Table(data["station"]["channel"][0], "channel[0]", found))
    found.raise_if_any()
    assert isinstance(port.plan, Sdi12Plan)
    assert (rain.aggregate, rain.quantity, rain.port) == ("sum", "rainfall", port.name)
    counts = [(65_500.0 + i,) for i in range(0, 36, 3)]  # wraps, then the counter loses power
    counts += [(1.0 + 3 * i,) for i in range(10)] + [(float(i),) for i in (0, 2, 2, 2)]
    driver = Sdi12Driver(port.name, port.plan)
    bus = SimulatedBus([SimulatedSensor("0", counts, measure_ms=40)])
    calibrator = Calibrator("slope", (rain.plan,), ("tips",), Board(HOUR_MS), frozenset())
    driver.opened(T0_MS)
    got, now_ms = [], T0_MS
    while len(got) < len(counts):
        for item in driver.receive(bus.say(now_ms), now_ms):
            assert isinstance(item, Reading)
            got.append(calibrator.apply(item.values, item.time_ms)[0])
        bus.hear(driver.write_next(now_ms), now_ms)
        waits = (driver.due_ms(now_ms), bus.next_ms())
        now_ms = max(now_ms + 1, min(each for each in waits if each is not None))
    tips = 33 + (65_536 - 65_533 + 1) + 27 + 2
    assert sum(v for v in got if not math.isnan(v)) == pytest.approx(0.2 * tips)
    assert 0.0 in got
